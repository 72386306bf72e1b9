"""Conversations with a model: both OpenAI engines, over both carriers, against the stand-in."""

import audioop
import shutil
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists

from service.core.audio import FRAME_MS
from service.replay import virtual
from service.replay.stage import Stage, open_stage, standing_in
from service.standin import Script, Standin, Voice
from service.tools import Tools
from service.twin.behaviour import Outcome
from service.twin.caller import HangUp, InterruptAfter, Silence, Step, WaitForAgent
from service.twin.record import CallRecord
from tests.journeys.stages import (
    AGENTS,
    CALLING,
    CARRIERS,
    events,
    only_call,
    over,
    transcript,
    twin_of,
    unblemished,
)
from tests.journeys.test_talk import spoken

ENGINES = ("openai-realtime", "openai-pipeline")
DESK = "+14155550191"
WORDS_A_MINUTE = 165
TALK = Outcome(ring_ms=2000, talk_ms=20_000)
FREE = {"free": ["nine", "half past ten"]}

TEN_TURNS = [
    ("when are you open", "We are open from nine to five, Monday to Friday."),
    ("where are you", "We are at twelve Main Street, right next to the public library."),
    ("is there parking", "Yes, there are places behind the house, and they are free."),
    ("do you treat children", "We do, from the age of three, on every afternoon."),
    ("what does a check up cost", "A check up costs sixty dollars, and most insurers pay for it."),
    ("what is free on monday", ""),
    ("can you say that again", "On Monday we have nine, and half past ten."),
    ("do you speak spanish", "Two of our doctors do, and so does the front desk."),
    ("thank you very much", "You are welcome. Is there anything else?"),
    ("no that is all", "Then I wish you a good day."),
]
HUMS_AFTER = 3  # the caller says "uh-huh" while this is answered
CUT_BY = (2, 8)  # these questions interrupt the answer before them
HEARD = [heard for heard, _ in TEN_TURNS]
SCRIPT: dict[str, Any] = {
    "heard": [*HEARD[: HUMS_AFTER + 1], "uh-huh", *HEARD[HUMS_AFTER + 1 :]],
    "replies": [
        *({"hears": heard, "says": says} for heard, says in TEN_TURNS if says),
        {
            "hears": "what is free on monday",
            "calls": {"name": "find_appointment", "arguments": {"day": "monday"}},
            "then": "On Monday we have nine, and half past ten.",
        },
    ],
    "delays": {"recognition_ms": 150, "first_token_ms": 200, "token_ms": 10, "first_audio_ms": 120},
}


def crm(request: httpx.Request) -> httpx.Response:
    assert request.url.path == "/free/monday"
    return httpx.Response(200, json=FREE)


def play(
    engine: str,
    carrier: str,
    script: dict[str, Any],
    steps: list[Step],
    *,
    folder: Path,
    agent: str = "",
    takes: dict[str, Outcome] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], CallRecord, Standin]:
    """A call's turns, its events, what the carrier saw, and what the model was asked."""
    shutil.copytree(AGENTS, folder, dirs_exist_ok=True)
    file = folder / "frontdesk.yaml"
    text = file.read_text("utf-8").replace("openai-realtime", engine)
    if "tools:" in agent:
        text = text.partition("tools:")[0]
    file.write_text(text + f'numbers: ["{DESK}"]\n' + agent, "utf-8")

    async def main() -> tuple[list[dict[str, Any]], list[dict[str, Any]], CallRecord, Standin]:
        tools = Tools(secrets={}, private_hosts=(), transport=httpx.MockTransport(crm))
        async with (
            standing_in(Script.model_validate(script)) as (standin, openai),
            open_stage(agents=folder, openai=openai, tools=tools) as stage,
        ):
            return *await scene(stage), standin

    async def scene(stage: Stage) -> tuple[list[dict[str, Any]], list[dict[str, Any]], CallRecord]:
        twin = twin_of(stage, carrier)
        twin.outcomes |= takes or {}
        record = await twin.call(DESK, CALLING, steps)
        assert unblemished(record)
        await over()
        call_id = (await only_call(stage))["call_id"]
        return await transcript(stage, call_id), await events(stage, call_id), record

    return virtual.run(main())


def of(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in found if event["type"] == kind]


def ten_turns() -> list[Step]:
    steps: list[Step] = [WaitForAgent()]
    for number, question in enumerate(HEARD):
        said = spoken(question)
        if number in CUT_BY:
            steps.append(InterruptAfter(900, said.pcmu, said.text))
        else:
            steps.append(said)
        if number == HUMS_AFTER:
            steps.append(InterruptAfter(700, spoken("uh huh").pcmu, "uh-huh"))
        if number + 1 not in CUT_BY:
            steps.append(WaitForAgent())
    return [*steps, Silence(500), HangUp()]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_ten_turns_with_two_interruptions_and_a_tool(
    engine: str, carrier: str, tmp_path: Path
) -> None:
    turns, found, _, standin = play(engine, carrier, SCRIPT, ten_turns(), folder=tmp_path)
    assert standin.refused == []
    assert of(found, "fault") == []
    callers = [turn["text"] for turn in turns if turn["who"] == "caller"]
    assert callers == HEARD
    cut = [turn for turn in turns if turn["interrupted"]]
    assert len(cut) == 2
    for turn in cut:
        assert turn["text"].startswith(turn["heard_text"])
        assert turn["heard_text"] != turn["text"]
    [tool] = of(found, "tool.called")
    assert (tool["tool"], tool["code"]) == ("find_appointment", "ok")
    for turn in turns:
        if turn["latency"]:
            parts = dict(turn["latency"])
            assert parts.pop("response_ms") == sum(parts.values())


