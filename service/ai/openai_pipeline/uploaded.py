"""Recognition of whole utterances: a WAV file up, its text down, which every server can.

An utterance that goes on after it was sent is sent again from its beginning: whole sentences are
understood better than their halves.
https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from openai import AsyncOpenAI

from service.ai.base import Brief
from service.ai.openai.attempts import in_time
from service.ai.openai.caller import KEPT_MOST_MS, Utterance
from service.ai.openai.errors import RECOGNITION_S, OpenAIFault, stage
from service.ai.openai_pipeline.recognition import House
from service.ai.openai_pipeline.transcripts import (
    TEXT_MOST_CHARACTERS,
    Delta,
    Done,
    read_event,
    read_text,
    wav,
)
from service.core.audio import AudioFrame, Encoding, MediaFormat
from service.media.convert import Converter
from service.media.frames import frame_bytes

UPLOADED = MediaFormat(Encoding.PCM16, 16_000)
"""What models for recognition hear; a server for one of them need not resample."""
_LEAST_BYTES = frame_bytes(UPLOADED, 200)  # OpenAI refuses less than half of that
_REFUSED = ("openai.refused", "openai.confused")


class UploadedRecogniser:
    """One call's; each utterance is a request."""

    def __init__(self, brief: Brief, client: AsyncOpenAI, house: House) -> None:
        self._agent = brief.agent
        self._client = client
        self._house = house
        self._line = brief.hears
        self._most_bytes = frame_bytes(brief.hears, KEPT_MOST_MS)
        self._sound = bytearray()  # of what is being said
        self._fresh = False  # some of it was not sent yet
        self._current: Utterance | None = None  # what was sent of it last
        self._turn: list[Utterance] = []
        self._doubtful: list[Utterance] = []
        self._asking: dict[Utterance, asyncio.Task[None]] = {}
        self._streams = True  # until the server has refused to

    async def open(self) -> None:
        """There is nothing to be opened."""

    async def aclose(self) -> None:
        """Leave no task behind."""
        tasks = [*self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def rest(self) -> None:
        """Nothing grows old."""

    # What is said ------------------------------------------------------------------------------

    def say(self, frames: list[AudioFrame]) -> None:
        """More of what the person says."""
        for frame in frames:
            self._sound += frame.data
            self._fresh = True
        if len(self._sound) > self._most_bytes:
            del self._sound[: -self._most_bytes]

    def cut(self) -> None:
        """What was said so far is to be put into words; nothing happens when that is known."""
        if not self._fresh:
            return
        self._fresh = False
        if self._current is not None:
            self._turn.remove(self._current)
            self._stop(self._current)
        self._current = utterance = Utterance(bytes(self._sound))
        self._turn.append(utterance)
        task = asyncio.get_running_loop().create_task(self._understand(utterance))
        self._asking[utterance] = task

    def dismiss(self) -> None:
        """What is being said was not meant for the agent; it may yet turn out that it was."""
        self.forget_doubtful()
        self._doubtful = self.close()

    def take_back(self) -> None:
        """What was dismissed last was meant for the agent after all."""
        self._turn, self._doubtful = [*self._doubtful, *self._turn], []

    def forget_doubtful(self) -> None:
        """It was not."""
        for utterance in self._doubtful:
            utterance.unwanted = True
            self._stop(utterance)
        self._doubtful = []

    def close(self) -> list[Utterance]:
        """The turn is over, and cut: what it is made of."""
        self._sound.clear()
        self._fresh, self._current = False, None
        turn, self._turn = self._turn, []
        return turn

    def give_up(self) -> None:
        """Texts that are still to come will not: what is known of them is all."""
        for utterance in [*self._asking]:
            self._stop(utterance)
            utterance.text = utterance.partial.strip()

    @property
    def words(self) -> str:
        """What is known of the turn, or of what was dismissed last."""
        return " ".join(u.words for u in self._turn or self._doubtful if u.words)

    @property
    def understood_all(self) -> bool:
        """Whether all of that has its text."""
        return all(u.text is not None for u in self._turn or self._doubtful)

    def is_open(self, utterance: Utterance) -> bool:
        """Whether what is decided about the speaker depends on its text."""
        return utterance in self._turn or utterance in self._doubtful

    # In words ----------------------------------------------------------------------------------

    def _stop(self, utterance: Utterance) -> None:
        task = self._asking.pop(utterance, None)
        if task is not None:
            task.cancel()

    async def _understand(self, utterance: Utterance) -> None:
        try:
            text = await in_time("recognition", RECOGNITION_S, lambda: self._ask(utterance))
        except OpenAIFault as fault:
            self._asking.pop(utterance, None)
            utterance.text = ""
            self._house.failed(fault, fatal=not utterance.unwanted)
            return
        self._asking.pop(utterance, None)
        utterance.text, utterance.sound = text.strip(), b""
        self._house.understood(utterance)

    async def _ask(self, utterance: Utterance) -> str:
        """The text; a server that does not stream is asked again without."""
        if self._streams:
            try:
                async with stage("recognition", None):
                    return await self._ask_once(utterance, streamed=True)
            except OpenAIFault as fault:
                if fault.code not in _REFUSED:
                    raise
                self._streams = False
        return await self._ask_once(utterance, streamed=False)

    async def _ask_once(self, utterance: Utterance, *, streamed: bool) -> str:
        settings = self._agent.pipeline.recognition
        file = await asyncio.to_thread(self._file, utterance.sound)  # 30 ms for a minute of it
        request: dict[str, Any] = {
            "file": ("speech.wav", file, "audio/wav"),
            "model": settings.model,
            "response_format": "json",
        }
        if self._agent.language:
            request["language"] = self._agent.language
        if settings.prompt:
            request["prompt"] = settings.prompt
        if streamed:
            request["stream"] = True
        create = cast("Any", self._client.audio.transcriptions.with_streaming_response.create)
        utterance.partial = ""
        async with create(**request) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "text/event-stream":
                return await self._read_events(response.iter_lines(), utterance)
            return read_text(kind, await response.read())

    async def _read_events(self, lines: AsyncIterator[str], utterance: Utterance) -> str:
        async for line in lines:
            event = read_event(line)
            if isinstance(event, Done):
                return event.text
            if isinstance(event, Delta):
                utterance.partial = (utterance.partial + event.text)[:TEXT_MOST_CHARACTERS]
                self._house.understood(utterance)
        raise OpenAIFault("openai.confused", "recognition")

    def _file(self, sound: bytes) -> bytes:
        """All of it at once: frame by frame it would take ten times as long."""
        converter = Converter(self._line, UPLOADED)
        pcm = converter.convert(sound) + converter.flush()
        return wav(pcm + bytes(max(0, _LEAST_BYTES - len(pcm))), UPLOADED)
