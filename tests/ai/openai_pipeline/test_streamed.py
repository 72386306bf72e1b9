"""Recognition by a session, against a server in miniature."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosedError

from service.ai.base import Brief
from service.ai.openai.access import Server
from service.ai.openai.caller import Utterance
from service.ai.openai.errors import OpenAIFault
from service.ai.openai.line import SESSION_MOST_S
from service.ai.openai_pipeline.streamed import StreamedRecogniser
from service.core.audio import PCMU_8K, Encoding, MediaFormat
from service.core.calls import CallId
from service.replay.virtual import run
from tests.ai.openai_pipeline.calling import agent
from tests.ai.openai_realtime.far import Far
from tests.voices import on_the_line, silence

SOUND = on_the_line(silence(400))
Story = Callable[[StreamedRecogniser, Far], Awaitable[None]]


class House:
    def __init__(self) -> None:
        self.understandings: list[tuple[str, bool]] = []
        self.faults: list[tuple[str, bool]] = []

    def understood(self, utterance: Utterance) -> None:
        self.understandings.append((utterance.words, utterance.text is not None))

    def failed(self, fault: OpenAIFault, *, fatal: bool) -> None:
        self.faults.append((fault.code, fatal))


def hear(
    story: Story, *, far: Far | None = None, line: MediaFormat = PCMU_8K, **recognition: str
) -> tuple[House, Far]:
    """A session that is open, with this done in it."""
    far, house = far or Far(), House()
    server = Server("http://ears.test/v1", "k")

    async def main() -> None:
        known = agent(pipeline={"recognition": recognition})
        brief = Brief(call_id=CallId("c"), agent=known, hears=line, speaks=line)
        dial = lambda: far.connect(server, {"intent": "transcription"})  # noqa: E731
        recogniser = StreamedRecogniser(brief, dial, house)
        try:
            await recogniser.open()
            await story(recogniser, far)
        finally:
            await recogniser.aclose()
        assert len(asyncio.all_tasks()) == 1

    run(main())
    assert far.closed == far.sockets
    return house, far


async def settle() -> None:
    await asyncio.sleep(0.01)


async def one_utterance(recogniser: StreamedRecogniser, far: Far) -> None:
    recogniser.say(SOUND)
    recogniser.cut()
    await settle()


async def nothing(recogniser: StreamedRecogniser, far: Far) -> None:
    """Just be open."""


def test_the_session_is_as_the_agent_says() -> None:
    _, far = hear(nothing, model="own", prompt="Acme")
    [update] = far.told("session.update")
    assert update["session"] == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "own", "language": "en", "prompt": "Acme"},
                "turn_detection": None,
            }
        },
    }
    _, far = hear(nothing, line=MediaFormat(Encoding.L16, 16_000))
    [update] = far.told("session.update")
    assert update["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}


def test_sound_of_the_line_goes_out_as_it_is() -> None:
    _, far = hear(one_utterance)
    assert far.sound == b"".join(frame.data for frame in SOUND)
    assert far.kinds() == ["session.update", "commit"]


def test_words_are_known_while_they_come() -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        await one_utterance(recogniser, far)
        kind = "conversation.item.input_audio_transcription.delta"
        far.say(kind, item_id="user_1", content_index=0, delta="hel")
        await settle()
        assert (recogniser.words, recogniser.understood_all) == ("hel", False)
        far.understand("hello", "user_1")
        await settle()
        assert (recogniser.words, recogniser.understood_all) == ("hello", True)
        far.understand("who", "user_7")
        far.say("response.done", response={"id": "r", "status": "completed"})
        await settle()

    house, _ = hear(story)
    assert house.understandings == [("hel", False), ("hello", True)]


def test_a_session_keeps_no_conversation_so_nothing_is_taken_out_of_it() -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        await one_utterance(recogniser, far)
        recogniser.dismiss()
        recogniser.forget_doubtful()
        await one_utterance(recogniser, far)
        far.cut()
        await settle()

    _, far = hear(story)
    assert not any(kind.startswith("conversation") for kind in far.kinds())
    assert far.sockets == 2


def test_what_was_said_is_said_again_to_a_new_session() -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        await one_utterance(recogniser, far)
        [past] = recogniser.close()
        recogniser.say(SOUND)
        far.orders.clear()
        far.cut(ConnectionClosedError(None, None))
        await settle()
        assert far.kinds() == ["session.update", "commit"]
        far.understand("hello", "user_2")
        await settle()
        assert past.text == "hello"
        recogniser.cut()
        await settle()
        far.understand("again", "user_3")
        await settle()
        assert recogniser.words == "again"

    house, _ = hear(story)
    assert house.faults == []


def test_a_refused_utterance_says_nothing() -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        await one_utterance(recogniser, far)
        error = {"type": "invalid_request_error", "code": "x", "event_id": "commit_1"}
        far.say("error", error=error | {"message": "too short"})
        await settle()
        assert recogniser.understood_all

    house, _ = hear(story, far=Far(commits=False))
    assert house.understandings == [("", True)]


@pytest.mark.parametrize(
    ("code", "event_id", "faults", "sockets"),
    [
        ("invalid_api_key", None, [("openai.bad_key", True)], 1),
        ("server_error", None, [("openai.server_error", False)], 1),
        ("session_expired", None, [], 2),
        ("whatever", "clear", [], 1),
    ],
)
def test_complaints_are_as_serious_as_they_are(
    code: str, event_id: str | None, faults: list[tuple[str, bool]], sockets: int
) -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        error = {"type": "error", "code": code, "event_id": event_id, "message": "no"}
        far.say("error", error=error)
        await settle()

    house, far = hear(story)
    assert house.faults == faults
    assert far.sockets == sockets


def test_an_old_session_gives_way_when_nobody_speaks() -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        recogniser.rest()
        await asyncio.sleep(SESSION_MOST_S + 1)
        assert far.sockets == 1
        recogniser.rest()
        await settle()
        assert far.sockets == 2

    hear(story)


def test_a_session_that_cannot_be_had_again_is_fatal() -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        far.refusals = [OSError("gone")] * 9
        far.cut()
        await asyncio.sleep(10)

    house, _ = hear(story)
    assert house.faults == [("openai.unreachable", True)]


def test_a_session_that_never_opens_has_stalled() -> None:
    far = Far()
    far.silent = True
    with pytest.raises(OpenAIFault) as fault:
        hear(nothing, far=far)
    assert fault.value.code == "openai.stalled"


def test_what_is_given_up_is_what_is_known() -> None:
    async def story(recogniser: StreamedRecogniser, far: Far) -> None:
        await one_utterance(recogniser, far)
        recogniser.give_up()
        assert recogniser.understood_all
        recogniser.dismiss()
        recogniser.take_back()
        with suppress(ValueError):
            [utterance] = recogniser.close()
            assert not recogniser.is_open(utterance)

    hear(story)
