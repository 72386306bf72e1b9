"""What an answer is to be like, and what it needs of its session."""

from typing import Any, Literal, Protocol

from msgspec import Struct

from service.core.audio import MediaFormat
from service.standin.realtime.items import Item
from service.standin.script import Answer, Delays, Fault, Sound
from service.standin.sound import Made

Status = Literal["completed", "cancelled", "failed", "incomplete"]


class Wish(Struct, frozen=True, kw_only=True):
    """The session's settings, changed by what was asked of this answer."""

    id: str
    conversation_id: str | None  # None: it stays out of the conversation
    modality: str  # "audio" or "text"
    voice: str
    speed: float
    format: MediaFormat
    shown_format: dict[str, Any]  # as the API tells of it
    tools: bool  # whether any may be called
    most_tokens: int | None
    metadata: dict[str, str] | None
    delays: Delays
    sound: Sound
    fault: Fault | None


class Stage(Protocol):
    """The session, as an answer sees it."""

    def tell(self, kind: str, **fields: Any) -> None:
        """Send an event."""

    def new_id(self, prefix: str) -> str:
        """A fresh id."""

    def place(self, item: Item) -> str | None:
        """Put an item into the conversation, once; the id of the one before it."""

    def call_remote(self, item: Item, output_index: int) -> None:
        """Carry out a call of a remote MCP server's tool."""

    async def choose(self) -> Answer:
        """What the model answers, as the conversation is now."""

    async def speak(self, text: str, wish: Wish) -> Made:
        """The sound of a text."""


class Ends(Exception):
    """The answer goes no further."""

    def __init__(self, status: Status, *, reason: str | None = None, code: str = "") -> None:
        super().__init__(status)
        self.status: Status = status
        self.reason = reason
        self.code = code
