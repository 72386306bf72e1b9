"""The pure part of the offline engine: phrases and keys in, lines out."""

from service.agents import Agent
from service.ai.offline.script import Script

AGENT = Agent.model_validate(
    {
        "name": "clinic",
        "engine": "offline",
        "greeting": "Hello {name}.",
        "variables": {"name": "there"},
        "slots": {"day": ["Monday", "Tuesday"]},
        "not_understood": "Pardon me?",
        "replies": [
            {"hears": ["book"], "says": "Which day, {name}?", "then": "day"},
            {"when": "day", "hears": ["{day}", "on {day}"], "says": "{day}?", "then": "sure"},
            {"when": "sure", "hears": ["yes"], "says": "See you on {day}.", "end": True},
            {"hears": ["yes"], "says": "Yes what?"},
            {"key": 1, "says": "One."},
            {"when": "sure", "key": "1", "says": "Sure one."},
        ],
    }
)


def test_steps_slots_and_variables_lead_through_a_booking() -> None:
    script = Script(AGENT, {"name": "Ana"})
    assert script.hear("book").text == "Which day, Ana?"
    assert script.hear("on tuesday").text == "Tuesday?"
    last = script.hear("yes")
    assert (last.text, last.end) == ("See you on Tuesday.", True)


def test_a_phrase_is_understood_only_in_its_step() -> None:
    script = Script(AGENT, {})
    assert "monday" not in script.phrases
    assert script.hear("monday").text == "Pardon me?"
    script.hear("book")
    assert {"monday", "on monday", "book"} <= set(script.phrases)


def test_the_steps_own_reply_comes_before_the_one_that_always_holds() -> None:
    script = Script(AGENT, {})
    assert script.hear("yes").text == "Yes what?"
    assert script.press("1").text == "One."
    script.hear("book")
    script.hear("monday")
    assert script.press("1").text == "Sure one."


def test_not_understanding_keeps_the_step() -> None:
    script = Script(AGENT, {})
    script.hear("book")
    assert script.hear("").text == "Pardon me?"
    assert script.hear("monday").text == "Monday?"


def test_the_last_line_is_said_again() -> None:
    script = Script(AGENT, {})
    script.said("Hello.")
    assert script.hear("pardon").text == "Hello."
    script.hear("book")
    script.hear("")
    assert script.hear("say that again").text == "Which day, there?"


def test_an_unknown_key_is_not_understood() -> None:
    assert Script(AGENT, {}).press("9").text == "Pardon me?"
