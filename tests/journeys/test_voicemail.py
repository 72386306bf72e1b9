"""Calls that a machine answers, as the agent's voicemail policy has it."""

import pytest

from service.replay.stage import Stage
from service.twin.behaviour import Outcome
from service.twin.caller import Silence
from tests.journeys.stages import (
    CALLING,
    CARRIERS,
    only_call,
    over,
    place,
    play,
    story,
    transcript,
    twin_of,
    unblemished,
)

pytestmark = pytest.mark.parametrize("carrier", CARRIERS)

MESSAGE = "Please call Acme Dental back."


@pytest.mark.parametrize(
    ("voicemail", "said"),
    [
        ({"policy": "hang_up"}, None),
        ({"policy": "leave_message", "message": MESSAGE}, MESSAGE),
    ],
)
def test_a_machine_is_hung_up_on_or_left_a_message(
    carrier: str, voicemail: dict[str, str], said: str | None
) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.outcomes[CALLING] = Outcome(
            steps=(Silence(60_000),), machine="machine", greeting_ms=2000
        )
        await place(stage, carrier, agent="desk", overrides={"voicemail": voicemail})
        await twin.settle()
        await over()
        [record] = twin.records
        assert unblemished(record)
        call = await only_call(stage)
        assert (call["end"]["cause"], call["end"]["ended_by"]) == ("voicemail", "agent")
        # Telnyx tells at once, and once more when the greeting has ended.
        told = 2 if carrier == "telnyx" and said is not None else 1
        assert (await story(stage)).count("machine.detected") == told
        turns = await transcript(stage, call["call_id"])
        assert turns[0]["interrupted"] is True
        heard = [turn["heard_text"] for turn in turns[1:]]
        assert heard == ([] if said is None else [said])

    play(scene)


def test_a_person_is_talked_with_whatever_the_policy(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.outcomes[CALLING] = Outcome(steps=(Silence(8000),), machine="human")
        await place(stage, carrier, agent="desk", overrides={"voicemail": {"policy": "hang_up"}})
        await twin.settle()
        await over()
        call = await only_call(stage)
        turns = await transcript(stage, call["call_id"])
        assert turns[0]["interrupted"] is False
        assert call["end"]["cause"] != "voicemail"

    play(scene)
