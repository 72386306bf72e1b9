"""The kit finds nothing to blame in a bridge that keeps the rules, and exactly what one breaks."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.conformance import sound, telnyx, twilio
from service.conformance.check import Result
from service.conformance.kit import Kit, Limits, Order
from service.conformance.run import CHECKS, conform
from service.replay import virtual
from service.replay.stage import PUBLIC_URL, open_stage
from service.replay.voice import CallerVoice
from service.twin.socket import dial_app
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin
from tests.conformance.small_bridge import (
    BASE,
    TELNYX_KEY,
    TWILIO_SID,
    TWILIO_TOKEN,
    SmallBridge,
    speech,
)

ROOT = Path(__file__).parents[2]
CARRIERS = ("twilio", "telnyx")
_LIMITS = Limits(answer_ms=2000, webhook_ms=1000)
_SPEECH = speech()

# The rule that is broken, by the bridge's sin; a second one only where the sin breaks it, too.
BOTH: dict[str, set[str]] = {
    "takes_unsigned": {"an_unsigned_webhook_is_refused"},
    "takes_changes": {"a_webhook_changed_after_signing_is_refused"},
    "slow": {"webhooks_are_answered_in_time"},
    "no_second_answer": {"webhooks_that_come_twice_and_shuffled_make_one_call"},
    "late_is_wrong": {"webhooks_after_the_end_are_taken"},
    "strict_fields": {"novelties_are_ignored"},
    "one_call_at_a_time": {"calls_at_once_stay_apart"},
    "takes_megabytes": {"an_oversize_webhook_is_refused"},
    "takes_any_token": {
        "a_socket_with_a_forged_token_is_refused",
        "a_start_for_another_call_is_closed",
    },
    "takes_any_call": {"a_start_for_another_call_is_closed"},
    "closes_with_1000": {"a_start_for_another_call_is_closed_with_1008"},
    "waits_for_ever": {"a_socket_without_start_is_dropped"},
    "a_key_ends_it": {"a_pressed_key_is_survived"},
    "an_unknown_event_ends_it": {"an_unknown_event_is_ignored"},
    "an_unknown_mark_ends_it": {"a_mark_that_nobody_asked_for_is_survived"},
    "a_malformed_message_ends_it": {"a_malformed_message_is_survived"},
    "an_oversize_message_hurts": {"an_oversize_message_hurts_no_other_call"},
    "frames_in_order_only": {"frames_lost_doubled_and_out_of_order_are_survived"},
    "frames_of_20_ms_only": {"frames_of_another_length_are_taken"},
    "hears_noise": {"noise_on_the_line_is_no_speech"},
    "odd_messages": {"messages_follow_the_schema"},
    "mute": {"the_agent_speaks"},
    "sends_a_file": {"sound_has_no_file_header"},
    "odd_frames": {"sound_comes_in_whole_frames"},
    "all_at_once": {"sound_is_not_sent_far_ahead"},
    "drags": {"speech_has_no_gaps"},
    "no_marks": {"speech_ends_with_a_mark"},
    "one_mark_name": {"marks_have_names_of_their_own"},
    "never_interrupted": {"speaking_over_the_agent_silences_it"},
    "speaks_on_after_clear": {"nothing_stale_follows_a_clear"},
    "a_cleared_mark_ends_it": {
        "marks_that_a_clear_returns_are_survived",
        "frames_lost_doubled_and_out_of_order_are_survived",
    },
    "dials_again": {"an_order_that_fails_is_not_dialled_twice"},
    "takes_no_orders": {
        "an_order_becomes_one_call",
        "a_line_that_is_busy_is_no_trouble",
        "a_rate_limit_is_survived",
    },
}
SINS: dict[str, dict[str, set[str]]] = {
    "twilio": {
        **BOTH,
        "takes_another_key": {"a_webhook_signed_with_another_key_is_refused"},
        "takes_another_url": {"a_signature_for_another_url_is_refused"},
        "pauses_after_the_stream": {"no_pause_follows_the_stream"},
        "a_cut_breaks_it": {"a_cut_socket_is_survived"},
    },
    "telnyx": {
        **BOTH,
        "late_is_wrong": {"webhooks_after_the_end_are_taken", "a_cut_socket_is_survived"},
        "takes_old": {"an_old_webhook_is_refused"},
        "a_cut_breaks_it": {"a_cut_socket_is_survived", "a_socket_dialled_again_goes_on"},
        "token_once": {
            "a_cut_socket_is_survived",
            "a_socket_dialled_again_goes_on",
            "a_second_socket_replaces_the_first",
        },
        "answers_every_leg": {"a_leg_that_somebody_else_placed_is_left_alone"},
        "odd_commands": {"commands_are_right"},
        "no_rtp": {"the_agent_can_be_heard"},
        "crumbs": {"sound_comes_in_lengths_that_telnyx_has", "sound_comes_in_whole_frames"},
        "knows_no_a_law": {"an_a_law_line_is_taken"},
        "an_error_frame_ends_it": {"an_error_frame_is_survived"},
        "hangup_comes_last": {"a_hangup_told_before_stop_is_survived"},
    },
}


@contextmanager
def _kit(carrier: str, bridge: SmallBridge) -> Iterator[Kit]:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(bridge.app))
    dial = dial_app(bridge.app)
    twin: TwilioTwin | TelnyxTwin
    options: dict[str, Any]
    if carrier == "twilio":
        webhook_url = f"{BASE}/voice"
        twin = TwilioTwin(
            http,
            dial,
            account_sid=TWILIO_SID,
            auth_token=TWILIO_TOKEN,
            voice_url=webhook_url,
            status_url=f"{BASE}/status",
            chance=random.Random(1),
        )
        options = {"auth": (TWILIO_SID, TWILIO_TOKEN)}
    else:
        webhook_url = f"{BASE}/webhook"
        twin = TelnyxTwin(
            http,
            dial,
            api_key=TELNYX_KEY,
            seed=bytes(range(32)),
            connection_id="1",
            webhook_url=webhook_url,
            chance=random.Random(1),
        )
        options = {"headers": {"authorization": f"Bearer {TELNYX_KEY}"}}
    transport = httpx.ASGITransport(twin.app)
    bridge.rest[carrier] = httpx.AsyncClient(
        transport=transport, base_url=f"http://{carrier}.test", **options
    )
    order = Order(url=f"{BASE}/order/{carrier}", body='{"to":"{to}"}')
    yield Kit(twin, http, webhook_url=webhook_url, speech=_SPEECH, limits=_LIMITS, order=order)


def _judge(carrier: str, sin: str = "", *only: str) -> list[Result]:
    async def main() -> list[Result]:
        with _kit(carrier, SmallBridge(sin)) as kit:
            return await conform(kit, at_once=1, only=only)

    return virtual.run(main())


def _blamed(results: list[Result]) -> set[str]:
    return {result.name for result in results if result.verdict in ("failed", "error")}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_bridge_that_keeps_the_rules_passes_every_check(carrier: str) -> None:
    results = _judge(carrier)
    assert [(r.name, r.expected, r.came) for r in results if r.verdict != "passed"] == []
    assert [r.name for r in results] == [check.name for check in CHECKS[carrier]]


# Each sin on one carrier, in turn, and beside its own rule those that judge the same calls: every
# rule for every sin on both takes a minute and says no more.
CASES = [
    (carrier, sin)
    for carrier, sins in SINS.items()
    for number, sin in enumerate(sins)
    if sins[sin] is not BOTH.get(sin) or CARRIERS[number % 2] == carrier
]
_NEARBY = {check.name for check in (*sound.CHECKS, *twilio.CHECKS, *telnyx.CHECKS[:4])}


@pytest.mark.parametrize(("carrier", "sin"), CASES)
def test_a_broken_rule_is_found_and_no_other(carrier: str, sin: str) -> None:
    broken = SINS[carrier][sin]
    assert _blamed(_judge(carrier, sin, *broken | _NEARBY)) == broken


async def test_a_rule_that_cannot_be_judged_is_skipped_or_an_error() -> None:
    with _kit("twilio", SmallBridge()) as kit:
        kit.order = None
        [skipped] = await conform(kit, only=["an_order_becomes_one_call"])
        kit.webhook_url = "not a URL"
        [error] = await conform(kit, only=["an_oversize_webhook_is_refused"])
    assert (skipped.verdict, skipped.came) == ("skipped", "no order URL was given")
    assert (error.verdict, error.binding) == ("error", True)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_our_own_service_passes_every_check(carrier: str) -> None:
    async def main() -> list[Result]:
        status = {"status_url": f"{PUBLIC_URL}/twilio/status"}
        async with open_stage(agents=ROOT / "agents", twilio=status) as stage:
            on_twilio = carrier == "twilio"
            path = "/twilio/voice" if on_twilio else "/telnyx/webhook"
            numbers = f'"provider":"{carrier}","to":"{{to}}","from":"+14155550123"'
            kit = Kit(
                stage.twilio if on_twilio else stage.telnyx,
                stage.http,
                webhook_url=PUBLIC_URL + path,
                speech=CallerVoice().say("Excuse me, when are you open?"),
                order=Order(url=f"{PUBLIC_URL}/v1/calls", body=f"{{{numbers}}}"),
            )
            return await conform(kit)

    results = virtual.run(main())
    assert [(r.name, r.expected, r.came) for r in results if r.verdict != "passed"] == []
