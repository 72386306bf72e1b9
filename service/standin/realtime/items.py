"""The conversation of a session: its items, and what the model remembers of each.

What the assistant said is remembered as far as its sound goes: a truncated item keeps the words
whose sound is left, and no transcript, as at OpenAI's.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from service.core.audio import MediaFormat
from service.standin.model import Line
from service.standin.refusals import Refusal
from service.standin.sound import Made, width


class Item(Struct, eq=False):
    """One item. `shown` is how the API tells of it, without sound."""

    shown: dict[str, Any]
    heard: bytes = b""  # what the person said, in the format that it came in
    heard_format: MediaFormat | None = None
    understood: "asyncio.Future[str] | None" = None
    made: Made | None = None  # what the assistant says, whole
    sent_bytes: int = 0  # of that, what the client has got; less after a truncation
    truncated: bool = False

    @property
    def id(self) -> str:
        """Its id."""
        name: str = self.shown["id"]
        return name

    @property
    def audio_ms(self) -> int:
        """How much sound of the assistant's is in it."""
        return self.made.format.duration_ms(self.sent_bytes) if self.made else 0

    def remembered(self) -> str:
        """The words that the model finds in it."""
        if self.made is not None:
            return self.made.heard(self.audio_ms)
        if self.understood is not None:
            return self.understood.result() if self.understood.done() else ""
        texts = (part.get("text") for part in self.shown.get("content", ()))
        return " ".join(text for text in texts if text)

    def lines(self) -> list[Line]:
        """What it is to the model."""
        match self.shown["type"]:
            case "message":
                text = self.remembered()
                return [Line(self.shown["role"], text)] if text else []
            case "function_call":
                return [Line("call", f"{self.shown['name']}({self.shown['arguments']})")]
            case "mcp_call":
                call = Line("call", f"{self.shown['name']}({self.shown['arguments']})")
                found = self.shown["output"] or (self.shown["error"] or {}).get("message")
                return [call] if found is None else [call, Line("result", found)]
            case "function_call_output":
                return [Line("result", self.shown["output"])]
            case _:
                return []


class Conversation:
    """The items in their order."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def find(self, item_id: str) -> Item | None:
        """The item of this id."""
        return next((item for item in self.items if item.id == item_id), None)

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Put it behind the last, or behind another ("root": first); the id it stands behind."""
        if self.find(item.id) is not None:
            message = f"Error adding item: an item with id '{item.id}' already exists."
            raise Refusal(message, code="item_create_duplicate_item_id", param="item.id")
        if after == "root":
            self.items.insert(0, item)
            return None
        place = len(self.items)
        if after is not None:
            place = self.items.index(self.need(after, "adding")) + 1
        self.items.insert(place, item)
        return self.items[place - 1].id if place else None

    def before(self, item: Item) -> str | None:
        """The id of the item before this one."""
        place = self.items.index(item) if item in self.items else 0
        return self.items[place - 1].id if place else None

    def need(self, item_id: str, doing: str) -> Item:
        """The item of this id; Refusal when there is none."""
        found = self.find(item_id)
        if found is None:
            kind = {"adding": "create", "deleting": "delete", "truncating": "truncate"}.get(doing)
            message = f"Error {doing} item: the item with id '{item_id}' does not exist."
            code = f"item_{kind or 'retrieve'}_invalid_item_id"
            raise Refusal(message, code=code, param="item_id")
        return found

    def delete(self, item_id: str) -> None:
        """Forget an item."""
        self.items.remove(self.need(item_id, "deleting"))

    def truncate(self, item_id: str, content_index: int, end_ms: int) -> None:
        """Forget the sound after `end_ms`, and the transcript."""
        item = self.need(item_id, "truncating")
        if item.shown.get("role") != "assistant" or item.made is None:
            message = "Only audio of the assistant can be truncated."
            raise Refusal(message, code="invalid_value", param="item_id")
        if content_index != 0:
            message = f"Content index {content_index} does not exist."
            raise Refusal(message, code="invalid_value", param="content_index")
        if end_ms < 0:
            raise Refusal("Negative time.", code="integer_below_min_value", param="audio_end_ms")
        if end_ms > item.audio_ms:
            message = f"Audio content of {item.audio_ms}ms is already shorter than {end_ms}ms"
            raise Refusal(message, code="invalid_value")
        item.sent_bytes = min(_bytes(item.made.format, end_ms), item.sent_bytes)
        item.truncated = True
        for part in item.shown["content"]:
            part.pop("transcript", None)

    def has_call(self, call_id: str) -> bool:
        """Whether a function was called under this id."""
        return any(
            item.shown["type"] == "function_call" and item.shown.get("call_id") == call_id
            for item in self.items
        )


async def lines_of(items: Iterable[Item]) -> list[Line]:
    """What the model takes items for, once all that was said has been understood."""
    found = []
    for item in [*items]:
        if item.understood is not None:
            await asyncio.shield(item.understood)
        found += item.lines()
    return found


def shown_of(item: Mapping[str, Any], item_id: str) -> dict[str, Any]:
    """A client's item as the server tells of it."""
    known = {"object": "realtime.item", "status": "completed"}
    if str(item["type"]).startswith("mcp_"):
        known = {}
    shown: dict[str, Any] = {**known, **item, "id": item_id}
    if shown["type"] == "message":
        kept = ("type", "text", "transcript", "image_url", "detail")
        content = [{k: p[k] for k in kept if k in p} for p in item["content"]]
        shown["content"] = content
    return shown


def _bytes(audio_format: MediaFormat, ms: int) -> int:
    return ms * audio_format.sample_rate_hz // 1000 * width(audio_format)
