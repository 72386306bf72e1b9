"""Rules for a bridge's media socket: whom it lets in, what it survives, when it closes."""

import json

from service.conformance import readings
from service.conformance.check import Check, Failed, must, should
from service.conformance.kit import Kit
from service.twin.behaviour import Faults
from service.twin.caller import (
    Disturb,
    DropSocket,
    HangUp,
    Press,
    Raw,
    Say,
    Silence,
    Step,
    WaitForAgentStart,
)
from service.twin.record import CallRecord

_AUTHENTICATION = "Twilio: Media Streams, <Stream>. Telnyx: Media streaming, stream_auth_token"
_MESSAGES = "Twilio: Media Streams, WebSocket messages. Telnyx: Media streaming over WebSockets"
_POLICY_VIOLATION = 1008
_FOREIGN_MS = 5000
_OVERSIZE_CHARS = 1024 * 1024
_AFTERWARDS = Silence(1500)


async def _survives(kit: Kit, *steps: Step, faults: Faults | None = None) -> CallRecord:
    start = WaitForAgentStart(kit.limits.answer_ms)
    record = await kit.call(start, *steps, _AFTERWARDS, HangUp(), faults=faults)
    readings.must_live(record)
    return record


@must("Twilio: Media Streams. Telnyx: Media streaming")
async def a_call_is_answered_with_a_stream(kit: Kit) -> None:
    """The caller is connected, and stays so until hanging up."""
    readings.must_live(await kit.conversation())


@must(_AUTHENTICATION)
async def a_socket_with_a_forged_token_is_refused(kit: Kit) -> None:
    """Without the carrier's key and with a token that was never given, nobody may listen in."""
    forged = Faults(socket="forged")
    record = await kit.call(Silence(_FOREIGN_MS), HangUp(), faults=forged)
    if readings.was_refused(record):
        return
    if "closed" not in [stream.ended for stream in record.streams] or any(readings.media(record)):
        raise Failed("the socket to be refused or closed", "it was let in")


@must(_AUTHENTICATION)
async def a_start_for_another_call_is_closed(kit: Kit) -> None:
    """A token is good for its own call alone."""
    record = await kit.call(Silence(_FOREIGN_MS), HangUp(), faults=Faults(start="foreign"))
    stream = readings.stream_of(record)
    if stream.ended != "closed":
        raise Failed("the socket to be closed", "it stayed open")
    if any(not readings.is_silence(payload) for _, payload in readings.media(record)):
        raise Failed("no sound for another call", "the agent spoke")


@should(_AUTHENTICATION)
async def a_start_for_another_call_is_closed_with_1008(kit: Kit) -> None:
    """RFC 6455, 7.4.1: a policy was violated."""
    record = await kit.call(Silence(_FOREIGN_MS), HangUp(), faults=Faults(start="foreign"))
    stream = readings.stream_of(record)
    if stream.ended == "closed" and stream.close_code != _POLICY_VIOLATION:
        raise Failed(f"close code {_POLICY_VIOLATION}", f"it was closed with {stream.close_code}")


@should(_MESSAGES)
async def a_socket_without_start_is_dropped(kit: Kit) -> None:
    """An open socket that says nothing must not be held for ever."""
    record = await kit.call(HangUp(), faults=Faults(start="never"))
    opened_ms = next((line["at_ms"] for line in record.lines if "open" in line), None)
    if opened_ms is None:
        raise Failed("a media stream", readings.why_not(record))
    closed_ms = [
        line["at_ms"] - opened_ms
        for line in record.lines
        if line["lane"] == "stream" and line["from"] == "bridge" and "close" in line
    ]
    if not closed_ms or closed_ms[0] > kit.limits.start_ms:
        came = f"it was after {closed_ms[0]} ms" if closed_ms else "it stayed open"
        raise Failed(f"the socket to be closed within {kit.limits.start_ms} ms", came)


@must(_MESSAGES)
async def a_pressed_key_is_survived(kit: Kit) -> None:
    """Callers press keys, wanted or not."""
    await _survives(kit, Press("5#*0"))


@must(_MESSAGES)
async def an_unknown_event_is_ignored(kit: Kit) -> None:
    """Carriers add events."""
    await _survives(kit, Raw('{"event":"novelty","novelty":{"a":[1,2]}}'), Raw('{"event":7}'))


@must(_MESSAGES)
async def a_mark_that_nobody_asked_for_is_survived(kit: Kit) -> None:
    """Late marks of what was cleared long ago come back."""
    await _survives(kit, Raw('{"event":"mark","mark":{"name":"of another life"}}'))


@should(_MESSAGES)
async def a_malformed_message_is_survived(kit: Kit) -> None:
    """One bad message is no reason to leave a caller alone."""
    broken = [
        "this is not JSON",
        "[1,2,3]",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"***"}}',
        '{"event":"media","media":{"payload":7}}',
        '{"event":"mark","mark":{}}',
        "{" * 5000,
    ]
    await _survives(kit, *map(Raw, broken))


@must(_MESSAGES)
async def an_oversize_message_hurts_no_other_call(kit: Kit) -> None:
    """The socket may be closed for it; the next call is answered as ever."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    big = json.dumps({"event": "media", "media": {"payload": "/" * _OVERSIZE_CHARS}})
    await kit.call(start, Raw(big), _AFTERWARDS, HangUp())
    await _survives(kit)


@must(_MESSAGES)
async def frames_lost_doubled_and_out_of_order_are_survived(kit: Kit) -> None:
    """The network between is the internet."""
    disturbed = Disturb(drop_every=7, repeat_every=5, late_every=3, late_by=4, bunch=3)
    await _survives(kit, disturbed, Say(kit.speech))


@must(_MESSAGES)
async def frames_of_another_length_are_taken(kit: Kit) -> None:
    """20 ms are usual and not promised."""
    await _survives(kit, Disturb(join=5), Say(kit.speech))


@must(_MESSAGES)
async def noise_on_the_line_is_no_speech(kit: Kit) -> None:
    """A line is never quite silent; the agent must not fall silent for that."""
    record = await _survives(kit, faults=Faults(noise=True))
    if readings.stream_of(record).clears_at_ms:
        raise Failed("the agent to speak on", "it was interrupted by noise at -35 dB")


@must(_MESSAGES)
async def a_cut_socket_is_survived(kit: Kit) -> None:
    """No `stop`, no close frame: what follows is answered, and so is the next call."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    record = await kit.call(start, Silence(300), DropSocket(), _AFTERWARDS, HangUp())
    readings.stream_of(record)
    readings.check_receipts(record)
    readings.check_warnings(record, *readings.UNANSWERED_CODES)
    await _survives(kit)


CHECKS: tuple[Check, ...] = (
    a_call_is_answered_with_a_stream,
    a_socket_with_a_forged_token_is_refused,
    a_start_for_another_call_is_closed,
    a_start_for_another_call_is_closed_with_1008,
    a_socket_without_start_is_dropped,
    a_pressed_key_is_survived,
    an_unknown_event_is_ignored,
    a_mark_that_nobody_asked_for_is_survived,
    a_malformed_message_is_survived,
    an_oversize_message_hurts_no_other_call,
    frames_lost_doubled_and_out_of_order_are_survived,
    frames_of_another_length_are_taken,
    noise_on_the_line_is_no_speech,
    a_cut_socket_is_survived,
)
