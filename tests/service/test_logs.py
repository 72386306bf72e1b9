"""What the log of a running service says, and above all what it does not."""

import json

from tests.service.bench import Bench
from tests.service.carriers import knock, until
from tests.service.leaks import leaks


async def test_a_call_leaves_lines_that_name_it_and_betray_nothing(bench: Bench) -> None:
    async with bench.talking("twilio", "?agent=parrot") as (call, opened):
        await until(lambda: opened.media)
        await opened.press("7")
        await bench.api.post(f"/v1/calls/{call.call_id}/say", json={"text": "One moment."})
        await bench.api.post(f"/v1/calls/{call.call_id}/dtmf", json={"digits": "159#0"})
        await opened.send({"event": "dtmf", "dtmf": {"digit": "+14155550100"}})
        await bench.noted(call.call_id, "dtmf.received")
    await knock(bench.service.ws_url, call.target)
    await bench.carrier.http.get(f"{call.target}?token={call.target}")
    await bench.carrier.http.post("/twilio/voice", data={"To": "+14155550100"})
    log = bench.service.log()
    assert leaks(log) == []
    lines = [json.loads(row) for row in log.splitlines() if row.startswith("{")]
    assert [line for line in lines if line.get("call_id") == call.call_id]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
