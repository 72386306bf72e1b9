"""What the stand-in speaks and hears with: espeak-ng and the offline recogniser.

Both run in a worker process that starts when it is first needed; the loop never waits for it but
through `run_in_executor`. One voice may serve many stand-ins, and a sentence is made only once.
"""

import asyncio
from collections import OrderedDict

from service.ai.offline.messages import Recognise, Recognised, Said, Say
from service.ai.offline.workers import Workers
from service.ai.spoken import Spoken
from service.core.audio import PCM16_8K, MediaFormat
from service.core.errors import EngineError
from service.standin.sound import Made, converted

VOICES = {
    "alloy": ("en-us", 45),
    "ash": ("en-us+m3", 40),
    "ballad": ("en-us+m4", 45),
    "cedar": ("en-us+m1", 35),
    "coral": ("en-us+f2", 50),
    "echo": ("en-us+m2", 45),
    "fable": ("en-gb-scotland", 45),
    "marin": ("en-us", 45),
    "nova": ("en-us+f3", 50),
    "onyx": ("en-us+m5", 30),
    "sage": ("en-us+f4", 45),
    "shimmer": ("en-us+f5", 50),
    "verse": ("en-us+m6", 45),
}
"""OpenAI's voices: espeak-ng's name and pitch for each."""

_KEPT_MOST_BYTES = 32 * 1024 * 1024


class Voice:
    """Speaks and recognises; `aclose` when nobody needs it any more."""

    def __init__(self, workers: int = 1) -> None:
        self._count = workers
        self._workers: Workers | None = None
        self._starting = asyncio.Lock()
        self._kept: OrderedDict[tuple[str, str, int, MediaFormat], Made] = OrderedDict()
        self._kept_bytes = 0

    async def say(self, text: str, voice: str, words_per_minute: int) -> Spoken:
        """The sound of `text` in one of OpenAI's voices; EngineError when it cannot be made."""
        name, pitch = VOICES.get(voice, VOICES["alloy"])
        workers = await self._started()
        answer = await workers.ask(Say(text, name, words_per_minute, pitch))
        if not isinstance(answer, Said):
            raise EngineError("offline.worker_confused", "no sound in its answer")
        return answer.spoken

    async def make(
        self, text: str, voice: str, words_per_minute: int, audio_format: MediaFormat
    ) -> Made:
        """The same in one of the API's formats; what was made lately is at hand."""
        key = (text, voice, words_per_minute, audio_format)
        made = self._kept.get(key)
        if made is None:
            spoken = await self.say(text, voice, words_per_minute)
            data = await asyncio.to_thread(converted, spoken.pcm, PCM16_8K, audio_format)
            made = Made(text, data, audio_format, spoken.words)
            self._keep(key, made)
        return made

    async def recognise(self, pcm: bytes, phrases: tuple[str, ...]) -> str:
        """Which of the phrases PCM16 at 8 kHz is; empty when none."""
        answer = await (await self._started()).ask(Recognise(pcm, phrases))
        return answer.phrase if isinstance(answer, Recognised) else ""

    async def aclose(self) -> None:
        """End the worker process."""
        if self._workers is not None:
            await self._workers.aclose()
            self._workers = None

    def _keep(self, key: tuple[str, str, int, MediaFormat], made: Made) -> None:
        if key not in self._kept:
            self._kept[key] = made
            self._kept_bytes += len(made.data)
        while self._kept_bytes > _KEPT_MOST_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.data)

    async def _started(self) -> Workers:
        if self._workers is None:  # asked first: a lock belongs to the loop it was waited for on
            async with self._starting:
                if self._workers is None:
                    workers = Workers(self._count)
                    await workers.start()
                    self._workers = workers
        return self._workers
