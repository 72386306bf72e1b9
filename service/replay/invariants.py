"""What must hold of every call, whatever goes wrong: pure checks over what happened.

Nothing here asks whether a call went well; that is what diffs are for. Each breach is named with
its time and the rule it breaks. Follows interface.md, sections 4 to 6.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from service.cassettes.cassette import Happening, Line
from service.core.calls import Call, CallState
from service.core.events import (
    EngineEvent,
    EngineFailed,
    SpeechStarted,
    Transcribed,
    TurnAudio,
    TurnId,
    TurnStarted,
)
from service.replay.ear import Cleared, Gone, Heard, Sent, Started, WireEvent

DEAD_AIR_MS = 3000
"""Longest silence after the call opened, the caller spoke or the engine failed."""

STALLED_MS = 12_000
"""The same when the engine stalls without a word: it is given up after ten seconds of silence."""

LEAD_MS = 200
MARK_SPACING_MS = 500
FRAME_MS = 20
SILENCED_WITHIN_MS = 60
"""From the decision to interrupt to silence at the caller's end, on a way that takes no time."""

MESSAGES = frozenset({"media", "mark", "clear"})
ENTRIES = frozenset(
    {
        "call.queued",
        "call.ringing",
        "call.answered",
        "stream.started",
        "turn.user",
        "turn.agent",
        "agent.interrupted",
        "dtmf.received",
        "tool.called",
        "machine.detected",
        "recording.saved",
        "stream.stopped",
        "call.ended",
        "fault",
    }
)
_AFTERWARDS = frozenset({"recording.saved", "fault"})
_TALK = frozenset({"turn.user", "turn.agent", "agent.interrupted"})


class Entry(Struct, frozen=True):
    """An entry of a call's record, at its time since the call began."""

    at_ms: int
    happened: Happening

    @property
    def type(self) -> str:
        """What kind of entry."""
        return self.happened.type


class Left(Struct, frozen=True, kw_only=True):
    """What a call left behind."""

    tasks: tuple[str, ...] = ()
    live: int = 0  # calls that count as live in this process
    leases: int = 0
    backlog: int = 0  # entries that were not written
    tokens: int = 0  # that would still let a socket in


class Evidence(Struct, frozen=True, kw_only=True):
    """All that is known of one call that was played. Times in ms since it began."""

    lines: Sequence[Line] = ()  # what the bridge did
    calls: Sequence[Call] = ()
    entries: Mapping[str, Sequence[Entry]] = {}  # by call_id
    wire: Sequence[WireEvent] = ()
    heard: Sequence[Heard] = ()
    said: Sequence[tuple[int, EngineEvent]] = ()  # by the engine
    turns: Mapping[TurnId, int] = {}  # the engine's turns by number
    interrupted: Sequence[tuple[float, int]] = ()  # when, and which turn
    greets: bool = False
    dead_air_ms: int = DEAD_AIR_MS
    honest_marks: bool = True
    away: Sequence[tuple[int, int]] = ()  # when the store could not be reached or written
    stopped_ms: int | None = None  # the process was told to stop
    left: Left = Left()


class Breach(Struct, frozen=True):
    """Something that must never be."""

    at_ms: int
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.at_ms / 1000:8.3f} s  {self.rule}: {self.what}"


def breaches(evidence: Evidence) -> list[Breach]:
    """Every breach of every rule, in the order of time."""
    found = [breach for rule in RULES for breach in rule(evidence)]
    return sorted(found, key=lambda breach: breach.at_ms)


# The record --------------------------------------------------------------------------------------


