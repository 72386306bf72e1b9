"""A difference points at its rule, and the file it names is there."""

import pytest

from service.replay.rules import RULES, rule_of
from tests.replay.fixtures import ROOT


@pytest.mark.parametrize("rule", sorted({str(rule.file) for _, rule in RULES}))
def test_the_file_that_is_named_is_there(rule: str) -> None:
    assert (ROOT / rule).is_file()


@pytest.mark.parametrize(
    ("lane", "what", "name"),
    [
        ("stream", "clear", "barge-in"),
        ("stream", "clear, by 80 ms", "barge-in"),
        ("engine", "interrupt", "barge-in"),
        ("store", "agent.interrupted", "barge-in"),
        ("engine", "interrupt.heard_ms", "the ledger of marks"),
        ("store", "turn.agent.heard_text", "the ledger of marks"),
        ("webhook", "answer to POST /twilio/voice: status 200, must be 403", "the signature check"),
        ("webhook", "answer to POST /twilio/voice: status 500, must be 200", "what a webhook"),
        ("stream", "refused", "the token check"),
        ("stream", "refused: status 500, must be 403", "the token check"),
        ("stream", "sound: frames in wrong order from 1.00 s to 1.04 s", "the order of frames"),
        ("stream", "sound: gap of 40 ms at 3.20 s", "the pace"),
        ("stream", "sound, by 200 ms", "the pace"),
        ("stream", "sound: different sound from 1.00 s to 2.00 s", "what the engine said"),
        ("store", "call.ended.outcome", "the call table"),
        ("api", "answer to POST /v1/calls/x/say: status 409, must be 202", "what users may do"),
        ("rest", "POST /v2/calls/x/actions/answer", "commands to the carrier"),
    ],
)
def test_a_difference_points_at_the_rule_it_breaks(lane: str, what: str, name: str) -> None:
    assert str(rule_of(lane, what)).startswith(name)
