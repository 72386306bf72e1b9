"""What is known of a call: its events, who said what, and what the caller heard, as plain values.

Read from the service's REST API and from what the carrier's twin recorded; times are milliseconds
since the call began.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct

from service.testing.sound import Samples
from service.twin.record import CallRecord


class Event(Struct, frozen=True):
    """One entry of the call's record: `turn.user`, `dtmf.received`, `call.ended`, ..."""

    type: str
    at_ms: int
    data: dict[str, Any]


class Said(Struct, frozen=True, kw_only=True):
    """What one side said. `heard_text`: as far as the caller heard it; of the caller all."""

    who: str  # agent, caller
    text: str
    heard_text: str
    interrupted: bool
    latency: dict[str, int]  # the service's own account, in parts; empty when it was no answer


class Turn(Said, frozen=True, kw_only=True):
    """And when."""

    started_ms: int
    ended_ms: int


class Known(Protocol):
    """A call of which this much is known."""

    trouble: str

    @property
    def provider(self) -> Literal["twilio", "telnyx"]:
        """The carrier."""

    @property
    def agent(self) -> str:
        """Who answered, or called."""

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Who said what."""

    @property
    def events(self) -> tuple[Event, ...]:
        """Its record."""

    @property
    def end(self) -> dict[str, Any]:
        """How it ended; empty while it goes on."""

    @property
    def record(self) -> CallRecord:
        """What the carrier saw."""

    def heard(self, words: str) -> bool:
        """Whether the caller heard the agent say these words."""


class Reply(Struct, frozen=True, kw_only=True):
    """What the agent said while the caller listened.

    `latency_ms`: silence at the caller's ear between the end of the caller's words (or the start
    of the stream) and the agent's first sound. `audio`: PCM16 at 8 kHz, as it was heard.
    """

    text: str
    heard_text: str
    interrupted: bool
    latency_ms: int
    turns: tuple[Turn, ...]
    audio: Samples

    def __repr__(self) -> str:
        cut = f", heard {self.heard_text!r}" if self.interrupted else ""
        return f"Reply({self.text!r}{cut}, latency_ms={self.latency_ms})"


def events_of(told: Iterable[Mapping[str, Any]], began_at: datetime) -> tuple[Event, ...]:
    """The API's events."""
    return tuple(
        Event(event["type"], _ms(event["at"], began_at), dict(event["data"])) for event in told
    )


def turns_of(told: Iterable[Mapping[str, Any]], began_at: datetime) -> tuple[Turn, ...]:
    """The API's transcript."""
    return tuple(
        Turn(
            who=turn["who"],
            text=turn["text"],
            heard_text=turn["text"] if turn["heard_text"] is None else turn["heard_text"],
            interrupted=turn["interrupted"],
            started_ms=_ms(turn["started_at"], began_at),
            ended_ms=_ms(turn["ended_at"], began_at),
            latency=turn["latency"],
        )
        for turn in told
    )


def reply_of(turns: Sequence[Turn], *, latency_ms: int, audio: Samples) -> Reply:
    """Several turns of the agent's, one after the other, as one."""
    return Reply(
        text=" ".join(turn.text for turn in turns),
        heard_text=" ".join(turn.heard_text for turn in turns),
        interrupted=any(turn.interrupted for turn in turns),
        latency_ms=latency_ms,
        turns=tuple(turns),
        audio=audio,
    )


def plain(text: str) -> str:
    """Words alone: without capitals, stops and doubled blanks."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _ms(moment: str, began_at: datetime) -> int:
    return round((datetime.fromisoformat(moment) - began_at).total_seconds() * 1000)
