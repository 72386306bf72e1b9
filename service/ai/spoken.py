"""A sentence made into sound, with the place of every word, and the turn it becomes.

What speech synthesis gives to the engines. Sound is PCM16 at 8 kHz until it meets the line's
format.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator

from msgspec import Struct

from service.core.audio import PCM16_8K, AudioFrame, MediaFormat, Party
from service.core.events import EngineEvent, TurnAudio, TurnEnded, TurnId, TurnStarted, TurnText
from service.media.convert import Converter
from service.media.frames import Framer

FRAME_MS = 60
"""Longer frames than the line's: a third of the events, and a clear stops them all the same."""

_PIECE_BYTES = 8000  # half a second is converted at once: nothing holds the loop for long
_PAUSE_EVERY_EVENTS = 32


class Word(Struct, frozen=True):
    """A word with the blank that parts it from the one before, and where its sound begins."""

    text: str
    start_ms: int


class Spoken(Struct, frozen=True):
    """A sentence as PCM16 at 8 kHz."""

    pcm: bytes
    words: tuple[Word, ...] = ()

    @property
    def duration_ms(self) -> int:
        """How long it takes to say."""
        return PCM16_8K.duration_ms(len(self.pcm))


Speak = Callable[[str], Awaitable[Spoken]]
"""Makes text into sound; EngineError when that fails."""


def frames_of(pcm: bytes, line: MediaFormat) -> Iterator[AudioFrame]:
    """PCM16 at 8 kHz as frames for the line, the last filled up with silence."""
    converter = Converter(PCM16_8K, line)
    framer = Framer(line, Party.AGENT, frame_ms=FRAME_MS)
    for begin in range(0, len(pcm), _PIECE_BYTES):
        yield from framer.push(converter.convert(pcm[begin : begin + _PIECE_BYTES]))
    yield from framer.push(converter.flush())
    yield from framer.flush()


async def tell(events: Iterable[EngineEvent], emit: Callable[[EngineEvent], None]) -> None:
    """Emit events, and let others have the loop in between."""
    for number, event in enumerate(events, 1):
        emit(event)
        if number % _PAUSE_EVERY_EVENTS == 0:
            await asyncio.sleep(0)


def turn_of(spoken: Spoken, turn_id: TurnId, line: MediaFormat) -> Iterator[EngineEvent]:
    """All events of a turn: each word just before the sound it is in."""
    yield TurnStarted(turn_id)
    words = list(spoken.words)
    for frame in frames_of(spoken.pcm, line):
        while words and words[0].start_ms < frame.start_ms + frame.duration_ms:
            word = words.pop(0)
            yield TurnText(turn_id, word.text, word.start_ms)
        yield TurnAudio(turn_id, frame)
    for word in words:
        yield TurnText(turn_id, word.text, word.start_ms)
    yield TurnEnded(turn_id)