# What was heard ----------------------------------------------------------------------------------


async def words_of(text: str) -> list[int]:
    """When each word of it begins, as the stand-in speaks."""
    voice = Voice()
    try:
        return [word.start_ms for word in (await voice.say(text, "marin", WORDS_A_MINUTE)).words]
    finally:
        await voice.aclose()


def within_one_word(heard: str, begins: list[int], heard_ms: int) -> bool:
    """To a frame: the stand-in's voice begins two short words at the same instant now and then."""
    least, most = (
        sum(begin <= heard_ms + off_ms for begin in begins[1:]) for off_ms in (-FRAME_MS, FRAME_MS)
    )
    return least - 1 <= len(heard.split()) <= most + 1


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_heard_is_what_the_carrier_played(engine: str, tmp_path: Path) -> None:
    turns, found, record, _ = play(engine, "twilio", SCRIPT, ten_turns(), folder=tmp_path)
    played = [span.end_ms - span.start_ms for span in record.spans()]
    cut = [turn for turn in turns if turn["interrupted"]]
    for turn, told in zip(cut, of(found, "agent.interrupted"), strict=True):
        assert min(abs(length - told["heard_ms"]) for length in played) <= 40
        begins = virtual.run(words_of(turn["text"]))
        assert within_one_word(turn["heard_text"], begins, told["heard_ms"])


# What a model may do -----------------------------------------------------------------------------

SALES = "+14155550190"
TRANSFERS = """
tools:
  - end_call
  - kind: transfer_call
    to: {sales: "+14155550190"}
    description: To somebody who sells
"""


def once(tool: str, says: str) -> dict[str, Any]:
    """A model that uses a tool when it is first spoken to."""
    calls = {"name": tool, "arguments": {}}
    return {"heard": ["i need help"], "replies": [{"hears": "*", "calls": calls, "then": says}]}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_puts_the_caller_through_once_its_words_were_heard(
    engine: str, carrier: str, tmp_path: Path
) -> None:
    steps: list[Step] = [WaitForAgent(), spoken("where are you"), Silence(60_000)]
    script = once("transfer_call", "I put you through to sales.")
    turns, found, record, standin = play(
        engine, carrier, script, steps, folder=tmp_path, agent=TRANSFERS, takes={SALES: TALK}
    )
    assert standin.refused == []
    assert (turns[-1]["heard_text"], turns[-1]["interrupted"]) == (
        *("I put you through to sales.", False),
    )
    [connected] = [remark for remark in record.remarks if remark.kind == "is_connected"]
    assert record.spans()[-1].end_ms <= connected.at_ms
    assert [tool["tool"] for tool in of(found, "tool.called")] == ["transfer_call"]
    [end] = of(found, "call.ended")
    assert end["outcome"] == "completed"
    assert end["duration_ms"] > 20_000


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_hangs_up_once_its_goodbye_was_heard(engine: str, tmp_path: Path) -> None:
    steps: list[Step] = [WaitForAgent(), spoken("goodbye"), Silence(60_000)]
    script = once("end_call", "Goodbye, and thank you for calling.")
    turns, found, _, _ = play(engine, "twilio", script, steps, folder=tmp_path)
    assert turns[-1]["heard_text"] == "Goodbye, and thank you for calling."
    [end] = of(found, "call.ended")
    assert (end["outcome"], end["ended_by"]) == ("completed", "agent")


# Trouble -----------------------------------------------------------------------------------------

FALLS_BACK = """
fallback: [offline]
replies:
  - {hears: ["when are you open"], says: "We are open from nine to five."}
"""
MOST_SILENCE_MS = 6500
"""Of the agent, with a caller who speaks for a second in between."""

ASKS: list[Step] = [WaitForAgent(), spoken("when are you open"), Silence(25_000), HangUp()]
SORRY = "I am sorry, something went wrong on our side. Please call again later. Goodbye."
ONE_ANSWER = {"heard": ["when are you open"], "replies": [{"hears": "*", "says": "Until five."}]}
TROUBLE = [
    ({"at": "opening", "does": "status", "status": 401}, "openai.bad_key"),
    ({"at": "opening", "does": "status", "status": 500, "number": 0}, "openai.server_error"),
    ({"at": "response", "does": "stall", "number": 2}, "openai.stalled"),
    ({"at": "chat", "does": "stall", "number": 0}, "openai.stalled"),
    ({"at": "chat", "does": "html", "status": 200, "number": 0}, "openai.confused"),
    ({"at": "speech", "does": "status", "status": 500, "number": 0}, "openai.server_error"),
]
MEETS = {
    "openai-realtime": ("opening", "response"),
    "openai-pipeline": ("opening", "chat", "speech"),
}
MET = [
    pytest.param(engine, fault, code, id=f"{engine}-{fault['at']}-{fault['does']}")
    for engine in ENGINES
    for fault, code in TROUBLE
    if fault["at"] in MEETS[engine]
]


