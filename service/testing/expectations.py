"""What a test may expect of a call, each with a message that says what came instead."""

import operator
from typing import Any

from service.testing.readings import Event, Known

# A failing test shows its own line, not ours.
__tracebackhide__ = operator.methodcaller("errisinstance", AssertionError)


class Expectations:
    """Of one call: `call.expect.heard("nine to five")`. Each raises AssertionError."""

    def __init__(self, call: Known) -> None:
        self._call = call

    def heard(self, words: str) -> None:
        """The caller heard the agent say these words; capitals and stops do not matter."""
        if not self._call.heard(words):
            heard = [turn.heard_text for turn in self._call.turns if turn.who == "agent"]
            raise AssertionError(f"the caller never heard {words!r}, but {_listed(heard)}")

    def understood(self, *texts: str) -> None:
        """The agent took exactly this for what the caller said, turn by turn."""
        understood = [turn.text for turn in self._call.turns if turn.who == "caller"]
        if understood != [*texts]:
            raise AssertionError(f"understood was {_listed(understood)}, not {_listed(texts)}")

    def event(self, type_: str, **data: Any) -> Event:
        """An event of this type, with at least this data, is in the call's record."""
        same = [event for event in self._call.events if event.type == type_]
        for event in same:
            if event.data.items() >= data.items():
                return event
        if same:
            raise AssertionError(f"{type_} came with {_listed(e.data for e in same)}, not {data}")
        there = dict.fromkeys(event.type for event in self._call.events)
        raise AssertionError(f"no event {type_} came, only {', '.join(there) or 'none'}")

    def no_event(self, type_: str) -> None:
        """No event of this type is in the call's record."""
        same = [event.data for event in self._call.events if event.type == type_]
        if same:
            raise AssertionError(f"{type_} came with {_listed(same)}")

    def tool(self, name: str, **arguments: Any) -> Event:
        """The agent called this tool, with at least these arguments."""
        called = [event for event in self._call.events if event.type == "tool.called"]
        for event in called:
            given = event.data.get("arguments")
            same = isinstance(given, dict) and given.items() >= arguments.items()
            if event.data.get("name") == name and (same or not arguments):
                return event
        wanted = f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"
        raise AssertionError(f"{wanted} was not called, but {_listed(e.data for e in called)}")

    def answers_within(self, ms: int) -> None:
        """Every answer of the agent's began so soon after the caller's last sound, or sooner."""
        late = [
            f"{turn.text!r} after {turn.latency['response_ms']} ms"
            for turn in self._call.turns
            if turn.latency.get("response_ms", 0) > ms
        ]
        if late:
            raise AssertionError(f"later than {ms} ms: {'; '.join(late)}")

    def ended(self, outcome: str = "completed", *, by: str | None = None) -> None:
        """The call is over, in this way, ended by this side: caller, agent, api, carrier, ..."""
        end = self._call.end
        if not end:
            raise AssertionError("the call is still on: hang_up() or wait_until_ended() first")
        if end["outcome"] != outcome or by not in (None, end["ended_by"]):
            said = f"{end['outcome']} by {end['ended_by']} ({end['cause']})"
            raise AssertionError(f"the call ended {said}, not {outcome} by {by or 'anybody'}")

    def no_trouble(self) -> None:
        """No fault is in the call's record, and the carrier refused nothing."""
        faults = [f"fault {event.data}" for event in self._call.events if event.type == "fault"]
        refused = [f"{warned.code} {warned.detail}" for warned in self._call.record.warnings]
        if faults or refused:
            raise AssertionError("; ".join([*faults, *refused]))


def _listed(things: Any) -> str:
    return "; ".join(repr(thing) for thing in things) or "nothing"
