"""Sentences that are kept ready, in the agent's own voice."""

from typing import Any

import httpx
import pytest

from service.ai.openai.access import Access
from service.ai.openai_pipeline.engine import PipelineEngine
from service.ai.spoken import Spoken
from service.core.errors import EngineError, TextRefused
from service.replay.virtual import run
from service.standin import KEY, Standin, Voice, connect, transport
from service.tools import Tools
from tests.ai.openai_pipeline.calling import agent
from tests.standin.client import URL, fault, standin


def speak(server: Standin, text: str, *, key: str = KEY, **fields: Any) -> Spoken:
    async def main() -> Spoken:
        async with httpx.AsyncClient(transport=transport(server.app)) as http:
            access = Access(key=key, url=URL, secrets={}, http=http, connect=connect(server.app))
            engine = PipelineEngine(access, Tools(secrets={}), str, judge=None)
            return await engine.speak(text, agent(**fields))

    return run(main())


def test_a_sentence_is_sound_with_words_in_place(voice: Voice) -> None:
    server = standin(voice)
    spoken = speak(server, "One moment, **please**.")
    assert "".join(word.text for word in spoken.words) == "One moment, please."
    assert [word.start_ms for word in spoken.words] == sorted(w.start_ms for w in spoken.words)
    assert 700 < spoken.duration_ms < 2500
    assert server.requests[0].body["input"] == "One moment, please."
    assert server.refused == []


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ({"does": "status", "status": 401}, "openai.bad_key"),
        ({"does": "empty"}, "openai.confused"),
        ({"does": "html"}, "openai.server_error"),
        ({"does": "stall"}, "openai.stalled"),
    ],
)
def test_no_sound_is_an_error_with_a_code(voice: Voice, does: dict[str, Any], code: str) -> None:
    server = standin(voice, faults=[fault("speech", number=0, **does).model_dump()])
    with pytest.raises(EngineError) as failed:
        speak(server, "Hello.")
    assert failed.value.code == code


def test_what_cannot_be_read_is_refused(voice: Voice) -> None:
    with pytest.raises(TextRefused):
        speak(standin(voice), "\U0001f600")
