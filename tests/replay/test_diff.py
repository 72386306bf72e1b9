"""What a changed bridge would do, and how the diff names it."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from service.cassettes.cassette import Happening, Line, Response
from service.cassettes.files import read
from service.replay.diff import EXACT, OVER_A_NETWORK, Difference, Tolerances, compare
from tests.replay.fixtures import INTERRUPTS, TALKED

Change = Callable[[Line], Line | None]


def differences(path: Path, change: Change) -> list[Difference]:
    """Between what a cassette says and what the bridge did, had it done it with a change."""
    lines = read(path).lines
    ours = [line for line in lines if line.from_ == "bridge"]
    return compare(lines, [new for line in ours if (new := change(line)) is not None])


def kinds(found: list[Difference]) -> list[tuple[str, str, str]]:
    return [(difference.lane, difference.kind, difference.what) for difference in found]


def event_of(line: Line) -> str:
    return str((line.message or {}).get("event", ""))


def with_data(line: Line, type_: str, **data: object) -> Line:
    if line.event is None or line.event.type != type_:
        return line
    return replace(line, event=Happening(type_, {**line.event.data, **data}))


def test_the_same_is_no_difference() -> None:
    assert differences(TALKED, lambda line: line) == []


def test_a_document_with_another_verb_is_wrong_and_shown() -> None:
    def reject(line: Line) -> Line:
        if line.response is None or "<Connect" not in str(line.response.body):
            return line
        return replace(line, response=Response(200, '<Response><Reject reason="busy"/></Response>'))

    [found] = differences(TALKED, reject)
    assert kinds([found]) == [
        ("webhook", "wrong", "answer to POST /twilio/voice.body.Response.within")
    ]
    assert "Connect" in str(found.expected)
    assert "Reject" in str(found.actual)


def test_a_document_may_be_written_differently() -> None:
    def spaced(line: Line) -> Line:
        if line.response is None:
            return line
        body = str(line.response.body).replace("><", ">\n  <")
        return replace(line, response=Response(line.response.status, body))

    assert differences(TALKED, spaced) == []


def test_another_status_is_wrong() -> None:
    def refuse(line: Line) -> Line:
        if line.response is None or line.response.status != 204:
            return line
        return replace(line, response=Response(403, ""))

    found = differences(TALKED, refuse)
    assert kinds(found)[0] == (
        "webhook",
        "wrong",
        "answer to POST /twilio/stream-status: status 403, must be 204",
    )
    assert "signature" in str(found[0].rule)


def test_a_clear_that_is_missing_is_named() -> None:
    found = differences(INTERRUPTS, lambda line: None if event_of(line) == "clear" else line)
    assert ("stream", "missing", "clear") in kinds(found)


def test_a_clear_that_comes_late_is_named_with_by_how_much() -> None:
    def late(line: Line) -> Line:
        return replace(line, at_ms=line.at_ms + 80) if event_of(line) == "clear" else line

    assert kinds(differences(INTERRUPTS, late)) == [("stream", "late", "clear, by 80 ms")]


def test_sound_that_begins_late_is_named_with_by_how_much() -> None:
    def late(line: Line) -> Line:
        return replace(line, at_ms=line.at_ms + 200) if event_of(line) == "media" else line

    found = kinds(differences(TALKED, late))
    assert found
    assert set(found) == {("stream", "late", "sound, by 200 ms")}


def test_sound_that_breaks_off_is_wrong_in_its_length() -> None:
    first_ms = next(line.at_ms for line in read(TALKED).lines if event_of(line) == "media")

    def cut(line: Line) -> Line | None:
        gone = event_of(line) == "media" and first_ms + 500 < line.at_ms < first_ms + 4000
        return None if gone else line

    [found] = differences(TALKED, cut)
    assert (found.kind, found.what) == ("wrong", "sound breaks off 2460 ms too early")
    assert (found.expected, found.actual) == ("3.180 s of sound", "0.720 s")


def test_sound_in_longer_messages_is_the_same_sound() -> None:
    held: list[bytes] = []

    def joined(line: Line) -> Line | None:
        if event_of(line) != "media" or line.message is None:
            return line
        held.append(base64.b64decode(line.message["media"]["payload"]))
        if len(held) < 2:
            return None
        payload = base64.b64encode(b"".join(held)).decode()
        held.clear()
        return replace(line, message={**line.message, "media": {"payload": payload}})

    assert differences(TALKED, joined) == []


def test_no_marks_at_all_are_missed_and_their_number_is_not() -> None:
    seen: list[Line] = []

    def fewer(line: Line) -> Line | None:
        if event_of(line) != "mark":
            return line
        seen.append(line)
        return line if len(seen) % 2 else None

    assert differences(TALKED, fewer) == []
    found = differences(TALKED, lambda line: None if event_of(line) == "mark" else line)
    assert kinds(found) == [("stream", "missing", "marks")]


def test_another_transcript_is_wrong_word_for_word() -> None:
    found = differences(
        TALKED, lambda line: with_data(line, "turn.user", text="what are your opening")
    )
    assert ("store", "wrong", "turn.user.text") in kinds(found)
    assert '"' not in str(found[0].expected)


def test_one_word_more_or_less_may_have_been_heard_but_not_two() -> None:
    def heard(text: str) -> list[tuple[str, str, str]]:
        return kinds(
            differences(INTERRUPTS, lambda line: with_data(line, "turn.agent", heard_text=text))
        )

    whole = "We are at twelve Main Street, next to the library."
    wrong = ("store", "wrong", "turn.agent.heard_text")
    assert heard(whole.removesuffix(" library.")).count(wrong) == 1  # the greeting was cut short
    assert heard(whole.removesuffix(" the library.")).count(wrong) == 2


def test_an_entry_that_is_missing_or_too_many_is_named() -> None:
    def gone(line: Line) -> Line | None:
        return None if line.event and line.event.type == "stream.stopped" else line

    assert kinds(differences(TALKED, gone)) == [("store", "missing", "stream.stopped")]
    lines = read(TALKED).lines
    ended = next(line for line in lines if line.event and line.event.type == "call.ended")
    assert kinds(compare(lines, [*lines, ended])) == [("store", "extra", "call.ended")]


def test_a_command_to_the_carrier_that_says_something_else_is_wrong() -> None:
    def other(line: Line) -> Line:
        if line.request is None or not line.request.path.endswith("/answer"):
            return line
        json = {**(line.request.json or {}), "stream_bidirectional_mode": "mp3"}
        return replace(line, request=replace(line.request, json=json))

    [found] = kinds(differences(INTERRUPTS, other))
    assert found[:2] == ("rest", "wrong")
    assert found[2].endswith("/actions/answer.stream_bidirectional_mode")


def test_ids_tokens_and_hosts_are_not_compared() -> None:
    lines = read(TALKED).lines

    def elsewhere(line: Line) -> Line:
        if line.response is None:
            return line
        body = str(line.response.body).replace("127.0.0.1:8080", "bridge.example")
        return replace(line, response=Response(line.response.status, body))

    assert compare(lines, [elsewhere(line) for line in lines]) == []


def test_over_a_network_more_time_may_pass() -> None:
    lines = read(INTERRUPTS).lines
    later = [
        replace(line, at_ms=line.at_ms + 150) if line.lane == "stream" else line for line in lines
    ]
    assert compare(lines, later) != []
    assert compare(lines, later, OVER_A_NETWORK) == []


def test_over_a_network_two_entries_of_one_moment_may_change_places() -> None:
    lines = [*read(INTERRUPTS).lines]
    at = next(i for i, line in enumerate(lines) if line.event and line.event.type == "turn.agent")
    cut = next(
        i for i, line in enumerate(lines) if line.event and line.event.type == "agent.interrupted"
    )
    swapped = [*lines]
    swapped[at], swapped[cut] = lines[cut], lines[at]
    assert {d.kind for d in compare(lines, swapped)} == {"missing", "extra"}
    assert compare(lines, swapped, OVER_A_NETWORK) == []


def test_a_difference_is_readable() -> None:
    found = differences(TALKED, lambda line: with_data(line, "call.ended", outcome="busy"))
    first, expected, actual, rule = str(found[0]).splitlines()
    assert first.split()[2:] == ["store", "wrong:", "call.ended.outcome"]
    assert expected.split() == ["expected", "completed"]
    assert actual.split() == ["actual", "busy"]
    assert rule.strip() == "look at  the call table (service/core/calls.py)"


# Sound -------------------------------------------------------------------------------------------


def media_at(lines: Sequence[Line], from_ms: int, to_ms: int) -> list[int]:
    return [
        at
        for at, line in enumerate(lines)
        if line.from_ == "bridge" and event_of(line) == "media" and from_ms <= line.at_ms < to_ms
    ]


def payload(line: Line) -> bytes:
    return base64.b64decode((line.message or {})["media"]["payload"])


def with_payload(line: Line, data: bytes) -> Line:
    media = {"payload": base64.b64encode(data).decode()}
    return replace(line, message={**(line.message or {}), "media": media})


def test_frames_in_another_order_are_named_with_their_rule() -> None:
    lines = [*read(TALKED).lines]
    first, second = media_at(lines, 5700, 6000)[:2]
    swapped = [*lines]
    swapped[first] = with_payload(lines[first], payload(lines[second]))
    swapped[second] = with_payload(lines[second], payload(lines[first]))
    [found] = compare(lines, swapped)
    assert "frames in wrong order from" in found.what
    assert "reorder window (service/core/reorder.py)" in str(found.rule)


def test_a_message_that_is_lost_or_sent_twice_is_named_with_its_length() -> None:
    lines = [*read(TALKED).lines]
    at = media_at(lines, 1200, 1400)[0]
    [lost, *_] = compare(lines, [*lines[:at], *lines[at + 1 :]])
    assert "60 ms missing at" in lost.what
    [twice, *_] = compare(lines, [*lines[: at + 1], *lines[at:]])
    assert "60 ms doubled at" in twice.what


def test_sound_that_stops_for_a_while_is_one_stretch_with_silence_in_it() -> None:
    lines = [*read(TALKED).lines]
    gone = set(media_at(lines, 1000, 1500))
    found = compare(lines, [line for at, line in enumerate(lines) if at not in gone])
    assert any("silence from" in difference.what for difference in found)
    assert {difference.kind for difference in found} == {"wrong"}


def test_the_sound_of_another_sentence_is_told_from_where_to_where() -> None:
    lines = [*read(TALKED).lines]
    greeting, goodbye = media_at(lines, 0, 3200), media_at(lines, 10100, 13380)
    other = [*lines]
    for here, there in zip(greeting, goodbye, strict=False):
        other[here] = with_payload(lines[here], payload(lines[there]))
    found = [difference.what for difference in compare(lines, other)]
    assert any(what.startswith("sound: different sound from 0.") for what in found)


def test_the_exact_mode_wants_the_same_bytes_and_marks() -> None:
    lines = [*read(TALKED).lines]
    at = media_at(lines, 1200, 1400)[0]
    flipped = bytearray(payload(lines[at]))
    flipped[7] ^= 1
    near = [*lines]
    near[at] = with_payload(lines[at], bytes(flipped))
    assert compare(lines, near) == []
    [found] = compare(lines, near, EXACT)
    assert found.what.startswith("sound has other bytes from byte ")
    assert compare(lines, lines, EXACT) == []
    mark = next(
        n for n, line in enumerate(lines) if line.from_ == "bridge" and event_of(line) == "mark"
    )
    assert kinds(compare(lines, [*lines[:mark], *lines[mark + 1 :]], EXACT)) == [
        ("stream", "missing", "mark")
    ]


# Engines, and tolerances -------------------------------------------------------------------------


def told(at_ms: int, type_: str, **data: object) -> Line:
    return Line(at_ms=at_ms, lane="engine", from_="bridge", event=Happening(type_, {**data}))


def test_an_interrupt_that_claims_too_much_was_heard_points_at_the_ledger() -> None:
    should = [told(820, "interrupt", turn_id="a", heard_ms=820, heard_text="Hello,")]
    did = [told(820, "interrupt", turn_id="b", heard_ms=1400, heard_text="Hello,")]
    [found] = compare(should, did)
    assert (found.lane, found.what) == ("engine", "interrupt.heard_ms")
    assert (found.expected, found.actual) == ("820", "1400")
    assert "service/core/playout.py" in str(found.rule)


def test_what_the_engine_is_not_told_is_missing_and_points_at_the_dialog() -> None:
    should = [told(0, "open", engine="offline", history=[]), told(10, "start_turn", text="Hello")]
    [found] = compare(should, should[:1])
    assert (found.kind, found.what) == ("missing", "start_turn")
    assert "service/core/dialog.py" in str(found.rule)


def test_a_cassette_without_an_engine_lane_says_nothing_of_the_engine() -> None:
    lines = [line for line in read(TALKED).lines if line.lane != "engine"]
    assert compare(lines, [*lines, told(0, "open", engine="offline", history=[])]) == []


def test_a_lane_is_as_tolerant_as_it_is_told_to_be() -> None:
    should = [told(100, "tell_digit", digit="1")]
    did = [told(160, "tell_digit", digit="1")]
    assert compare(should, did) == []
    [found] = compare(should, did, Tolerances(engine_ms=50))
    assert (found.kind, found.what) == ("late", "tell_digit, by 60 ms")
    assert compare(should, did, Tolerances(engine_ms=50), lanes=["stream", "store"]) == []


def test_one_deed_that_is_missing_does_not_shift_those_that_follow() -> None:
    digits = [told(at * 2000, "tell_digit", digit=str(at)) for at in range(6)]
    assert kinds(compare(digits, [*digits[:2], *digits[3:]])) == [
        ("engine", "missing", "tell_digit")
    ]
