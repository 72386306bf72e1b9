"""What the service and a worker process say to each other: one request, one answer.

Messages are msgpack behind their length, over the worker's standard input and output.
"""

import struct
from typing import IO

import msgspec
from msgspec import Struct

from service.ai.spoken import Spoken

_LENGTH = struct.Struct(">I")


class Say(Struct, frozen=True, tag=True):
    """Make this sound."""

    text: str
    voice: str
    words_per_minute: int
    pitch: int


class Recognise(Struct, frozen=True, tag=True):
    """Which of these phrases is it? `pronounce` has the phonemes of words where a guess fails."""

    pcm: bytes  # PCM16 at 8 kHz
    phrases: tuple[str, ...]
    pronounce: dict[str, str] = {}


class Said(Struct, frozen=True, tag=True):
    """The sound."""

    spoken: Spoken


class Recognised(Struct, frozen=True, tag=True):
    """The phrase; empty when it was none of them."""

    phrase: str


class Failed(Struct, frozen=True, tag=True):
    """It could not be done; `detail` is safe to log."""

    code: str
    detail: str


Request = Say | Recognise
Answer = Said | Recognised | Failed

_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def write(stream: IO[bytes], message: Request | Answer) -> None:
    """Send a message."""
    data = msgspec.msgpack.encode(message)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_request(stream: IO[bytes]) -> Request | None:
    """The next request, None when there will be no more."""
    data = _read(stream)
    return None if data is None else _requests.decode(data)


def read_answer(stream: IO[bytes]) -> Answer:
    """The answer; EOFError when the other side is gone."""
    data = _read(stream)
    if data is None:
        raise EOFError
    return _answers.decode(data)


def _read(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(head)
    data = stream.read(size)
    return data if len(data) == size else None
