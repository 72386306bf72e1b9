"""A message of the assistant's: its words, and their sound, each at its pace."""

import asyncio
import base64
import random
from typing import Any

from msgspec import Struct

from service.standin.realtime.items import Item
from service.standin.realtime.output import Closing, Output
from service.standin.realtime.wish import Wish
from service.standin.sound import Made, chunks, pieces

_TOKEN_MS = 50
"""Of sound to an output token."""


class _Step(Struct, frozen=True):
    """Something to send, and when: since the first token."""

    at_ms: float
    text: str = ""
    data: bytes = b""


async def say(output: Output, text: str, chance: random.Random) -> None:
    """All of a message. Ends is raised where it goes no further."""
    aloud = output.wish.modality == "audio"
    made = await output.stage.speak(text, output.wish) if aloud else None
    message = _Message(output, made)
    start_s = asyncio.get_running_loop().time()
    for step in _steps(text, made, output.wish, chance):
        await asyncio.sleep(start_s + step.at_ms / 1000 - asyncio.get_running_loop().time())
        await output.step()
        message.send(step)
    output.close()


class _Message:
    def __init__(self, output: Output, made: Made | None) -> None:
        self._output = output
        self._field = "text" if made is None else "transcript"
        self._name = "output_text" if made is None else "output_audio_transcript"
        self._part = {"type": "output_text" if made is None else "output_audio", self._field: ""}
        self._item = self._opened()
        self._item.made = made
        self._of: dict[str, Any] = {"item_id": self._item.id, "content_index": 0}
        output.tell("response.content_part.added", **self._of, part=self._short())
        self._item.shown["content"] = [self._part]
        output.closing(self._closing())

    def send(self, step: _Step) -> None:
        if step.text:
            self._part[self._field] += step.text
            self._output.tell(f"response.{self._name}.delta", **self._of, delta=step.text)
            tokens = 1
        else:
            before_ms = self._item.audio_ms
            self._item.sent_bytes += len(step.data)
            self._output.spoke = True
            delta = base64.b64encode(step.data + self._output.odd()).decode()
            self._output.tell("response.output_audio.delta", **self._of, delta=delta)
            tokens = self._item.audio_ms // _TOKEN_MS - before_ms // _TOKEN_MS
        self._output.closing(self._closing())
        self._output.spend(tokens)

    def _opened(self) -> Item:
        return self._output.open(
            {
                "id": self._output.stage.new_id("item"),
                "object": "realtime.item",
                "type": "message",
                "status": "in_progress",
                "role": "assistant",
                "content": [],
            }
        )

    def _short(self) -> dict[str, str]:
        return {**self._part, "type": "text" if self._field == "text" else "audio"}

    def _closing(self) -> list[Closing]:
        text = {self._field: self._part[self._field]}
        ends: list[Closing] = [(f"response.{self._name}.done", self._of | text)]
        if self._field == "transcript":
            ends.insert(0, ("response.output_audio.done", self._of))
        ends.append(("response.content_part.done", self._of | {"part": self._short()}))
        return ends


def _steps(text: str, made: Made | None, wish: Wish, chance: random.Random) -> list[_Step]:
    """Words and sound in the order of their times; words first."""
    steps = [_Step(i * wish.delays.token_ms, text=piece) for i, piece in enumerate(pieces(text))]
    if made is not None:
        at_ms = float(wish.delays.first_audio_ms)
        size_bytes = wish.sound.chunk_bytes
        for data in chunks(made.data, made.format, size_bytes=size_bytes, chance=chance):
            steps.append(_Step(at_ms, data=data))
            if wish.sound.speed:
                at_ms += made.format.duration_ms(len(data)) / wish.sound.speed
    return sorted(steps, key=lambda step: step.at_ms)
