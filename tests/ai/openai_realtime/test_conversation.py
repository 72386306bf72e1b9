"""Whole conversations with the stand-in server: what it remembers is what the caller heard."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from service.ai.base import Brief
from service.ai.openai.access import Access
from service.ai.openai_realtime.engine import RealtimeEngine
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, Encoding, MediaFormat
from service.core.calls import CallId
from service.core.commands import StartTurn
from service.core.errors import EngineError
from service.core.events import (
    EndRequested,
    EngineEvent,
    EngineFailed,
    SpeechDismissed,
    SpeechStopped,
    ToolCalled,
    Transcribed,
    TurnAudio,
    TurnEnded,
    TurnStarted,
)
from service.replay.virtual import run
from service.standin import KEY, Standin, Voice, connect, transport
from service.tools import Tools
from tests.ai.openai_realtime.phone import Phone
from tests.ai.openai_realtime.scene import COUGH, QUESTION, agent
from tests.standin.client import URL, fault, standin
from tests.voices import silence

LONG = (
    "We are open from nine to five, Monday to Friday, and on Saturdays until noon, but never on "
    "Sundays, since that is when all of us like to sleep for as long as we possibly can."
)
SCRIPT: dict[str, Any] = {
    "replies": [
        {"hears": "when are you open", "says": LONG},
        {"hears": "thank you", "says": "You are welcome."},
        {"hears": "goodbye", "says": "Goodbye.", "calls": {"name": "end_call"}},
        {"hears": "press", "calls": {"name": "send_dtmf", "arguments": {"digits": "1"}}},
        {"hears": "nonsense", "calls": {"name": "send_dtmf", "arguments": "no JSON"}},
        {"hears": "unknown", "calls": {"name": "fly"}, "then": "I cannot fly."},
    ]
}
L16_16K = MediaFormat(Encoding.L16, 16_000)


@pytest.fixture(scope="module")
def voice() -> Iterator[Voice]:
    shared = Voice()
    yield shared
    asyncio.run(shared.aclose())


class Call:
    """A caller with a phone, the engine, and the server."""

    def __init__(self, phone: Phone, server: Standin) -> None:
        self.phone = phone
        self.server = server

    async def ask(self) -> None:
        """The caller says something, and listens until they have their answer."""
        await self.phone.hear(QUESTION + silence(1200))

    async def listen(self, ms: int) -> None:
        await self.phone.hear(silence(ms))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.phone.events if isinstance(event, kind)]

    @property
    def codes(self) -> list[tuple[str, bool]]:
        return [(event.code, event.fatal) for event in self.of(EngineFailed)]


@asynccontextmanager
async def calling(
    server: Standin, *, line: MediaFormat = PCMU_8K, key: str = KEY, **fields: Any
) -> AsyncIterator[Call]:
    """A call that has begun."""
    number = itertools.count(1)
    async with httpx.AsyncClient(transport=transport(server.app)) as http:
        access = Access(key=key, url=URL, secrets={}, http=http, connect=connect(server.app))
        engine = RealtimeEngine(
            access, Tools(secrets={}), lambda p: f"{p}_{next(number)}", judge=None
        )
        known = agent(tools=["end_call", "send_dtmf"], **fields)
        brief = Brief(call_id=CallId("call_1"), agent=known, hears=line, speaks=line)
        phone = Phone(line)
        async with engine.open(brief, phone.take) as talk:
            phone.use(talk)
            yield Call(phone, server)


Story = Callable[[Call], Awaitable[None]]


def play(server: Standin, story: Story, **kwargs: Any) -> Call:
    async def main() -> Call:
        async with calling(server, **kwargs) as call:
            await story(call)
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()
        return call

    call = run(main())
    assert server.refused == []
    return call


# Talking ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [PCMU_8K, L16_16K], ids=["as it is", "resampled"])
@pytest.mark.parametrize("detection", ["ours", "server", "semantic"])
def test_a_conversation_of_several_turns(voice: Voice, detection: str, line: MediaFormat) -> None:
    async def story(call: Call) -> None:
        call.phone.do(StartTurn("Hello, Acme Dental."))
        await call.listen(3000)
        for _ in range(3):
            await call.ask()
            await call.listen(14_000 if len(call.phone.played) == 1 else 3000)

    heard = ["when are you open", "thank you", "goodbye"]
    server = standin(voice, heard=heard, **SCRIPT)
    call = play(server, story, line=line, realtime={"turn_detection": detection})
    assert call.phone.played == ["Hello, Acme Dental.", LONG, "You are welcome.", "Goodbye."]
    assert [event.text for event in call.of(Transcribed)] == heard
    assert len(call.of(EndRequested)) == 1
    assert call.codes == []
    memory = [
        (who, text) for who, text in server.sessions[0].memory if who in ("user", "assistant")
    ]
    assert memory == [
        ("assistant", "Hello, Acme Dental."),
        ("user", "when are you open"),
        ("assistant", LONG),
        ("user", "thank you"),
        ("assistant", "You are welcome."),
        ("user", "goodbye"),
        ("assistant", "Goodbye."),
    ]


@pytest.mark.parametrize("after_ms", [1500, 3100, 5000, 8000])
@pytest.mark.parametrize("speed", [1.0, 8.0])
def test_what_an_interruption_cuts_off_the_model_does_not_remember(
    voice: Voice, after_ms: int, speed: float
) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(after_ms)
        await call.ask()
        await call.listen(3000)

    heard = ["when are you open", "thank you"]
    server = standin(voice, heard=heard, sound={"speed": speed}, **SCRIPT)
    call = play(server, story)
    cut, answer = call.phone.played
    assert LONG.startswith(cut)
    assert cut != LONG
    assert answer == "You are welcome."
    [first, second] = [text for who, text in server.sessions[0].memory if who == "assistant"]
    assert second == "You are welcome."
    begun = len(first.split())  # the last of them was not heard to its end
    assert abs(len(cut.split()) - (begun - 1)) <= 1


@pytest.mark.parametrize(("first_token_ms", "waits_ms"), [(0, 0), (250, 0), (1000, 525)])
def test_the_model_thinks_while_it_is_not_certain_that_the_turn_is_over(
    voice: Voice, first_token_ms: int, waits_ms: int
) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(3000)

    delays = {"first_token_ms": first_token_ms}
    server = standin(voice, heard=["thank you"], delays=delays, **SCRIPT)
    phone = play(server, story, turn_taking={"quick_ms": 700}).phone
    waited_ms = phone.first_ms(TurnAudio) - phone.first_ms(SpeechStopped)
    assert waited_ms == pytest.approx(waits_ms, abs=25)  # and nothing is added to it


def test_a_back_channel_changes_nothing(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(2000)
        await call.phone.hear(COUGH + silence(12_000))
        await call.ask()
        await call.listen(2000)

    server = standin(voice, heard=["when are you open", "uh-huh", "thank you"], **SCRIPT)
    call = play(server, story)
    assert len(call.of(SpeechDismissed)) == 1
    assert call.phone.played == [LONG, "You are welcome."]
    assert ("user", "uh-huh") not in server.sessions[0].memory
    assert [event.text for event in call.of(Transcribed)] == ["when are you open", "thank you"]


def test_who_pauses_within_a_sentence_gets_one_answer(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION + silence(350) + QUESTION + silence(1200))
        await call.listen(15_000)

    server = standin(voice, heard=["when are", "you open"], otherwise="What?", **SCRIPT)
    call = play(server, story)
    assert call.phone.played == ["What?"]  # what the stand-in makes of the last utterance
    assert [event.text for event in call.of(Transcribed)] == ["when are you open"]
    assert len(call.of(TurnStarted)) == 1
    roles = [who for who, _ in server.sessions[0].memory]
    assert roles == ["user", "user", "assistant"]


# Tools ------------------------------------------------------------------------------------------


def test_a_tool_and_what_is_wrong_with_one(voice: Voice) -> None:
    async def story(call: Call) -> None:
        for _ in range(3):
            await call.ask()
            await call.listen(6000)

    server = standin(voice, heard=["press", "nonsense", "unknown"], **SCRIPT)
    call = play(server, story)
    assert [e.code for e in call.of(ToolCalled)] == ["ok", "tool.bad_arguments", "tool.unknown"]
    assert call.phone.played[0] == "The keys are pressed."
    assert "not JSON" in call.phone.played[1]
    assert call.phone.played[2] == "I cannot fly."


def test_a_model_that_calls_tools_for_ever_is_made_to_speak(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(6000)

    loop = {"hears": "*", "says": "", "again": True, "calls": SCRIPT["replies"][3]["calls"]}
    server = standin(voice, heard=["press"], replies=[loop])
    call = play(server, story, not_understood="Sorry.")
    assert len(call.of(ToolCalled)) == 8
    assert call.phone.played == ["Sorry."]


def test_the_server_may_use_a_remote_server_of_tools(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(4000)

    found = {"hears": "*", "calls": {"name": "find", "server": "crm"}, "then": "It is {result}."}
    remote = {"crm": {"tools": [{"name": "find", "result": "Ana"}]}, "down": {"fails": True}}
    server = standin(voice, heard=["who am i"], replies=[found], mcp=remote)
    urls = {name: f"https://{name}.example/mcp" for name in remote}
    servers = [{"name": name, "url": url, "by": "openai"} for name, url in urls.items()]
    call = play(server, story, mcp=servers)
    assert [(event.name, event.code) for event in call.of(ToolCalled)] == [("find", "ok")]
    assert call.phone.played == ["It is Ana."]
    assert call.codes == [("tool.mcp_unreachable", False)]


# Sessions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("does", ["cut", "close", "expire"])
def test_a_new_session_remembers_what_the_lost_one_did(voice: Voice, does: str) -> None:
    async def story(call: Call) -> None:
        call.phone.do(StartTurn("Hello, Acme Dental."))
        await call.listen(3000)
        await call.ask()
        await call.listen(14_000)
        await call.ask()
        await call.listen(4000)

    heard = ["when are you open", "thank you", "thank you"]
    lost = fault("session", does, after=60)
    server = standin(voice, heard=heard, faults=[lost], **SCRIPT)
    call = play(server, story)
    assert len(server.sessions) == 2
    assert call.phone.played[-1] == "You are welcome."
    assert call.phone.played.count("Hello, Acme Dental.") == 1
    assert call.codes == []
    memory = server.sessions[1].memory
    assert memory[0] == ("assistant", "Hello, Acme Dental.")
    assert ("user", "when are you open") in memory
    assert len(call.of(TurnEnded)) == len(call.of(TurnStarted))


# What goes wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (fault("opening", "status", status=401, reason="invalid_api_key"), "openai.bad_key"),
        (fault("opening", "status", status=429, reason="insufficient_quota"), "openai.no_quota"),
        (fault("opening", "status", status=429, number=0), "openai.rate_limited"),
        (fault("opening", "status", status=503, number=0), "openai.server_error"),
        (fault("opening", "html", status=502, number=0), "openai.server_error"),
        (fault("opening", "stall"), "openai.stalled"),
        (fault("opening", "close", code=4000, reason="x.model_not_found"), "openai.unknown_model"),
        (fault("opening", "error", reason="invalid_api_key"), "openai.bad_key"),
    ],
    ids=lambda value: getattr(value, "does", value),
)
def test_a_session_that_cannot_be_had_says_why(voice: Voice, wrong: Any, code: str) -> None:
    async def nothing(_: Call) -> None: ...

    with pytest.raises(EngineError) as caught:
        play(standin(voice, faults=[wrong]), nothing)
    assert caught.value.code == code


async def test_a_wrong_key_and_a_model_nobody_knows(voice: Voice) -> None:
    for given, code in (
        ({"key": "sk-wrong"}, "openai.bad_key"),
        ({"realtime": {"model": "gpt-unheard-of"}}, "openai.unknown_model"),
        ({"realtime": {"transcription_model": "unheard-of"}}, "openai.unknown_model"),
    ):
        with pytest.raises(EngineError) as caught:
            async with calling(standin(voice), **given):
                pass
        assert caught.value.code == code


def test_a_server_that_asks_for_patience_gets_it(voice: Voice) -> None:
    async def story(call: Call) -> None:
        call.phone.do(StartTurn("Hello."))
        await call.listen(2000)

    busy = fault("opening", "status", status=429, retry_after_s=2)
    server = standin(voice, faults=[busy])
    call = play(server, story)
    assert call.phone.played == ["Hello."]
    assert [request.status for request in server.requests] == [429, 101]


@pytest.mark.parametrize("does", ["malformed", "unknown", "error"])
def test_an_event_that_should_not_be_harms_nobody(voice: Voice, does: str) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(3000)

    wrong = fault("session", does, after=12)
    call = play(standin(voice, heard=["thank you"], faults=[wrong], **SCRIPT), story)
    assert call.phone.played == ["You are welcome."]
    assert call.codes == ([("openai.server_error", False)] if does == "error" else [])


@pytest.mark.parametrize(
    ("wrong", "played", "codes"),
    [
        (fault("response", "failed"), ["You are welcome."], [("openai.server_error", False)]),
        (
            fault("response", "failed", reason="rate_limit_exceeded"),
            ["You are welcome."],
            [("openai.rate_limited", False)],
        ),
        (
            fault("response", "failed", reason="insufficient_quota"),
            [],
            [("openai.no_quota", True)],
        ),
        (fault("response", "empty"), ["Sorry."], [("openai.confused", False)]),
        (fault("response", "stall"), [], [("openai.stalled", True)]),
        (fault("response", "stall", after=3), [], [("openai.stalled", True)]),
        (fault("response", "odd"), ["You are welcome."], []),
        (fault("recognition", "failed"), ["You are welcome."], []),
        (fault("recognition", "stall"), ["You are welcome."], [("openai.stalled", False)]),
    ],
    ids=lambda value: value.does if hasattr(value, "does") else "",
)
def test_each_trouble_with_an_answer_has_its_code(
    voice: Voice, wrong: Any, played: list[str], codes: list[tuple[str, bool]]
) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(9000)

    server = standin(voice, heard=["thank you"], faults=[wrong], **SCRIPT)
    call = play(server, story, line=PCM16_8K, not_understood="Sorry.")
    assert call.phone.played == played
    assert call.codes == codes


@pytest.mark.parametrize(("ends", "played"), [("content_filter", ["Yes, "]), ("length", ["Yes, "])])
def test_an_answer_cut_short_is_heard_as_far_as_it_goes(
    voice: Voice, ends: str, played: list[str]
) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(4000)

    replies = [{"hears": "*", "says": "Yes, well.", "ends": ends}]
    call = play(standin(voice, heard=["thank you"], replies=replies), story)
    assert call.phone.played == ["Yes, well."]
    assert call.codes == []


# Speech, and a real socket ----------------------------------------------------------------------


def test_a_sentence_kept_ready_is_in_the_agents_voice(voice: Voice) -> None:
    async def main() -> str:
        server = standin(voice)
        async with httpx.AsyncClient(transport=transport(server.app)) as http:
            access = Access(key=KEY, url=URL, secrets={}, http=http)
            engine = RealtimeEngine(access, Tools(secrets={}), str, judge=None)
            spoken = await engine.speak("One moment, please.", agent())
        assert server.refused == []
        assert spoken.duration_ms > 500
        return "".join(word.text for word in spoken.words)

    assert run(main()) == "One moment, please."


@asynccontextmanager
async def served(server: Standin) -> AsyncIterator[str]:
    """The stand-in on a port of this machine; its address."""
    config = uvicorn.Config(server.app, log_level="error", lifespan="off", ws="websockets-sansio")
    web = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.ensure_future(web.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        web.should_exit = True
        await serving


async def test_a_greeting_by_the_stand_in_over_a_real_socket(voice: Voice) -> None:
    server = standin(voice)
    ended = asyncio.Event()
    frames: list[AudioFrame] = []

    def take(event: EngineEvent) -> None:
        if isinstance(event, TurnAudio):
            frames.append(event.frame)
        elif isinstance(event, TurnEnded):
            ended.set()

    async with served(server) as url:
        access = Access(key=KEY, url=url, secrets={})
        engine = RealtimeEngine(access, Tools(secrets={}), lambda p: f"{p}_1", judge=None)
        brief = Brief(call_id=CallId("c"), agent=agent(), hears=PCMU_8K, speaks=PCMU_8K)
        async with asyncio.timeout(20), engine.open(brief, take) as talk:
            talk.do(StartTurn("Hello, Acme Dental."), 0)
            await ended.wait()
        await access.aclose()
    assert server.refused == []
    assert sum(frame.duration_ms for frame in frames) > 800
