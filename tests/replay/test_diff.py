"""What a changed bridge would do, and how the diff names it."""

import base64
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from service.cassettes import cassette
from service.cassettes.cassette import Happening, Line, Response
from service.replay.diff import OVER_A_NETWORK, Difference, compare
from tests.replay.fixtures import INTERRUPTS, TALKED

Change = Callable[[Line], Line | None]


def differences(path: Path, change: Change) -> list[Difference]:
    """Between what a cassette says and what the bridge did, had it done it with a change."""
    lines = cassette.read(path).lines
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
    assert kinds([found]) == [("webhook", "wrong", "answer.body.Response.within")]
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

    assert ("webhook", "wrong", "answer.status") in kinds(differences(TALKED, refuse))


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
    first_ms = next(line.at_ms for line in cassette.read(TALKED).lines if event_of(line) == "media")

    def cut(line: Line) -> Line | None:
        gone = event_of(line) == "media" and first_ms + 500 < line.at_ms < first_ms + 4000
        return None if gone else line

    assert ("stream", "wrong", "sound.sound_ms") in kinds(differences(TALKED, cut))


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
    lines = cassette.read(TALKED).lines
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
    lines = cassette.read(TALKED).lines

    def elsewhere(line: Line) -> Line:
        if line.response is None:
            return line
        body = str(line.response.body).replace("127.0.0.1:8080", "bridge.example")
        return replace(line, response=Response(line.response.status, body))

    assert compare(lines, [elsewhere(line) for line in lines]) == []


def test_over_a_network_more_time_may_pass() -> None:
    lines = cassette.read(INTERRUPTS).lines
    later = [
        replace(line, at_ms=line.at_ms + 150) if line.lane == "stream" else line for line in lines
    ]
    assert compare(lines, later) != []
    assert compare(lines, later, OVER_A_NETWORK) == []


def test_over_a_network_two_entries_of_one_moment_may_change_places() -> None:
    lines = [*cassette.read(INTERRUPTS).lines]
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
    first, expected, actual = str(found[0]).splitlines()
    assert first.split()[2:] == ["store", "wrong:", "call.ended.outcome"]
    assert expected.split() == ["expected", "completed"]
    assert actual.split() == ["actual", "busy"]
