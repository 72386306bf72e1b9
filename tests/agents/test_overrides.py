"""What one call has otherwise than its agent's file says."""

from typing import Any

import pytest

from service.agents import Agent
from service.agents.overrides import Overrides
from service.core.errors import ConfigError


def agent() -> Agent:
    return Agent.model_validate(
        {
            "name": "a",
            "engine": "openai-pipeline",
            "greeting": "Hello.",
            "realtime": {"voice": "cedar", "url": "https://ai.example/v1", "secret": "AI"},
            "pipeline": {
                "model": {"name": "small", "url": "http://127.0.0.1:8000/v1"},
                "speech": {"voice": "af"},
            },
            "filler": {"says": ["Wait."]},
            "voicemail": {"message": "Call me."},
        }
    )


def test_what_is_given_replaces_what_the_file_says_and_nothing_else() -> None:
    changed = agent().overridden(
        {
            "greeting": "Good evening.",
            "realtime": {"speed": 1.2},
            "pipeline": {"model": {"temperature": 0.2}, "speech": {"voice": "bf"}},
            "filler": {"says": []},
            "voicemail": {"policy": "leave_message"},
            "max_duration_s": 60,
        }
    )
    assert (changed.greeting, changed.max_duration_s) == ("Good evening.", 60)
    assert (changed.realtime.speed, changed.realtime.voice) == (1.2, "cedar")
    assert (changed.realtime.url, changed.realtime.secret) == ("https://ai.example/v1", "AI")
    assert changed.pipeline.model.url == "http://127.0.0.1:8000/v1"
    assert (changed.pipeline.model.name, changed.pipeline.model.temperature) == ("small", 0.2)
    assert changed.pipeline.speech.voice == "bf"
    assert (changed.filler.says, changed.filler.after_ms) == ((), 2000)
    assert (changed.voicemail.policy, changed.voicemail.message) == ("leave_message", "Call me.")
    assert changed.turn_taking == agent().turn_taking


def test_the_agent_itself_stays_as_it_is() -> None:
    one = agent()
    one.overridden({"realtime": {"voice": "marin"}, "greeting": "Hi."})
    assert one == agent()
    assert one.overridden({}) == one


def test_what_was_kept_of_overrides_gives_the_same_agent_again() -> None:
    given = {"turn_taking": {"backchannels": ["ja"]}, "voice": {"pitch": 50}}
    kept = Overrides.model_validate(given).model_dump(mode="json", exclude_unset=True)
    assert kept == given
    assert agent().overridden(kept) == agent().overridden(given)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        ({"name": "b"}, "name: there is no such key here"),
        ({"engine": "offline"}, "engine: there is no such key here"),
        ({"tools": ["end_call"]}, "tools: there is no such key here"),
        ({"lookups": []}, "lookups: there is no such key here"),
        ({"realtime": {"url": "https://evil.example"}}, "realtime.url: there is no such key here"),
        ({"realtime": {"secret": "CRM"}}, "realtime.secret: there is no such key here"),
        ({"pipeline": {"model": {"url": ""}}}, "pipeline.model.url: there is no such key here"),
        ({"idle": {"times": 99}}, "idle.times: more than 10"),
        ({"greeting": None}, "greeting: expected text; a number or a sign stands in quotes"),
    ],
)
def test_what_a_call_may_not_have_otherwise_is_told(overrides: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        agent().overridden(overrides)
    assert (refused.value.code, refused.value.detail) == ("agent.bad_overrides", fault)
