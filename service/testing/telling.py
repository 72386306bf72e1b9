"""A call as people read it when a test of it fails: who said and did what, when, and how it ended.

Merges what the person on the line did with what the service wrote down.
"""

from collections.abc import Iterator

from service.testing.readings import Event, Known, Turn

_SPOKEN = frozenset({"turn.agent", "turn.user"})  # told as turns
_UNTOLD = frozenset({"provider", "direction", "to", "from", "agent", "stream_id", "turn_id"})
_LATENCY = {
    "end_of_turn_ms": "end of turn",
    "recognition_ms": "recognition",
    "first_audio_ms": "first audio",
    "first_frame_ms": "first frame",
}

Told = tuple[int, str, str]  # ms, who, what


def conversation(call: Known) -> str:
    """The whole call, a line for each thing that happened."""
    record = call.record
    told = [*_done(call), *map(_event, _other(call.events)), *map(_turn, call.turns)]
    told += [(w.at_ms, "carrier", f"complains: {w.code} {w.detail}") for w in record.warnings]
    lines = [f"{ms / 1000:7.2f} s  {who:<8} {what}" for ms, who, what in sorted(told, key=_when)]
    lines.insert(0, f"{record.direction} call over {call.provider}, agent {call.agent or '?'}")
    if not call.end:
        lines.append(f"{'':11}{'':8} (the call was still on)")
    if call.trouble:
        lines.append(f"{'':11}{'test':<8} {call.trouble}")
    return "\n".join(lines)


def _when(told: Told) -> int:
    return told[0]


def _done(call: Known) -> Iterator[Told]:
    for remark in call.record.remarks:
        what = {"says": f"says {remark.text!r}", "presses": f"presses {remark.text}"}
        yield remark.at_ms, "you", what.get(remark.kind, remark.kind.replace("_", " "))


def _other(events: tuple[Event, ...]) -> list[Event]:
    return [event for event in events if event.type not in _SPOKEN]


def _event(event: Event) -> Told:
    known = (pair for pair in event.data.items() if pair[0] not in _UNTOLD)
    data = ", ".join(f"{name}={value}" for name, value in known)
    return event.at_ms, "event", f"{event.type} {data}".rstrip()


def _turn(turn: Turn) -> Told:
    if turn.who == "caller":
        return turn.ended_ms, "agent", f"understood {turn.text!r}"
    text = turn.text
    unheard = text[len(turn.heard_text) :].strip()
    if unheard:
        text = f"{turn.heard_text} [not heard: {unheard}]".strip()
    return turn.started_ms, "agent", f"says {text!r}{_latency(turn.latency)}"


def _latency(latency: dict[str, int]) -> str:
    if not latency:
        return ""
    parts = ", ".join(f"{name} {latency[key]}" for key, name in _LATENCY.items() if key in latency)
    return f"  (after {latency['response_ms']} ms: {parts})"
