"""A Realtime server in miniature, driven by a test: what it is told, and what it says to it."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from service.ai.openai.access import Server


class Far:
    """Accepts sessions and utterances by itself; answers when it is told to."""

    def __init__(self, *, commits: bool = True) -> None:
        self._commits = commits
        self.orders: list[dict[str, Any]] = []
        self.refusals: list[Exception] = []  # of the next sockets
        self.sockets = 0
        self.closed = 0
        self.silent = False
        self.reads = asyncio.Event()
        self.reads.set()
        self._inbox: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self._number = itertools.count(1)

    @asynccontextmanager
    async def connect(
        self, server: Server, query: Mapping[str, str]
    ) -> AsyncIterator[AsyncRealtimeConnection]:
        if self.refusals:
            raise self.refusals.pop(0)
        self.sockets += 1
        self._inbox = asyncio.Queue()
        try:
            yield AsyncRealtimeConnection(self)  # type: ignore[arg-type]
        finally:
            self.closed += 1

    async def send(self, data: str) -> None:
        await self.reads.wait()
        order = json.loads(data)
        self.orders.append(order)
        if order["type"] == "session.update" and not self.silent:
            self.say("session.updated", session={"type": "realtime"})
        elif order["type"] == "input_audio_buffer.commit" and self._commits:
            self.say("input_audio_buffer.committed", item_id=f"user_{next(self._number)}")

    async def recv(self, decode: bool = False) -> bytes:
        message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    def say(self, kind: str, **fields: Any) -> None:
        self._inbox.put_nowait(json.dumps({"type": kind, "event_id": "e", **fields}).encode())

    def garble(self, data: bytes) -> None:
        self._inbox.put_nowait(data)

    def cut(self, fault: Exception | None = None) -> None:
        self._inbox.put_nowait(fault or ConnectionClosedError(None, None))

    def leave(self) -> None:
        self._inbox.put_nowait(ConnectionClosedOK(None, None))

    # What it was told ----------------------------------------------------------------------------

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [order for order in self.orders if order["type"] == kind]

    def kinds(self) -> list[str]:
        """In order, sound left out and each item by who speaks in it."""
        names = [(o["type"], o.get("item", {})) for o in self.orders]
        return [
            item.get("role", item.get("type", kind.removeprefix("input_audio_buffer.")))
            for kind, item in names
            if kind != "input_audio_buffer.append"
        ]

    @property
    def sound(self) -> bytes:
        return b"".join(
            base64.b64decode(o["audio"]) for o in self.told("input_audio_buffer.append")
        )

    # What it says --------------------------------------------------------------------------------

    def understand(self, text: str, item_id: str) -> None:
        kind = "conversation.item.input_audio_transcription.completed"
        self.say(kind, item_id=item_id, content_index=0, transcript=text)

    def begin(self, name: str) -> None:
        """Begin the answer that was asked for last."""
        asked = self.told("response.create")[-1]["response"]
        self.say("response.created", response={"id": name, "metadata": asked["metadata"]})
        item = {"id": f"item_{name}", "type": "message", "role": "assistant", "content": []}
        self.say("response.output_item.added", response_id=name, output_index=0, item=item)

    def speak(self, name: str, text: str, sound: bytes) -> None:
        of = {"response_id": name, "item_id": f"item_{name}", "output_index": 0, "content_index": 0}
        self.say("response.output_audio_transcript.delta", **of, delta=text)
        self.say("response.output_audio.delta", **of, delta=base64.b64encode(sound).decode())

    def call(self, name: str, call_id: str, function: str, arguments: str = "{}") -> None:
        item = {
            "id": f"item_{call_id}",
            "type": "function_call",
            "call_id": call_id,
            "name": function,
            "arguments": arguments,
            "status": "completed",
        }
        self.say("response.output_item.done", response_id=name, output_index=1, item=item)

    def finish(self, name: str, status: str = "completed", **details: Any) -> None:
        response = {"id": name, "status": status, "status_details": details or None}
        self.say("response.done", response=response)

    def answer(self, name: str, text: str, sound: bytes = b"\x55" * 8000) -> None:
        """All of the answer that was asked for last."""
        self.begin(name)
        self.speak(name, text, sound)
        self.finish(name)
