"""What all parts of a session share: its settings, its conversation, and the way to the client."""

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import Any

from service.standin.desk import Desk
from service.standin.realtime.config import Config
from service.standin.realtime.items import Conversation, Item

_log = logging.getLogger(__name__)


class Common:
    """Of one session."""

    def __init__(self, desk: Desk, config: Config) -> None:
        self.desk = desk
        self.config = config
        self.hearing = desk.hearing.of_session()
        self.conversation = Conversation()
        self.conversation_id = desk.new_id("conv")
        self.outbox: asyncio.Queue[str] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        event = {"type": kind, "event_id": self.desk.new_id("event")} | fields
        self.outbox.put_nowait(json.dumps(event, separators=(",", ":")))

    def add(self, item: Item, after: str | None = None) -> None:
        """Put a finished item into the conversation, and tell of it."""
        before = self.conversation.add(item, after)
        for kind in ("added", "done"):
            self.tell(f"conversation.item.{kind}", previous_item_id=before, item=item.shown)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Work that goes on while the session lasts."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=fault)

    async def aclose(self) -> None:
        """Stop all work."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