@pytest.mark.parametrize(("engine", "fault", "code"), MET)
def test_trouble_without_another_engine_is_apologised_for(
    engine: str, fault: dict[str, Any], code: str, tmp_path: Path
) -> None:
    turns, found, record, _ = play(
        engine, "twilio", {**ONE_ANSWER, "faults": [fault]}, ASKS, folder=tmp_path
    )
    assert code in [each["code"] for each in of(found, "fault")]
    assert turns[-1]["text"] == turns[-1]["heard_text"] == SORRY
    [end] = of(found, "call.ended")
    assert (end["outcome"], end["cause"]) == ("our_fault", "engine_failed")
    assert silences_ms(record) <= MOST_SILENCE_MS


@pytest.mark.parametrize(("engine", "fault", "code"), MET)
def test_trouble_with_another_engine_is_hardly_noticed(
    engine: str, fault: dict[str, Any], code: str, tmp_path: Path
) -> None:
    turns, found, record, _ = play(
        engine,
        "twilio",
        {**ONE_ANSWER, "faults": [fault]},
        ASKS,
        folder=tmp_path,
        agent=FALLS_BACK,
    )
    assert code in [each["code"] for each in of(found, "fault")]
    assert "from nine to five" in turns[-1]["text"]
    [end] = of(found, "call.ended")
    assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
    assert silences_ms(record) <= MOST_SILENCE_MS


def silences_ms(record: CallRecord) -> int:
    """The longest time the caller heard nothing, until the agent's last word."""
    spans = record.spans()
    gaps = [after.start_ms - before.end_ms for before, after in pairwise(spans)]
    return round(max([spans[0].start_ms, *gaps]))


# Where the time goes -----------------------------------------------------------------------------

SLOW = {"recognition_ms": 150, "first_token_ms": 500, "token_ms": 10, "first_audio_ms": 250}
WITHIN_MS = 30
LOUD_RMS = 300


def loud_ms(pcmu: bytes) -> list[int]:
    """Where it is loud, in blocks of 10 ms."""
    return [
        at // 8
        for at in range(0, len(pcmu), 80)
        if audioop.rms(audioop.ulaw2lin(pcmu[at : at + 80], 2), 2) > LOUD_RMS
    ]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_latency_adds_up_to_the_gap_on_the_line(engine: str, carrier: str, tmp_path: Path) -> None:
    question = spoken("what are your opening hours")
    steps: list[Step] = [WaitForAgent(), question, WaitForAgent(), HangUp()]
    script = {**ONE_ANSWER, "delays": SLOW}
    turns, _, record, _ = play(engine, carrier, script, steps, folder=tmp_path)
    latency = dict(turns[-1]["latency"])
    said_ms = next(remark.at_ms for remark in record.remarks if remark.kind == "says")
    stopped_ms = said_ms + loud_ms(question.pcmu)[-1] + 10
    began_ms = record.streams[0].started_at_ms
    heard_ms = next(at for at in loud_ms(record.heard_pcmu()) if began_ms + at > stopped_ms)
    gap_ms = began_ms + heard_ms - stopped_ms
    total_ms = latency.pop("response_ms")
    assert sum(latency.values()) == total_ms
    assert abs(total_ms - gap_ms) <= WITHIN_MS


LONG = (
    "We open at nine in the morning, and we close at five, except on Fridays, when we close at two."
)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(cuts_ms=lists(integers(300, 4000), min_size=5, max_size=5))
def test_wherever_an_answer_is_cut_its_words_are_those_that_were_played(
    engine: str, cuts_ms: list[int]
) -> None:
    question = spoken("what are your opening hours")
    cuts = [InterruptAfter(cut_ms, question.pcmu, question.text) for cut_ms in cuts_ms]
    steps: list[Step] = [WaitForAgent(), question, *cuts, HangUp()]
    script = {"heard": ["what are your opening hours"], "repeats": True}
    script |= {"replies": [{"hears": "*", "says": LONG}]}
    with TemporaryDirectory() as folder:
        turns, found, _, _ = play(engine, "twilio", script, [*steps, HangUp()], folder=Path(folder))
    begins = virtual.run(words_of(LONG))
    told = {each["turn_id"]: each["heard_ms"] for each in of(found, "agent.interrupted")}
    cut = [turn for turn in turns if turn["turn_id"] in told]
    assert len(cut) >= len(cuts_ms) - 1
    for turn in cut:
        assert LONG.startswith(turn["heard_text"])
        assert within_one_word(turn["heard_text"], begins, told[turn["turn_id"]])
