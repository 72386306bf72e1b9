"""Files that read well line by line, and still tell no call that ever was."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.cassettes import files
from service.cassettes.cassette import CassetteError

HEADER = {"cassette": 1, "provider": "twilio", "title": "t", "agent": "a", "redacted": True}
OPEN = {"open": {"path": "/twilio/stream/x"}}
START = {"message": {"event": "start", "streamSid": "MZ1"}}
MEDIA = {"message": {"event": "media", "streamSid": "MZ1", "media": {"payload": "//9/"}}}
STOP = {"message": {"event": "stop", "streamSid": "MZ1"}}
HANGUP = {"close": {"code": 1000}}


def line(what: dict[str, Any], lane: str = "stream", side: str = "carrier") -> dict[str, Any]:
    return {"at_ms": 5, "lane": lane, "from": side, **what}


def ours(what: dict[str, Any], lane: str = "stream") -> dict[str, Any]:
    return line(what, lane, "bridge")


def mark(name: str) -> dict[str, Any]:
    return {"message": {"event": "mark", "streamSid": "MZ1", "mark": {"name": name}}}


def media(payload: Any) -> dict[str, Any]:
    return {"message": {"event": "media", "streamSid": "MZ1", "media": {"payload": payload}}}


def event(type_: str, **data: Any) -> dict[str, Any]:
    return {"event": {"type": type_, "data": data}}


def engine(type_: str, **data: Any) -> dict[str, Any]:
    return line(event(type_, **data), "engine", "engine")


def told(type_: str, **data: Any) -> dict[str, Any]:
    return ours(event(type_, **data), "engine")


CALL = [line(OPEN), line(START)]
TALK = [told("open", engine="offline", history=[])]
WEBHOOK = {"request": {"method": "POST", "path": "/twilio/voice"}}
ANSWER = {"response": {"status": 200, "body": ""}}


def read(folder: Path, rows: list[dict[str, Any] | str], provider: str = "twilio") -> list[str]:
    """The faults of a file, by the number of the row each is in."""
    path = folder / "a.jsonl"
    said = [json.dumps({**HEADER, "provider": provider})]
    said += [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(said) + "\n", "utf-8")
    try:
        files.read(path)
    except CassetteError as error:
        return error.detail.splitlines()
    return []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([line(MEDIA)], "line 2: message before any socket is open"),
        ([line(OPEN), line(MEDIA)], "line 3: media before the stream's start"),
        ([line(OPEN), ours(MEDIA)], "line 3: media before the stream's start"),
        ([*CALL, line(START)], "line 4: a second start on one socket"),
        ([*CALL, line(STOP), line(MEDIA)], "line 5: media after the stream's stop"),
        ([*CALL, line(HANGUP), line(MEDIA)], "line 5: message after the socket was closed"),
        ([*CALL, line(HANGUP), ours(MEDIA)], "line 5: message after the socket was closed"),
        ([*CALL, ours(HANGUP), ours(MEDIA)], "line 5: message after the socket was closed"),
        ([*CALL, line(mark("0/1"))], "line 4: mark '0/1' returned but never sent"),
        ([*CALL, line(mark("0/1")), ours(mark("0/1"))], "line 4: mark '0/1' returned but never"),
        ([*CALL, line({"message": {"event": "mark"}})], "line 4: mark without a name"),
        ([*CALL, line(media("a$=="))], "line 4: media.payload is not base64"),
        ([*CALL, ours(media("abc"))], "line 4: media.payload is not base64"),
        ([*CALL, ours(media(None))], "line 4: media without a payload"),
        ([*CALL, line({"binary": "%"})], "line 4: binary is not base64"),
        ([ours({"refused": {"status": 403}})], "line 2: refused before any socket is open"),
        ([ours(ANSWER, "webhook")], "line 2: webhook response without a request before it"),
        ([line(ANSWER, "rest")], "line 2: rest response without a request before it"),
        ([ours(ANSWER, "api")], "line 2: api response without a request before it"),
        ([line(WEBHOOK, "api")], "line 2: nothing in lane api is from carrier"),
        (
            [line(WEBHOOK, "api", "user")],
            "line 2: what is done to a call does not go to /twilio/voice",
        ),
        (
            [line(WEBHOOK, "webhook"), *[ours(ANSWER, "webhook")] * 2],
            "line 4: webhook response without a request before it",
        ),
        (
            [line({"request": {**WEBHOOK["request"], "form": {}, "json": {}}}, "webhook")],
            "line 2: a request has a form or json, not both",
        ),
        (
            [line({"request": {"method": "POST", "path": "/telnyx/webhook"}}, "webhook")],
            "line 2: a webhook of twilio does not go to /telnyx/webhook",
        ),
        (
            [line({"open": {"path": "/telnyx/stream/x"}})],
            "line 2: a socket of twilio does not go to /telnyx/stream/x",
        ),
        (
            [*CALL, line({"message": {"event": "dtmf", "stream_id": "x"}})],
            "line 4: a message of twilio has no stream_id but streamSid",
        ),
        ([engine("turn_ended", turn_id="t")], "line 2: engine turn_ended outside of a talk"),
        ([told("close")], "line 2: close of a talk that was never opened"),
        (
            [*TALK, told("close"), told("tell_digit", digit="1")],
            "line 4: engine tell_digit outside",
        ),
        ([*TALK, engine("sung")], "line 3: unknown type sung"),
        ([*TALK, told("sing")], "line 3: unknown type sing"),
        ([*TALK, engine("turn_ended")], "line 3: turn_ended: "),
        (
            [*TALK, engine("turn_audio", turn_id="t", audio="%", start_ms=0, duration_ms=20)],
            "line 3: turn_audio: ",
        ),
    ],
)
def test_what_cannot_have_happened_is_named_once_with_its_line(
    rows: list[dict[str, Any] | str], said: str, tmp_path: Path
) -> None:
    [fault] = read(tmp_path, [*rows, ours(event("call.ended"), "store")])
    assert fault.startswith(said)


def test_faults_of_all_kinds_are_named_in_one_run(tmp_path: Path) -> None:
    found = read(tmp_path, [line(ANSWER, "rest"), line(MEDIA), line(media("%")), line(mark("9/9"))])
    assert [fault.partition(":")[0] for fault in found] == ["line 2", "line 3", "line 4", "line 5"]


def test_what_carriers_really_do_is_no_fault(tmp_path: Path) -> None:
    replaced = [*CALL, line(OPEN), ours(HANGUP), line(START), ours(MEDIA), line(MEDIA)]
    assert read(tmp_path, [*replaced]) == []
    reopened = [*CALL, line({"close": {"code": 1006}}), *CALL, ours(MEDIA), line(STOP)]
    assert read(tmp_path, [*reopened]) == []
    crossing = [*CALL, ours(HANGUP), line(MEDIA), line(STOP), line(HANGUP)]
    assert read(tmp_path, [*crossing]) == []
    broken = [*CALL, line({"text": '{"event":"media","media":{"payload":"%"}}'})]
    assert read(tmp_path, [*broken]) == []


def test_a_line_that_cannot_be_read_is_not_blamed_on_those_that_rest_on_it(tmp_path: Path) -> None:
    [fault] = read(tmp_path, ["{torn", line(START), line(MEDIA), line(mark("0/1"))])
    assert fault.startswith("line 2: ")


def test_the_other_carriers_words_are_told_apart(tmp_path: Path) -> None:
    [path, field] = read(tmp_path, [line(OPEN), line(START)], provider="telnyx")
    assert path == "line 2: a socket of telnyx does not go to /twilio/stream/x"
    assert field == "line 3: a message of telnyx has no streamSid but stream_id"
