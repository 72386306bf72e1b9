"""Whole calls on a stage: the service and a twin in one process, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from service.replay import virtual
from service.replay.stage import Stage, open_stage
from service.twin.record import CallRecord
from service.twin.speech import load_wav
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin

AGENTS = Path(__file__).parent / "agents"
SOUNDS = Path("/usr/share/asterisk/sounds/en")
CARRIERS = ("twilio", "telnyx")
DIALLED, CALLING = "+14155550123", "+14155550100"

T = TypeVar("T")
Twin = TwilioTwin | TelnyxTwin
Settings = Mapping[str, str]


def human(name: str) -> bytes:
    """A person's voice, as PCMU."""
    return load_wav(SOUNDS / f"{name}.wav")


def play(
    scene: Callable[[Stage], Awaitable[T]], *, settings: Settings | None = None, **twins: Any
) -> T:
    """Run a scene on a stage of its own."""

    async def main() -> T:
        async with open_stage(agents=AGENTS, settings=settings, **twins) as stage:
            return await scene(stage)

    return virtual.run(main())


def twin_of(stage: Stage, carrier: str) -> Twin:
    return stage.twilio if carrier == "twilio" else stage.telnyx


async def calls(stage: Stage) -> list[dict[str, Any]]:
    """All calls, newest first, as the API shows them."""
    found: list[dict[str, Any]] = (await stage.http.get("/v1/calls")).json()["calls"]
    return found


async def over() -> None:
    """A moment for what comes after a call: the last callbacks, the last entries."""
    await asyncio.sleep(3)


async def only_call(stage: Stage) -> dict[str, Any]:
    [call] = await calls(stage)
    return call


async def events(stage: Stage, call_id: str) -> list[dict[str, Any]]:
    answer = await stage.http.get(f"/v1/calls/{call_id}/events")
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


async def story(stage: Stage, call_id: str | None = None) -> list[str]:
    """The types of a call's events, in order."""
    await over()
    call_id = call_id or (await only_call(stage))["call_id"]
    return [event["type"] for event in await events(stage, call_id)]


async def transcript(stage: Stage, call_id: str) -> list[dict[str, Any]]:
    answer = await stage.http.get(f"/v1/calls/{call_id}/transcript")
    found: list[dict[str, Any]] = answer.json()["turns"]
    return found


async def place(stage: Stage, carrier: str, **order: Any) -> dict[str, Any]:
    """Order a call; the answer must be 201."""
    body = {"provider": carrier, "to": CALLING, "from": DIALLED, **order}
    answer = await stage.http.post("/v1/calls", json=body)
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


def unblemished(record: CallRecord) -> bool:
    """The carrier had nothing to complain about."""
    assert record.warnings == []
    return True
