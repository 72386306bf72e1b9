"""The items of an answer while they are made, and the events that tell of them.

Whenever the answer ends, the item under way is closed with what it has by then. The order of
events is that of OpenAI's.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from service.standin.realtime.items import Item
from service.standin.realtime.wish import Ends, Stage, Wish

_UNDER_WAY = "in_progress"
Closing = tuple[str, dict[str, Any]]


class Output:
    """Of one answer."""

    def __init__(self, wish: Wish, stage: Stage) -> None:
        self.wish = wish
        self.stage = stage
        self.items: list[Item] = []
        self.spoke = False
        self.tokens = 0
        self._open: Item | None = None
        self._closing: list[Closing] = []
        self._deltas = 0
        self._odd_due = wish.fault is not None and wish.fault.does == "odd"

    def open(self, shown: dict[str, Any]) -> Item:
        """Begin an item."""
        item = Item(shown)
        self.items.append(item)
        self._open, self._closing = item, []
        self.tell("response.output_item.added", item=shown)
        self._tell_of_conversation("conversation.item.added", item)
        return item

    def tell(self, kind: str, **fields: Any) -> None:
        """Send an event about the item under way."""
        known = {"response_id": self.wish.id, "output_index": len(self.items) - 1}
        self.stage.tell(kind, **known | fields)

    def closing(self, events: Iterable[Closing]) -> None:
        """What is sent before the item under way is done, as it is now."""
        self._closing = [*events]

    def close(self, status: str = "completed") -> None:
        """End the item under way, if there is one."""
        item, self._open = self._open, None
        if item is None:
            return
        for kind, fields in self._closing:
            self.tell(kind, **fields)
        if "status" in item.shown:  # a remote call has none, and is not done yet
            item.shown["status"] = status
            self._tell_of_conversation("conversation.item.done", item)
        self.tell("response.output_item.done", item=item.shown)

    async def step(self) -> None:
        """Before each delta: waits for ever, or raises Ends, where the script says so."""
        fault = self.wish.fault
        if fault is not None and fault.after == self._deltas:
            if fault.does == "stall":
                await asyncio.Event().wait()
            elif fault.does == "failed":
                raise Ends("failed", code=fault.reason or "server_error")
        self._deltas += 1

    def spend(self, tokens: int) -> None:
        """Raises Ends when there are too many."""
        self.tokens += tokens
        most = self.wish.most_tokens
        if most is not None and self.tokens > most:
            raise Ends("incomplete", reason="max_output_tokens")

    def odd(self) -> bytes:
        """Half a sample too much, once, where the script says so."""
        due = self._odd_due and self.wish.fault is not None
        if due and self.wish.fault is not None and self._deltas > self.wish.fault.after:
            self._odd_due = False
            return b"\x00"
        return b""

    def _tell_of_conversation(self, kind: str, item: Item) -> None:
        if self.wish.conversation_id is not None:
            before = self.stage.place(item)
            self.stage.tell(kind, previous_item_id=before, item=item.shown)