def one_end(evidence: Evidence) -> Iterator[Breach]:
    """A call ends once, and only what may come late comes after that."""
    if len(evidence.calls) > 1:
        yield Breach(0, "one end", f"one call has {len(evidence.calls)} records")
    for call in evidence.calls:
        entries = evidence.entries.get(call.call_id, ())
        ends = [at for at, entry in enumerate(entries) if entry.type == "call.ended"]
        last_ms = entries[-1].at_ms if entries else 0
        if call.state is not CallState.ENDED:
            if not _left_behind(evidence, call):
                yield Breach(last_ms, "one end", f"the call is still {call.state}")
        elif len(ends) != 1:
            yield Breach(last_ms, "one end", f"call.ended was written {len(ends)} times")
        else:
            late = [entry for entry in entries[ends[0] + 1 :] if entry.type not in _AFTERWARDS]
            for entry in late:
                yield Breach(entry.at_ms, "one end", f"{entry.type} after call.ended")


def _left_behind(evidence: Evidence, call: Call) -> bool:
    """A call that was handed over outlives the process: its carrier tells the next one."""
    return evidence.stopped_ms is not None and call.transferred_at is not None


def order(evidence: Evidence) -> Iterator[Breach]:
    """A record tells a call in order: announced, answered, streaming, talk, stopped, ended."""
    for call in evidence.calls:
        entries = evidence.entries.get(call.call_id, ())
        types = [entry.type for entry in entries]
        if types and types[0] not in ("call.queued", "call.ringing"):
            yield Breach(entries[0].at_ms, "order", f"the record begins with {types[0]}")
        for once in ("call.queued", "call.ringing", "call.answered"):
            if types.count(once) > 1:
                yield Breach(entries[-1].at_ms, "order", f"{types.count(once)} times {once}")
        yield from _streaming_in_order(entries, types)


def _streaming_in_order(entries: Sequence[Entry], types: Sequence[str]) -> Iterator[Breach]:
    if "stream.started" not in types:
        for entry in entries:
            if entry.type in _TALK or entry.type == "stream.stopped":
                yield Breach(entry.at_ms, "order", f"{entry.type} without stream.started")
        return
    start = types.index("stream.started")
    if "call.answered" not in types[:start]:
        yield Breach(entries[start].at_ms, "order", "stream.started before call.answered")
    elif entries[types.index("call.answered")].at_ms > entries[start].at_ms:
        yield Breach(entries[start].at_ms, "order", "call.answered is later than stream.started")
    yield from _one_after_the_other(entries)


def _one_after_the_other(entries: Sequence[Entry]) -> Iterator[Breach]:
    """A call has a second stream when it was handed over and nobody took it."""
    streaming = False
    for entry in entries:
        match entry.type:
            case "stream.started" if streaming:
                yield Breach(entry.at_ms, "order", "stream.started while there was a stream")
            case "stream.stopped" if not streaming:
                yield Breach(entry.at_ms, "order", "stream.stopped while there was no stream")
            case "stream.started" | "stream.stopped":
                streaming = entry.type == "stream.started"
            case kind if kind in _TALK and not streaming:
                yield Breach(entry.at_ms, "order", f"{kind} outside of the stream")
            case _:
                pass
    if streaming:
        yield Breach(entries[-1].at_ms, "order", "stream.started without stream.stopped")


def known_kinds(evidence: Evidence) -> Iterator[Breach]:
    """Nothing of a kind that nobody knows is sent or written, and nothing before the start."""
    for line in evidence.lines:
        event = (line.message or {}).get("event")
        if line.lane != "stream" or line.from_ != "bridge":
            continue
        if line.text is not None or line.binary is not None:
            yield Breach(line.at_ms, "known kinds", "a message that is not JSON")
        elif line.message is not None and event not in MESSAGES:
            yield Breach(line.at_ms, "known kinds", f"a message {event!r}")
    for entries in evidence.entries.values():
        for entry in entries:
            if entry.type not in ENTRIES:
                yield Breach(entry.at_ms, "known kinds", f"an entry {entry.type!r}")
    started = set()
    for event in evidence.wire:
        if isinstance(event, Started):
            started.add(event.socket)
        elif isinstance(event, Sent | Cleared) and event.socket not in started:
            yield Breach(round(event.at_ms), "known kinds", "sent before the stream's start")


