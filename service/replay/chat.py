"""A call's events as a conversation that people can read: plain, or coloured on a terminal.

Prints what the call's record says and nothing that only a twin could know.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.twin.record import CallRecord

_NAME_WIDTH = 8
_PARTS = {
    "end_of_turn_ms": "end of turn",
    "recognition_ms": "recognition",
    "first_audio_ms": "first audio",
    "first_frame_ms": "first frame",
}


class Style:
    """How words stand out; without colour only by what surrounds them."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def title(self, text: str) -> str:
        """A heading."""
        return self._in("1", text)

    def who(self, name: str) -> str:
        """The one who speaks or acts."""
        colour = {"agent": "36", "caller": "33"}.get(name, "2")
        return self._in(colour, name.ljust(_NAME_WIDTH))

    def aside(self, text: str) -> str:
        """Figures and remarks."""
        return self._in("2", text)

    def unheard(self, text: str) -> str:
        """Words that were made and never heard."""
        return self._in("2;9", text) if self._colour else f"[not heard: {text}]"

    def bad(self, text: str) -> str:
        """What went wrong."""
        return self._in("31", text)

    def _in(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text


class Chat:
    """One call, printed as it goes."""

    def __init__(self, style: Style) -> None:
        self.events: list[dict[str, Any]] = []
        self.over = False
        self._style = style
        self._worked_ms: float | None = None
        self._turn_from_ms = 0.0

    def title(self, carrier: str, title: str) -> None:
        """What is about to be played."""
        print(self._style.title(f"\n{carrier.capitalize()}. {title}."), flush=True)

    def tell(self, events: Sequence[dict[str, Any]], worked_ms: float | None = None) -> None:
        """Print those of a call's events that have not been told yet.

        `worked_ms`: for how long recognition and speech have held a virtual clock so far.
        """
        self._worked_ms = worked_ms
        for event in events[len(self.events) :]:
            self.events.append(event)
            self._tell(event)
            self.over = self.over or event["type"] == "call.ended"

    def ended(self, record: CallRecord, *, real_s: float) -> None:
        """Print how long the call was, and how long it took to play."""
        call_s = (record.ended_at_ms or 0) / 1000
        took = f"  {call_s:.1f} s of call time played in {real_s:.1f} s"
        print(self._style.aside(f"{took}, {call_s / real_s:.0f} times as fast as speech"))

    def _tell(self, event: dict[str, Any]) -> None:
        data = event["data"]
        match event["type"]:
            case "call.answered":
                self._say(event, "line", "answered")
            case "turn.agent":
                self._agent(event)
            case "turn.user":
                self._say(event, "caller", data["text"] or "(not understood)")
            case "agent.interrupted":
                self._say(event, "line", f"the agent was interrupted after {data['heard_ms']} ms")
            case "dtmf.received":
                self._say(event, "caller", f"presses {data['digit']}")
            case "call.ended":
                length_s = data["duration_ms"] / 1000
                how = f"{data['outcome']}, ended by the {data['ended_by']}, {length_s:.1f} s"
                self._say(event, "line", how)
            case "fault":
                self._say(event, "line", self._style.bad(f"fault: {data['code']}"))
            case _:
                pass

    def _agent(self, event: dict[str, Any]) -> None:
        self._print_turn(event)
        self._turn_from_ms = self._worked_ms or 0.0

    def _print_turn(self, event: dict[str, Any]) -> None:
        text, heard = event["data"]["text"], event["data"]["heard_text"]
        unheard = text[len(heard) :].strip()
        if unheard:
            text = f"{heard} {self._style.unheard(unheard)}".strip()
        self._say(event, "agent", text)
        latency = event["data"]["latency"]
        if latency:
            parts = " + ".join(f"{name} {latency[part]}" for part, name in _PARTS.items())
            spent = f"answered after {latency['response_ms']} ms: {parts}"
            spent += self._work()
            print(f"{'':>9}{'':{_NAME_WIDTH}}{self._style.aside(spent)}", flush=True)

    def _work(self) -> str:
        """What this turn's recognition and speech really took, when the clock stood still."""
        if self._worked_ms is None:
            return ""
        spent_ms = self._worked_ms - self._turn_from_ms
        return f"; clock held {spent_ms:.0f} ms for recognition and speech"

    def _say(self, event: dict[str, Any], who: str, text: str) -> None:
        began = event["data"].get("started_at", event["at"])
        seconds = (_moment(began) - _moment(self.events[0]["at"])).total_seconds()
        print(f"{seconds:6.1f} s {self._style.who(who)}{text}", flush=True)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
