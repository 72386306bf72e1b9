"""What the person says: from the input buffer to items of the conversation, and to text.

With turn detection on, it tells where turns begin and end, and calls for an answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from service.core.audio import MediaFormat
from service.core.errors import EngineError
from service.standin.realtime.buffer import Began, Buffer, Ended
from service.standin.realtime.checks import sound
from service.standin.realtime.common import Common
from service.standin.realtime.items import Item
from service.standin.realtime.transcripts import transcribe
from service.standin.sound import narrow


class Listening:
    """`began` and `ended` are told of the turns that are detected."""

    def __init__(
        self, common: Common, *, began: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._common = common
        self._began = began
        self._ended = ended
        self._buffer = Buffer(common.config.hears, common.config.turns)
        self._turn_item = ""  # the id of what is being said

    def configured(self) -> None:
        """The session's settings have changed."""
        self._buffer.set(self._common.config.hears, self._common.config.turns)

    def append(self, audio: str) -> None:
        """More sound."""
        found = self._buffer.append(sound(audio, self._common.config.hears))
        match found:
            case Began(at_ms):
                self._turn_item = self._common.desk.new_id("item")
                of = {"audio_start_ms": at_ms, "item_id": self._turn_item}
                self._common.tell("input_audio_buffer.speech_started", **of)
                self._began()
            case Ended(at_ms, data):
                of = {"audio_end_ms": at_ms, "item_id": self._turn_item}
                self._common.tell("input_audio_buffer.speech_stopped", **of)
                self._make_item(data, self._turn_item)
                self._ended()
            case None:
                return

    def commit(self) -> None:
        """The client takes what is in the buffer for a turn."""
        speaking = self._buffer.speaking
        data = self._buffer.commit()
        self._make_item(data, self._turn_item if speaking else self._common.desk.new_id("item"))

    def clear(self) -> None:
        """The client wants what is in the buffer forgotten."""
        self._buffer.take()
        self._common.tell("input_audio_buffer.cleared")

    def understand(self, item: Item, data: bytes, audio_format: MediaFormat) -> None:
        """Begin to find out what is said in an item."""
        understood: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        item.understood = understood

        async def recognise() -> None:
            try:
                pcm = narrow(data, audio_format)
                understood.set_result(await self._common.hearing.understand(pcm))
            except EngineError:  # the recogniser is gone: it is as if nothing had been said
                understood.set_result("")
            finally:
                understood.cancel()

        self._common.start(recognise(), "stand-in recognition")

    def _make_item(self, data: bytes, item_id: str) -> None:
        audio_format = self._common.config.hears
        item = Item(_shown(item_id), heard=data, heard_format=audio_format)
        items = self._common.conversation.items
        before = items[-1].id if items else None
        of = {"previous_item_id": before, "item_id": item_id}
        self._common.tell("input_audio_buffer.committed", **of)
        self.understand(item, data, audio_format)
        self._common.add(item)
        if self._common.config.transcription is not None:
            seconds = audio_format.duration_ms(len(data)) / 1000
            self._common.start(transcribe(self._common, item, seconds), "stand-in transcript")


def _shown(item_id: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