def answers(evidence: Evidence) -> Iterator[Breach]:
    """Who asks is answered, and not with our own failure while the store is there."""
    for line in evidence.lines:
        if line.lane not in ("webhook", "api") or line.response is None:
            continue
        who, status = "a webhook" if line.lane == "webhook" else "a user", line.response.status
        if status == 0 and not _over(evidence.stopped_ms, line.at_ms):
            yield Breach(line.at_ms, "answers", f"{who} was not answered")
        if status >= 500 and not (status == 503 and _away(evidence, line.at_ms)):
            yield Breach(line.at_ms, "answers", f"{who} was answered with {status}")


def _away(evidence: Evidence, at_ms: int) -> bool:
    return any(from_ms <= at_ms <= to_ms for from_ms, to_ms in evidence.away)


def _over(stopped_ms: int | None, at_ms: int) -> bool:
    return stopped_ms is not None and at_ms >= stopped_ms


def no_leak(evidence: Evidence) -> Iterator[Breach]:
    """After the call nothing of it is left but its record."""
    left = evidence.left
    at_ms = max([entry.at_ms for each in evidence.entries.values() for entry in each], default=0)
    for task in left.tasks:
        yield Breach(at_ms, "no leak", f"the task {task} goes on")
    kept = sum(_left_behind(evidence, call) for call in evidence.calls)
    counted = {
        "calls that count as live": left.live,
        "leases": left.leases - kept,
        "entries not written": left.backlog,
        "valid tokens": left.tokens - kept,
    }
    for what, count in counted.items():
        if count:
            yield Breach(at_ms, "no leak", f"{what}: {count}")


# What was heard ----------------------------------------------------------------------------------


def no_stale_sound(evidence: Evidence) -> Iterator[Breach]:
    """What was interrupted is neither sent any more nor heard."""
    dead: set[int] = set()
    for event in evidence.wire:
        if isinstance(event, Cleared | Started):
            dead |= {turn for at_ms, turn in evidence.interrupted if at_ms <= event.at_ms}
        elif isinstance(event, Sent):
            for turn in dead.intersection(event.turns):
                yield Breach(
                    round(event.at_ms), "no stale sound", f"turn {turn} is sent after the clear"
                )
    for at_ms, turn in evidence.interrupted:
        last_ms = max((h.at_ms + h.length_ms for h in evidence.heard if h.turn == turn), default=0)
        if last_ms > at_ms + SILENCED_WITHIN_MS:
            yield Breach(
                round(last_ms),
                "no stale sound",
                f"turn {turn}, interrupted at {at_ms:.0f} ms, is heard until {last_ms:.0f} ms",
            )


def true_ledger(evidence: Evidence) -> Iterator[Breach]:
    """What the record says was heard is what was played."""
    if any(isinstance(event, Started) and not event.audible for event in evidence.wire):
        return
    played = _played(evidence.heard)
    written: set[int] = set()
    for entries in evidence.entries.values():
        for entry in entries:
            turn = evidence.turns.get(entry.happened.data.get("turn_id", ""))
            if entry.type != "turn.agent" or turn is None:
                continue
            if turn in written:
                yield Breach(entry.at_ms, "true ledger", f"turn {turn} is written twice")
            written.add(turn)
            yield from _true_turn(evidence, entry, turn, played.get(turn, 0))
    for turn, played_ms in played.items():
        if turn not in written and played_ms > LEAD_MS:
            yield Breach(0, "true ledger", f"turn {turn}: {played_ms} ms heard and not written")


def _true_turn(evidence: Evidence, entry: Entry, turn: int, played_ms: int) -> Iterator[Breach]:
    said: dict[str, Any] = entry.happened.data
    heard_ms, made_ms = said["heard_ms"], said["made_ms"]
    text, heard_text = said["text"], said["heard_text"]
    what = f"turn {turn}: {heard_ms} ms heard of {made_ms}, {played_ms} ms played"
    too_much = heard_ms > min(played_ms, made_ms) + FRAME_MS
    too_little = heard_ms < played_ms - LEAD_MS - MARK_SPACING_MS
    if too_much or (too_little and evidence.honest_marks):
        yield Breach(entry.at_ms, "true ledger", what)
    in_full = bool(text) and heard_text == text
    if not text.startswith(heard_text) or (text and in_full == said["interrupted"]):
        yield Breach(entry.at_ms, "true ledger", f"turn {turn}: its heard_text does not fit")


