"""One phone call, scripted in code: each method lets time pass until what it says is done.

Time is virtual, so nothing waits. Plain functions over `Person`, which lives on the event loop.
"""

import asyncio
import operator
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from service.cassettes.cassette import Cassette
from service.cassettes.files import read
from service.cassettes.recorder import LINGER_MS
from service.testing.expectations import Expectations
from service.testing.person import (
    DIALLED,
    PATIENCE_MS,
    QUIET_MS,
    CallMisused,
    Person,
    Provider,
)
from service.testing.readings import Event, Reply, Turn, plain
from service.testing.sound import sound_of
from service.testing.stages import OpenStage, in_a_loop
from service.testing.telling import conversation
from service.twin.behaviour import Outcome, Result
from service.twin.caller import Say
from service.twin.record import CallRecord

WRITTEN_S = LINGER_MS / 1000 + 1
"""After a call's end, until its cassette is whole."""

_KEYS = frozenset("0123456789*#ABCD")

T = TypeVar("T")

# A failing test shows its own line, not ours.
_EXPECTED = (AssertionError, CallMisused)
__tracebackhide__ = operator.methodcaller("errisinstance", _EXPECTED)


class ScriptedCall:
    """A call between a person, whom the test plays, and an agent."""

    def __init__(
        self, place: OpenStage, *, number: str, provider: Provider, folders: tuple[Path, ...]
    ) -> None:
        self.trouble = ""  # what the test waited for in vain
        self.expect = Expectations(self)
        self._place = place
        self._person = Person(place.stage, number=number, provider=provider)
        self._folders = folders

    # What the person does ----------------------------------------------------------------------

    def dial(self, agent: str = "", *, provider: Provider | None = None, to: str = DIALLED) -> None:
        """Call the agent; without a name the one that lists the number `to`, else the default.

        Returns when the line is open, or the call was refused.
        """
        self._person.provider = provider or self.provider
        self._run(self._person.dial(agent, to))

    def ring(
        self,
        agent: str = "",
        *,
        provider: Provider | None = None,
        result: Result = "answered",
        ring_ms: int = 1000,
        machine: str = "human",
        **order: Any,
    ) -> None:
        """Be called by the agent, as `POST /v1/calls` does it, and answer after `ring_ms`.

        `result`: busy, no-answer, rejected, not-found or failed instead. `machine`: what the
        carrier takes the person for. `order`: more fields of the request, as `variables`.
        """
        self._person.provider = provider or self.provider
        outcome = Outcome(result=result, ring_ms=ring_ms, machine=machine)
        self._run(self._person.ring(agent, outcome, order))

    def say(self, what: str | Path, *, interrupt_after_ms: int | None = None) -> None:
        """Speak a text or play a WAV file, to its end.

        `interrupt_after_ms`: begin when the agent has been speaking for so long.
        """
        try:
            pcmu = sound_of(what, self._folders)
        except (OSError, ValueError) as error:
            raise CallMisused(str(error)) from None
        self._run(self._person.say(Say(pcmu, str(what)), interrupt_after_ms))

    def press(self, keys: str) -> None:
        """Press keys: digits, `*`, `#`, A to D."""
        if not keys or not _KEYS.issuperset(keys):
            raise CallMisused(f"{keys!r}: expected digits, *, # or A to D")
        self._run(self._person.press(keys))

    def listen(self, *, patience_ms: int = PATIENCE_MS, quiet_ms: int = QUIET_MS) -> Reply:
        """Be quiet until the agent has finished, and return what it said since last asked.

        AgentSilent when it says nothing for `patience_ms`. A pause shorter than `quiet_ms` is
        taken as part of what is said.
        """
        return self._run(self._person.listen(patience_ms, quiet_ms))

    def wait(self, ms: int) -> None:
        """Be quiet for so long, whatever the agent does."""
        self._run(self._person.wait(ms))

    def wait_for(self, event: str, *, patience_ms: int = PATIENCE_MS) -> Event:
        """Be quiet until an event of this type is in the call's record, and return the last."""
        return self._run(self._person.wait_for(event, patience_ms))

    def wait_until_ended(self, *, patience_ms: int = PATIENCE_MS) -> None:
        """Be quiet until the agent, or the service, has ended the call."""
        self._run(self._person.wait_until_ended(patience_ms))

    def hang_up(self) -> None:
        """Put the phone down, and see the call through to its last event."""
        self._run(self._person.hang_up())

    # What became of it -------------------------------------------------------------------------

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Who said what, in the order in which they began."""
        return self._person.turns

    @property
    def transcript(self) -> str:
        """The same for reading: a line for each turn."""
        return "\n".join(f"{turn.who}: {turn.text}" for turn in self.turns)

    @property
    def events(self) -> tuple[Event, ...]:
        """The call's record."""
        return self._person.events

    @property
    def tools(self) -> tuple[Event, ...]:
        """The tools that the agent called: those of the events that say so."""
        return tuple(event for event in self.events if event.type == "tool.called")

    @property
    def outcome(self) -> str | None:
        """How it ended: completed, busy, no_answer, rejected, ...; None: it has not."""
        return self.end.get("outcome")

    @property
    def end(self) -> dict[str, Any]:
        """`outcome`, `cause`, `ended_by`, `duration_ms`; empty while it goes on."""
        return self._person.end

    @property
    def call_id(self) -> str:
        """The service's name for it."""
        return str(self._person.call.get("call_id", ""))

    @property
    def begun(self) -> bool:
        """Whether anybody has called."""
        return self._person.begun is not None

    @property
    def record(self) -> CallRecord:
        """All that the carrier saw: requests, messages, sound. CallMisused before it began."""
        return self._person.record

    @property
    def provider(self) -> Provider:
        """The carrier: twilio or telnyx."""
        return self._person.provider

    @property
    def agent(self) -> str:
        """Who answered, or called."""
        return self._person.agent

    def heard(self, words: str) -> bool:
        """Whether the caller heard the agent say these words; capitals and stops do not matter."""
        heard = " ".join(turn.heard_text for turn in self.turns if turn.who == "agent")
        return plain(words) in plain(heard)

    def __str__(self) -> str:
        """The conversation, for reading."""
        return conversation(self)

    def __repr__(self) -> str:
        return f"<call over {self.provider}, agent {self.agent or '?'}, {self.outcome or 'on'}>"

    def recorded(self) -> Cassette | None:
        """A call that is over as the service recorded it; None when it did not."""
        if self._place.cassettes is None or not self.call_id:
            return None
        self._place.run(asyncio.sleep(WRITTEN_S))
        written = self._place.cassettes / f"{self.provider}-{self.call_id}.jsonl.zst"
        return read(written) if written.exists() else None

    def finish(self) -> None:
        """Leave nothing of the call behind."""
        if self.begun:
            self._run(self._person.leave())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if in_a_loop():
            work.close()
            raise CallMisused("calls are scripted in plain functions: `def`, not `async def`")
        try:
            return self._place.run(self._and_read(work))
        except (AssertionError, CallMisused) as trouble:
            self.trouble = str(trouble)
            raise trouble.with_traceback(None) from None  # without the event loop's innards

    async def _and_read(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        finally:
            await self._person.read()
