"""Recognition of whole utterances, by servers that keep to the API and by others."""

import asyncio
import io
import wave
from collections.abc import Callable
from typing import Any

import httpx
from openai import AsyncOpenAI

from service.ai.base import Brief
from service.ai.openai.caller import Utterance
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.uploaded import UploadedRecogniser
from service.core.audio import PCMU_8K
from service.core.calls import CallId
from service.replay.virtual import run
from tests.ai.openai_pipeline.calling import agent
from tests.voices import on_the_line, silence

SOUND = on_the_line(silence(400))


class House:
    def __init__(self) -> None:
        self.understandings: list[str] = []
        self.faults: list[tuple[str, bool]] = []

    def understood(self, utterance: Utterance) -> None:
        self.understandings.append(utterance.words)

    def failed(self, fault: OpenAIFault, *, fatal: bool) -> None:
        self.faults.append((fault.code, fatal))


class Far:
    """A server for recognition: `answers` in turn, the last for ever."""

    def __init__(self, *answers: httpx.Response | Callable[[bytes], httpx.Response]) -> None:
        self._answers = [*answers]
        self.asked: list[bytes] = []
        self.house = House()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(await request.aread())
        await asyncio.sleep(0.1)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(self.asked[-1]) if callable(answer) else answer

    def streamed(self) -> list[bool]:
        return [b'name="stream"' in body for body in self.asked]

    def hear(self, story: Any, **recognition: Any) -> House:
        async def main() -> None:
            known = agent(pipeline={"recognition": {"how": "upload", **recognition}})
            brief = Brief(call_id=CallId("c"), agent=known, hears=PCMU_8K, speaks=PCMU_8K)
            async with httpx.AsyncClient(transport=httpx.MockTransport(self.answer)) as http:
                url = "http://ears.test/v1"
                client = AsyncOpenAI(api_key="k", base_url=url, http_client=http, max_retries=0)  # type: ignore[arg-type]
                recogniser = UploadedRecogniser(brief, client, self.house)
                await recogniser.open()
                await story(recogniser)
                await asyncio.sleep(10)
                await recogniser.aclose()
            assert len(asyncio.all_tasks()) == 1

        run(main())
        return self.house


def json(text: str) -> httpx.Response:
    return httpx.Response(200, json={"text": text})


async def one_utterance(recogniser: UploadedRecogniser) -> None:
    recogniser.say(SOUND)
    recogniser.cut()
    recogniser.cut()
    await asyncio.sleep(5)


def test_a_server_that_does_not_stream_answers_all_the_same() -> None:
    for answer in (json("hello"), httpx.Response(200, text="hello\n")):
        far = Far(answer)
        assert far.hear(one_utterance).understandings == ["hello"]
        assert far.streamed() == [True]


def test_a_server_that_refuses_to_stream_is_asked_without() -> None:
    async def story(recogniser: UploadedRecogniser) -> None:
        await one_utterance(recogniser)
        recogniser.close()
        await one_utterance(recogniser)

    refusal = httpx.Response(422, json={"detail": "extra field: stream"})
    far = Far(lambda body: refusal if b'name="stream"' in body else json("hello"))
    assert far.hear(story).understandings == ["hello", "hello"]
    assert far.streamed() == [True, False, False]
    assert far.house.faults == []


def test_words_are_known_while_they_come() -> None:
    body = (
        'data: {"type":"transcript.text.delta","delta":"hel"}\n\n'
        'data: {"type":"transcript.text.delta","delta":"lo"}\n\n'
        'data: {"type":"transcript.text.done","text":"hello"}\n\n'
    )
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    far = Far(httpx.Response(200, headers=headers, text=body))
    assert far.hear(one_utterance).understandings == ["hel", "hello", "hello"]


def test_a_stream_without_an_end_is_confusing() -> None:
    headers = {"content-type": "text/event-stream"}
    far = Far(httpx.Response(200, headers=headers, text=": nothing\n\n"))
    assert far.hear(one_utterance).faults == [("openai.confused", True)]


def test_what_was_dismissed_may_be_taken_back_and_goes_on() -> None:
    async def story(recogniser: UploadedRecogniser) -> None:
        recogniser.say(SOUND)
        recogniser.cut()
        recogniser.dismiss()
        assert not recogniser.understood_all
        await asyncio.sleep(1)
        assert recogniser.words == "one"
        recogniser.take_back()
        recogniser.say(SOUND)
        recogniser.cut()
        await asyncio.sleep(1)
        assert recogniser.words == "one two"
        assert recogniser.understood_all
        assert [utterance.text for utterance in recogniser.close()] == ["one", "two"]
        assert recogniser.words == ""

    assert Far(json("one"), json("two")).hear(story).faults == []


def test_nobody_waits_for_what_is_not_wanted() -> None:
    async def story(recogniser: UploadedRecogniser) -> None:
        recogniser.say(SOUND)
        recogniser.cut()
        recogniser.dismiss()
        recogniser.forget_doubtful()
        assert recogniser.understood_all

    far = Far(json("one"))
    assert far.hear(story).understandings == []


def test_what_is_given_up_is_what_is_known() -> None:
    async def story(recogniser: UploadedRecogniser) -> None:
        recogniser.say(SOUND)
        recogniser.cut()
        recogniser.give_up()
        assert recogniser.understood_all
        assert recogniser.words == ""

    assert Far(json("one")).hear(story).understandings == []


def test_the_request_is_as_the_agent_says() -> None:
    far = Far(json("hello"))
    far.hear(one_utterance, model="own", prompt="Acme")
    [body] = far.asked
    for part in (b'"model"\r\n\r\nown', b'"prompt"\r\n\r\nAcme', b'"language"\r\n\r\nen'):
        assert part in body
    begin = body.index(b"RIFF")
    with wave.open(io.BytesIO(body[begin:])) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16_000, 2, 1)
        assert 0.3 < file.getnframes() / 16_000 < 0.45
