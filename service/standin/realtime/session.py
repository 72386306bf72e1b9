"""One Realtime session: takes the client's events one by one, and sees to what each asks for.

What breaks the API's rules is answered with an `error` event, and the session goes on.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from service.standin.desk import Desk
from service.standin.realtime.answering import Answering
from service.standin.realtime.checks import check, parse, sound
from service.standin.realtime.common import Common
from service.standin.realtime.config import Config
from service.standin.realtime.items import Conversation, Item, shown_of
from service.standin.realtime.listening import Listening
from service.standin.realtime.mcp import Remote
from service.standin.refusals import Refusal

Event = dict[str, Any]
_RECEIVED_MOST = 20_000
_APPEND = "input_audio_buffer.append"


class Session:
    """`model` empty: it transcribes alone. What it sends is in `outbox`; left with `aclose`."""

    def __init__(self, desk: Desk, model: str, expires_at: int) -> None:
        self.config = Config(desk.new_id("sess"), model, expires_at)
        self.received: list[Event] = []  # without those that append sound
        self._desk = desk
        self._common = Common(desk, self.config)
        self._remote = Remote(self._common)
        self._answering = Answering(self._common, self._remote)
        self._listening = Listening(self._common, began=self._began, ended=self._ended)
        self._takes: dict[str, Callable[[Event], None]] = {
            "session.update": self._update,
            _APPEND: lambda event: self._listening.append(event["audio"]),
            "input_audio_buffer.commit": lambda _: self._listening.commit(),
            "input_audio_buffer.clear": lambda _: self._listening.clear(),
            "conversation.item.create": self._create_item,
            "conversation.item.delete": self._delete_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "response.create": lambda event: self._answering.create(event.get("response") or {}),
            "response.cancel": lambda event: self._answering.cancel(event.get("response_id")),
            "output_audio_buffer.clear": _only_over_webrtc,
        }
        self.tell("session.created", session=self.config.shown)

    @property
    def outbox(self) -> asyncio.Queue[str]:
        """What is to be sent, in order."""
        return self._common.outbox

    @property
    def conversation(self) -> Conversation:
        """All items, with what the model knows of each."""
        return self._common.conversation

    @property
    def memory(self) -> list[tuple[str, str]]:
        """What the model would go by now, as (role, text)."""
        return [(line.role, line.text) for i in self.conversation.items for line in i.lines()]

    def tell(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        self._common.tell(kind, **fields)

    def take(self, message: str | bytes) -> None:
        """A message of the client's."""
        event: Event = {}
        try:
            event = parse(message)
            check(event)
            if event["type"] != _APPEND and len(self.received) < _RECEIVED_MOST:
                self.received.append(event)
            self._takes[event["type"]](event)
        except Refusal as refusal:
            kind, event_id = event.get("type"), event.get("event_id")
            self._desk.refuse(kind if isinstance(kind, str) else "event", refusal)
            event_id = event_id if isinstance(event_id, str) else None
            self.tell("error", error=refusal.error() | {"event_id": event_id})

    async def aclose(self) -> None:
        """Stop all that goes on."""
        await self._common.aclose()

    def _update(self, event: Event) -> None:
        wanted = event["session"]
        written = ((wanted.get("audio") or {}).get("input") or {}).get("transcription") or {}
        if "model" in written:
            self._desk.check_model("transcription", written["model"])
        before = self.config.shown.get("tools", [])
        self.config.update(wanted, spoken=self._answering.spoken)
        self._listening.configured()
        self.tell("session.updated", session=self.config.shown)
        fresh = [tool for tool in self.config.shown.get("tools", []) if tool not in before]
        self._remote.list_tools(fresh)

    def _create_item(self, event: Event) -> None:
        wanted = event["item"]
        call_id = wanted.get("call_id")
        if wanted["type"] == "function_call_output" and not self.conversation.has_call(call_id):
            message = f"Tool call ID '{call_id}' not found in conversation."
            raise Refusal(message, code="invalid_tool_call_id", param="item.call_id")
        if wanted["type"] == "mcp_approval_response":
            self._remote.check(wanted)
        item = Item(shown_of(wanted, wanted.get("id") or self._desk.new_id("item")))
        said = [part["audio"] for part in wanted.get("content", ()) if part.get("audio")]
        heard = b"".join(sound(audio, self.config.hears, "item.content.audio") for audio in said)
        self._common.add(item, event.get("previous_item_id"))
        if wanted["type"] == "mcp_approval_response":
            self._remote.decide(wanted)
        if heard:
            self._listening.understand(item, heard, self.config.hears)

    def _delete_item(self, event: Event) -> None:
        self.conversation.delete(event["item_id"])
        self.tell("conversation.item.deleted", item_id=event["item_id"])

    def _retrieve_item(self, event: Event) -> None:
        item = self.conversation.need(event["item_id"], "retrieving")
        self.tell("conversation.item.retrieved", item=item.shown)

    def _truncate_item(self, event: Event) -> None:
        item_id, index, end_ms = event["item_id"], event["content_index"], event["audio_end_ms"]
        self.conversation.truncate(item_id, index, end_ms)
        of = {"item_id": item_id, "content_index": index, "audio_end_ms": end_ms}
        self.tell("conversation.item.truncated", **of)

    def _began(self) -> None:
        if (self.config.turns or {}).get("interrupt_response"):
            self._answering.interrupt()

    def _ended(self) -> None:
        if (self.config.turns or {}).get("create_response"):
            self._answering.answer_turn()


def _only_over_webrtc(_event: Event) -> None:
    message = "output_audio_buffer.clear is supported over WebRTC and SIP alone."
    raise Refusal(message, code="invalid_value", param="type")
