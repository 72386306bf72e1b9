"""What users do to a recorded call is in its cassette, unless they were refused."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from starlette.responses import JSONResponse, Response

from service.calls.tape import Tape
from service.cassettes import files
from service.cassettes.cassette import Line, Request
from service.cassettes.recorder import Recorder
from service.cassettes.shelf import Policy
from service.clock import Clock
from service.core.calls import Call, CallId, CallState, Direction
from service.replay import virtual

EPOCH = datetime(2026, 11, 20, 8, tzinfo=UTC)
CALL = Call(
    call_id=CallId("call_01J9ZQ4V5T6W7X8Y9ZABCDEFGH"),
    provider="twilio",
    provider_call_id="CA" + "0123456789abcdef" * 2,
    direction=Direction.INBOUND,
    state=CallState.RINGING,
    to="+14155550123",
    from_="+14155550100",
    agent="receptionist",
    created_at=EPOCH,
    record_cassette=True,
)
SAY = f"/v1/calls/{CALL.call_id}/say"
TEXT = b'{"text":"Hello."}'
GRANTED = JSONResponse({"call_id": CALL.call_id}, 202)


def recorded(folder: Path, act: Callable[[Tape], None]) -> list[Line]:
    """The lines of the lane `api` after this."""

    async def main() -> None:
        clock = Clock(EPOCH)
        recorder = Recorder(
            Policy(folder=folder),
            now_ms=clock.now_ms,
            utc=clock.utc,
            count_result=lambda _result: None,
        )
        recorder.wrote(CALL, [("call.ringing", EPOCH, {})])
        await asyncio.sleep(1)
        act(Tape(recorder))
        await recorder.close()

    virtual.run(main())
    [path] = folder.glob("*.jsonl.zst")
    return [line for line in files.read(path).lines if line.lane == "api"]


def said(tape: Tape, path: str, response: Response) -> None:
    tape.asked(tape.stamp(), "POST", path, TEXT, response)


def test_what_a_user_does_is_recorded_with_its_answer(tmp_path: Path) -> None:
    asked, granted = recorded(tmp_path, lambda tape: said(tape, SAY, GRANTED))
    assert asked.request is not None
    assert asked.at_ms == granted.at_ms == 1000
    assert asked.request == Request(method="POST", path=asked.request.path, json={"text": "Hello."})
    assert asked.request.path.endswith("/say")
    assert granted.response is not None
    assert granted.response.status == 202
    assert set(granted.response.body) == {"call_id"}


def test_what_is_refused_has_done_nothing(tmp_path: Path) -> None:
    refused = JSONResponse({"code": "call.ended"}, 409)
    assert recorded(tmp_path, lambda tape: said(tape, SAY, refused)) == []


def test_what_is_done_to_other_calls_is_not_this_ones(tmp_path: Path) -> None:
    other = SAY.replace("ABCDEFGH", "ABCDEFGJ")
    assert recorded(tmp_path, lambda tape: said(tape, other, GRANTED)) == []
