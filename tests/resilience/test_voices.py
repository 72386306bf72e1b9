"""Trouble with engines and agent files: the person on the line hears of it, and no silence."""

import asyncio
import audioop
from pathlib import Path

from service.media.g711 import decode_pcmu
from service.twin.caller import HangUp, Silence, WaitForAgent
from tests.resilience.instance import AGENTS
from tests.resilience.world import (
    CALLING,
    CLOUD,
    DESK,
    GREETING,
    World,
    returned,
    until,
    until_true,
)

LOUD_RMS = 300


async def test_voices_that_are_killed_during_a_call_are_replaced(here: World) -> None:
    instance = here.instances[0]
    calling = asyncio.create_task(here.twilio.call(DESK, CALLING, [Silence(60_000)]))
    [call] = await here.bridged()
    await until(lambda: here.turns(call["call_id"]))
    killed = instance.children()
    for voice in killed:
        voice.kill()
    path = f"/v1/calls/{call['call_id']}"
    for text in ("Please hold the line.", "Thank you for waiting."):
        assert (await here.tell(f"{path}/say", {"text": text})).status_code == 202

    async def said() -> bool:
        return len(await here.turns(call["call_id"])) == 3

    await until(said)
    [greeting, *_] = await here.turns(call["call_id"])
    assert greeting["text"] == GREETING
    assert {v.pid for v in instance.children()}.isdisjoint(v.pid for v in killed)
    await here.tell(f"{path}/hangup")
    record = await calling
    assert "fault" not in await here.story(record)


async def test_an_engine_that_is_not_there_is_apologised_for(here: World) -> None:
    for twin in (here.twilio, here.telnyx):
        record = await twin.call(CLOUD, CALLING, [Silence(60_000)])
        end = await here.ended(record)
        assert (end["outcome"], end["ended_by"]) == ("our_fault", "bridge")
        assert audioop.rms(decode_pcmu(returned(record)), 2) > LOUD_RMS
        story = await here.story(record)
        assert story.count("fault") == 1
        assert story[-2:] == ["stream.stopped", "call.ended"]
        call = await here.call_of(record)
        [apology] = await here.turns(call["call_id"])
        assert apology["heard_text"] == apology["text"] != ""
        assert record.warnings == []


async def test_a_broken_agent_file_is_told_once_and_changes_nothing(
    here: World, agents: Path
) -> None:
    instance = here.instances[0]
    (agents / "desk.yaml").write_text("name: desk\nengine: [")
    told = "Agent files cannot be used, the old ones stay"
    await until_true(lambda: bool(instance.logged(told)))
    record = await here.twilio.call(DESK, CALLING, [WaitForAgent(quiet_ms=300), HangUp()])
    [turn] = await here.turns((await here.call_of(record))["call_id"])
    assert turn["text"] == GREETING
    text = (AGENTS / "desk.yaml").read_text()
    (agents / "desk.yaml").write_text(text.replace("Acme", "Apex"))

    async def fresh() -> bool:
        record = await here.twilio.call(DESK, CALLING, [WaitForAgent(quiet_ms=300), HangUp()])
        [turn] = await here.turns((await here.call_of(record))["call_id"])
        return "Apex" in turn["text"]

    await until(fresh)
    assert len(instance.logged(told)) == 1
    (agents / "desk.yaml").write_text(text)