def _played(heard: Sequence[Heard]) -> dict[int, int]:
    """How many different milliseconds of each turn were heard."""
    played: dict[int, set[int]] = defaultdict(set)
    for piece in heard:
        if piece.turn is not None:
            played[piece.turn].update(range(piece.from_ms, piece.from_ms + piece.length_ms))
    return {turn: len(ms) for turn, ms in played.items()}


def no_dead_air(evidence: Evidence) -> Iterator[Breach]:
    """Nobody waits in silence: when it is the agent's turn something is heard, or the call ends."""
    for at_ms, why in _its_turn(evidence):
        if _is_on(evidence.wire, at_ms) and not _broken_silence(evidence, at_ms):
            yield Breach(at_ms, "no dead air", f"{why}, and nothing for {evidence.dead_air_ms} ms")


def _its_turn(evidence: Evidence) -> Iterator[tuple[int, str]]:
    starts = [event for event in evidence.wire if isinstance(event, Started)]
    if not starts or not all(start.audible for start in starts):
        return
    if evidence.greets:
        yield round(starts[0].at_ms), "the call opened"
    for at_ms, event in evidence.said:
        if isinstance(event, Transcribed) and event.final and event.text:
            yield at_ms, "the caller spoke"
        elif isinstance(event, EngineFailed) and event.fatal:
            yield _until_heard(evidence, at_ms), "the engine failed"
    if _owes_an_answer(evidence):
        for piece in evidence.heard:
            if piece.turn is None:
                yield round(piece.at_ms + piece.length_ms), "the caller was asked for patience"


def _owes_an_answer(evidence: Evidence) -> bool:
    """Whether the last that the engine did was to understand the caller, or to begin a turn."""
    told = [e for _, e in evidence.said if isinstance(e, Transcribed | TurnStarted | TurnAudio)]
    last = told[-1] if told else None
    return isinstance(last, TurnStarted) or (isinstance(last, Transcribed) and bool(last.text))


def _until_heard(evidence: Evidence, at_ms: int) -> int:
    """When the last of what the engine had made was heard: from then on it is silent."""
    said = (piece for piece in evidence.heard if piece.turn is not None)
    return max([at_ms, *(round(piece.at_ms + piece.length_ms) for piece in said)])


def _is_on(wire: Sequence[WireEvent], at_ms: int) -> bool:
    """Whether there is a line to be heard on."""
    on = False
    for event in wire:
        if event.at_ms <= at_ms and isinstance(event, Started | Gone):
            on = isinstance(event, Started)
    return on


def _broken_silence(evidence: Evidence, at_ms: int) -> bool:
    until_ms = at_ms + evidence.dead_air_ms
    sounds = any(
        piece.at_ms < until_ms and piece.at_ms + piece.length_ms > at_ms for piece in evidence.heard
    )
    speaks = any(
        at_ms < said_ms <= until_ms and isinstance(event, SpeechStarted)
        for said_ms, event in evidence.said
    )
    goes = any(isinstance(e, Gone) and at_ms <= e.at_ms <= until_ms for e in evidence.wire)
    if sounds or speaks or goes:
        return True
    keys = [
        entry.at_ms
        for entries in evidence.entries.values()
        for entry in entries
        if entry.type == "dtmf.received" and at_ms < entry.at_ms <= until_ms
    ]
    return bool(keys) and _broken_silence(
        evidence, keys[-1]
    )  # who presses keys begins to wait anew


RULES: tuple[Callable[[Evidence], Iterator[Breach]], ...] = (
    one_end,
    order,
    known_kinds,
    answers,
    no_leak,
    no_stale_sound,
    true_ledger,
    no_dead_air,
)
