"""Rules for a bridge's webhooks: who is let in, how fast, how often, in which order."""

import asyncio

import httpx

from service.conformance import readings
from service.conformance.check import Check, Failed, must, should
from service.conformance.kit import Kit
from service.twin.behaviour import Delivery, Faults, Signing
from service.twin.caller import HangUp, Silence, WaitForAgentStart
from service.twin.twilio import TwilioTwin

_SIGNATURES = "Twilio: Webhooks security. Telnyx: Webhook fundamentals, Webhook signing"
_DELIVERY = "Twilio: Webhooks, Connection overrides. Telnyx: Receiving webhooks"
_OVERSIZE_BYTES = 4 * 1024 * 1024
_OVERSIZE_S = 10.0
_ALL = 3


async def _is_refused(kit: Kit, signing: Signing, what: str) -> None:
    record = await kit.call(HangUp(), faults=Faults(signature=signing))
    first = record.receipts[0]
    if not 400 <= first.status < 500:
        raise Failed(f"4xx for {what}", f"HTTP {first.status}" if first.status else "no answer")
    if record.streams or readings.orders(record):
        raise Failed(f"nothing to follow {what}", "the call was taken all the same")


@must(_SIGNATURES)
async def an_unsigned_webhook_is_refused(kit: Kit) -> None:
    """Nobody but the carrier may begin a call."""
    await _is_refused(kit, "missing", "a webhook without a signature")


@must(_SIGNATURES)
async def a_webhook_signed_with_another_key_is_refused(kit: Kit) -> None:
    """The signature must be that of this account."""
    await _is_refused(kit, "wrong_key", "a webhook that another key signed")


@must(_SIGNATURES)
async def a_webhook_changed_after_signing_is_refused(kit: Kit) -> None:
    """The signature covers every field and byte."""
    await _is_refused(kit, "changed", "a webhook that is not what was signed")


@must("Twilio: Webhooks security")
async def a_signature_for_another_url_is_refused(kit: Kit) -> None:
    """The signature covers the URL, to its last slash."""
    await _is_refused(kit, "other_url", "a signature for another URL")


@must("Telnyx: Webhook fundamentals, Webhook signing")
async def an_old_webhook_is_refused(kit: Kit) -> None:
    """A recorded webhook must not work again: five minutes are allowed."""
    await _is_refused(kit, "old", "a webhook that was signed ten minutes ago")


@must(_DELIVERY)
async def webhooks_are_answered_in_time(kit: Kit) -> None:
    """Every webhook of a whole call gets 2xx, soon."""
    record = await kit.conversation()
    readings.check_receipts(record, within_ms=kit.limits.webhook_ms)


@must(_DELIVERY)
async def webhooks_that_come_twice_and_shuffled_make_one_call(kit: Kit) -> None:
    """Carriers repeat and reorder; the call stays one."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    twice = Delivery(copies=2, delay_ms=(0, 300))
    faults = Faults(voice_twice=isinstance(kit.twin, TwilioTwin))
    record = await kit.call(start, Silence(500), HangUp(), delivery=twice, faults=faults)
    readings.must_live(record)
    readings.check_receipts(record)
    if (answers := readings.orders(record).count("answer")) > 1 and readings.refusals(record):
        raise Failed("one answer to the call", f"it was answered {answers} times")
    opened = sum("open" in line for line in record.lines)
    if opened != 1:
        raise Failed("one media stream", f"{opened} were asked for")


@must(_DELIVERY)
async def webhooks_after_the_end_are_taken(kit: Kit) -> None:
    """What is late is late: it is answered with 2xx and changes nothing."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    late = Delivery(copies=2, hold=True)
    record = await kit.call(start, Silence(500), HangUp(), delivery=late)
    readings.must_live(record)
    readings.check_receipts(record)


@must("Twilio: Voice webhooks, parameters. Telnyx: Voice API webhooks")
async def novelties_are_ignored(kit: Kit) -> None:
    """Fields, events and message parts that are new one day are no errors."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    record = await kit.call(start, Silence(500), HangUp(), faults=Faults(novelties=True))
    readings.must_live(record)
    readings.check_receipts(record)


@must(_DELIVERY)
async def calls_at_once_stay_apart(kit: Kit) -> None:
    """Each call has its own stream, and gets its own messages."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    calls = (kit.call(start, Silence(1000), HangUp()) for _ in range(_ALL))
    for record in await asyncio.gather(*calls):
        readings.must_live(record)
        if any("streamSid" in warned.detail for warned in record.warnings):
            raise Failed("messages for this call's stream", "they name another")


@should("Twilio: Webhooks security. Telnyx: Receiving webhooks")
async def an_oversize_webhook_is_refused(kit: Kit) -> None:
    """Whoever sends megabytes gets 4xx, quickly, and the next call is answered."""
    body = b"a=" + b"x" * _OVERSIZE_BYTES
    form = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": "x"}
    try:
        async with asyncio.timeout(_OVERSIZE_S):
            answer = await kit.http.post(kit.webhook_url, content=body, headers=form)
    except httpx.TransportError:
        return  # to cut the connection is an answer, too
    except TimeoutError:
        raise Failed("an oversize webhook to be refused", "no answer") from None
    if not 400 <= answer.status_code < 500:
        raise Failed("4xx for an oversize webhook", f"HTTP {answer.status_code}")


CHECKS: tuple[Check, ...] = (
    an_unsigned_webhook_is_refused,
    a_webhook_signed_with_another_key_is_refused,
    a_webhook_changed_after_signing_is_refused,
    webhooks_are_answered_in_time,
    webhooks_that_come_twice_and_shuffled_make_one_call,
    webhooks_after_the_end_are_taken,
    novelties_are_ignored,
    calls_at_once_stay_apart,
    an_oversize_webhook_is_refused,
)
OF_TWILIO: tuple[Check, ...] = (a_signature_for_another_url_is_refused,)
OF_TELNYX: tuple[Check, ...] = (an_old_webhook_is_refused,)
