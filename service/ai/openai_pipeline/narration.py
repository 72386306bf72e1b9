"""The sound of one turn: sentences in as they are written, words and frames out as they are made.

The next sentence is asked for as soon as the one before gives sound, and never more than two ahead
of what is being heard: what is made in vain costs money. Of a turn that may be void only the first
sentence is made.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from itertools import count

from service.ai.captions import Captions
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.speech import Sound, Voice
from service.ai.spoken import FRAME_MS, Word
from service.core.audio import AudioFrame, MediaFormat, Party
from service.core.events import EngineEvent, EngineFailed, TurnAudio, TurnId, TurnText
from service.media.convert import Converter
from service.media.frames import Framer

AHEAD_MOST = 2
"""Sentences that are made while an earlier one is heard."""
_PIECE_MS = 500
"""So much is converted at once: nothing holds the loop for long."""

Tell = Callable[[EngineEvent], None]


class Take:
    """A sentence's sound, as it comes from its server."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.begin_ms: int | None = None  # in the turn's sound, once it has its place there
        self.begun = False
        self._sounds: deque[Sound] = deque()
        self._over = False
        self._changed = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None

    def fetch(self, voice: Voice, begun: Callable[[], None]) -> None:
        """Have it made; `begun` is called when there is something of it, or will be nothing."""
        self._fetching = asyncio.get_running_loop().create_task(self._fetch(voice, begun))

    async def next(self) -> Sound | None:
        """The next piece, None after the last; OpenAIFault when it cannot be made."""
        while not self._sounds:
            if self._over:
                if self._fetching is not None:
                    await self._fetching
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._sounds.popleft()

    def stop(self) -> None:
        """It is not wanted any more."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def stopped(self) -> None:
        """Nothing of it is left behind."""
        if self._fetching is not None:
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _fetch(self, voice: Voice, begun: Callable[[], None]) -> None:
        try:
            async with aclosing(voice.say(self.text)) as sounds:
                async for sound in sounds:
                    self._sounds.append(sound)
                    self._changed.set()
                    if not self.begun:
                        self.begun = True
                        begun()
        finally:
            self._over = self.begun = True
            self._changed.set()
            begun()


class Narration:
    """One turn's. `weight_ms`: how fast this voice speaks, as far as it is known."""

    def __init__(
        self, turn_id: TurnId, voice: Voice, line: MediaFormat, tell: Tell, *, weight_ms: float
    ) -> None:
        self.weight_ms = weight_ms
        self.made_ms = 0
        self._turn_id = turn_id
        self._voice = voice
        self._line = line
        self._tell = tell
        self._takes: list[Take] = []
        self._finished = False
        self._asked = 0  # so many takes are being made, or are
        self._captions: Captions | None = None  # of the take that is being told
        self._may_be_heard = False
        self._first_heard_s: float | None = None
        self._changed = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None

    # What is wanted ----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A sentence more, with the blank before it."""
        self._takes.append(Take(text))
        self._ask_for_more()
        self._changed.set()

    def finish(self) -> None:
        """That was all."""
        self._finished = True
        self._changed.set()

    def go(self) -> None:
        """It may be heard from now on."""
        self._may_be_heard = True
        if self.made_ms:
            self._first_heard_s = asyncio.get_running_loop().time()
        self._ask_for_more()

    def tell_words(self) -> None:
        """Time has passed: words whose sound may be heard soon are told."""
        if self._captions is not None and self._may_be_heard:
            self._tell_texts(self._captions.due(self._played_ms()))

    async def run(self) -> None:
        """Tell all of it; OpenAIFault when it cannot be made, or no sound comes of it at all."""
        try:
            for number in count():
                while number >= len(self._takes) and not self._finished:
                    self._changed.clear()
                    await self._changed.wait()
                if number >= len(self._takes):
                    break
                await self._tell_take(self._takes[number])
            if self._takes and not self.made_ms:
                raise OpenAIFault("openai.confused", "no sound")
        finally:
            await self._stop()

    # How it is made ----------------------------------------------------------------------------

    def _ask_for_more(self) -> None:
        """Begin to make the next sentence if its time has come; else look again when it has."""
        while self._asked < len(self._takes) and self._is_time():
            take = self._takes[self._asked]
            self._asked += 1
            take.fetch(self._voice, self._ask_for_more)

    def _is_time(self) -> bool:
        number = self._asked
        if number == 0:
            return True
        if not (self._takes[number - 1].begun and self._may_be_heard):
            return False
        if number <= AHEAD_MOST:
            return True
        begin_ms = self._takes[number - AHEAD_MOST].begin_ms
        if begin_ms is None:
            return False
        wait_ms = begin_ms - self._played_ms()
        if wait_ms > 0:
            self._look_again(wait_ms)
        return wait_ms <= 0

    def _look_again(self, wait_ms: int) -> None:
        if self._later is not None:
            self._later.cancel()
        loop = asyncio.get_running_loop()
        self._later = loop.call_later(wait_ms / 1000, self._ask_for_more)

    async def _tell_take(self, take: Take) -> None:
        take.begin_ms = self.made_ms
        self._ask_for_more()
        sound = await take.next()
        if sound is None:
            if self.made_ms:  # else it may be that none comes at all
                self._tell(EngineFailed("openai.confused", "no sound", fatal=False))
            return
        self._captions = captions = Captions(
            self._line, begin_ms=self.made_ms, weight_ms=self.weight_ms
        )
        captions.read(take.text)
        await self._tell_sound(take, sound)
        self._tell_texts(captions.complete())
        self.weight_ms = captions.weight_ms

    async def _tell_sound(self, take: Take, first: Sound) -> None:
        converter = Converter(first.format, self._line)
        framer = Framer(self._line, Party.AGENT, start_ms=self.made_ms, frame_ms=FRAME_MS)
        size = first.format.sample_rate_hz * 2 * _PIECE_MS // 1000
        sound: Sound | None = first
        while sound is not None:
            for at in range(0, len(sound.data), size):
                self._tell_frames(framer.push(converter.convert(sound.data[at : at + size])))
                if at + size < len(sound.data):
                    await asyncio.sleep(0)
            sound = await take.next()
        self._tell_frames([*framer.push(converter.flush()), *framer.flush()])

    def _tell_frames(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            if self._captions is not None:
                self._captions.hear(frame.data)
            self._tell(TurnAudio(self._turn_id, frame))
            self.made_ms = frame.start_ms + frame.duration_ms
        if frames and self._first_heard_s is None and self._may_be_heard:
            self._first_heard_s = asyncio.get_running_loop().time()

    def _tell_texts(self, words: list[Word]) -> None:
        for word in words:
            self._tell(TurnText(self._turn_id, word.text, word.start_ms))

    def _played_ms(self) -> int:
        """The most of it that can have been heard by now."""
        if self._first_heard_s is None:
            return 0
        return round((asyncio.get_running_loop().time() - self._first_heard_s) * 1000)

    async def _stop(self) -> None:
        self._captions = None
        self._asked = len(self._takes)  # no more
        if self._later is not None:
            self._later.cancel()
        for take in self._takes:
            take.stop()
        for take in self._takes:
            await take.stopped()
