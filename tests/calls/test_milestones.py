"""The log of a call that goes well."""

from structlog.testing import capture_logs

from service.core.calls import CallEvent, CallReturned
from service.logs import redact
from tests.calls.house import House
from tests.calls.samples import answered, at, attached, ended, inbound, stopped, transferred

RETURNED = CallReturned(event_id="returned", occurred_at=at(8), code="acme.transfer_busy")


async def test_each_step_of_a_call_is_one_line_however_often_it_is_told(house: House) -> None:
    call = inbound()
    steps: list[CallEvent] = [answered(1), attached(2), transferred(7), RETURNED]
    steps += [attached(9, "again"), stopped(10), ended(20)]
    with capture_logs() as lines:
        for _ in range(2):
            await house.store.create(call)
        for step in steps:
            for _ in range(2):
                await house.store.apply(call.call_id, step)
    assert [line["event"] for line in lines] == [
        "Call opened",
        "Call answered",
        "Call bridged",
        "Call transferred",
        "Call came back",
        "Call ended",
    ]
    assert {(line["call_id"], line["provider"]) for line in lines} == {(call.call_id, "acme")}
    last = {name: lines[-1][name] for name in ("outcome", "cause", "ended_by", "duration_ms")}
    assert last == {
        "outcome": "completed",
        "cause": "hangup",
        "ended_by": "caller",
        "duration_ms": 19_000,
    }


async def test_no_number_dialled_is_told(house: House) -> None:
    with capture_logs() as lines:
        await house.store.create(inbound())
    shown = str(redact(None, "info", {**lines[0]}))
    assert "+14…23" in shown
    assert "4155550123" not in shown
