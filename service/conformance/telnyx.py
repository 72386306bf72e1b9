"""Rules for a bridge on Telnyx alone: its commands, second sockets, other people's legs."""

from service.conformance import readings
from service.conformance.check import Check, Failed, must, should
from service.conformance.kit import Kit
from service.core.audio import Encoding
from service.twin.behaviour import Outcome
from service.twin.caller import (
    DropSocket,
    HangUp,
    Raw,
    Redial,
    Say,
    Silence,
    WaitForAgentStart,
)
from service.twin.record import CallRecord
from service.twin.telnyx import TelnyxTwin
from service.twin.telnyx_events import Habits

_AFTERWARDS = Silence(1500)


@must("Telnyx: Answer call, API error codes")
async def commands_are_right(kit: Kit) -> None:
    """No command of an ordinary call is refused."""
    for refusal in readings.refusals(await kit.conversation()):
        error = refusal["body"]["errors"][0]
        if error["code"] != "90018":  # the caller was faster: a race that nobody loses
            raise Failed("commands that Telnyx takes", f"{error['code']}: {error['detail']}")


@must("Telnyx: Streaming start (stream_bidirectional_mode, _target_legs)")
async def the_agent_can_be_heard(kit: Kit) -> None:
    """Sound reaches the caller only in `rtp` mode and sent to the caller's own leg."""
    readings.check_warnings(await kit.conversation(), "never_heard")


@must("Telnyx: Streaming start")
async def the_stream_can_be_reached(kit: Kit) -> None:
    """The socket that was asked for is there when Telnyx dials it."""
    readings.check_warnings(await kit.conversation(), "connection_failed")


@should("Telnyx: Media streaming: 20 ms to 30 s a message")
async def sound_comes_in_lengths_that_telnyx_has(kit: Kit) -> None:
    """What is shorter or longer is outside of what is documented."""
    readings.check_warnings(await kit.conversation(), "media_length")


@must("Telnyx: Voice API webhooks, call.initiated")
async def a_leg_that_somebody_else_placed_is_left_alone(kit: Kit) -> None:
    """`answer` is for incoming calls; one application may place calls from elsewhere, too."""
    twin = kit.twin
    if not isinstance(twin, TelnyxTwin):
        raise TypeError("a rule of Telnyx")
    steps = (Silence(2000), HangUp())
    outcome = Outcome(ring_ms=1000, steps=steps)
    record = await twin.place_elsewhere(kit.far_end(), "+14155550100", outcome)
    readings.check_receipts(record)
    if commands := readings.orders(record):
        raise Failed("no command", f"the bridge gave {', '.join(sorted(set(commands)))}")


@must("Telnyx: Media streaming: a lost socket is dialled again")
async def a_socket_dialled_again_goes_on(kit: Kit) -> None:
    """A second `connected` and `start` for the same call continue it."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    steps = (start, Silence(300), DropSocket(), _AFTERWARDS, HangUp())
    _must_go_on(await kit.call(*steps, habits=Habits(redials=True)))


@must("Telnyx: Media streaming: a lost socket is dialled again")
async def a_second_socket_replaces_the_first(kit: Kit) -> None:
    """Telnyx may dial before it has noticed that the first is gone."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    _must_go_on(await kit.call(start, Silence(300), Redial(), _AFTERWARDS, HangUp()))


def _must_go_on(record: CallRecord) -> None:
    readings.stream_of(record)
    if readings.was_refused(record) or len(record.streams) < 2:
        raise Failed("a second socket to be let in", "it was refused")
    if record.streams[-1].ended != "hangup":
        raise Failed("the second socket to stay open", f"it ended: {record.streams[-1].ended}")


@must("Telnyx: Media streaming: media_format")
async def an_a_law_line_is_taken(kit: Kit) -> None:
    """European legs bring PCMA whatever was asked; A-law silence is no speech."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    habits = Habits(line_codec=Encoding.PCMA, obeys_stream_codec=False)
    record = await kit.call(start, Silence(1000), Say(kit.speech), HangUp(), habits=habits)
    stream = readings.must_live(record)
    said_ms = next(remark.at_ms for remark in record.remarks if remark.kind == "says")
    if any(at_ms < said_ms for at_ms in stream.clears_at_ms):
        raise Failed("the agent to speak on", "A-law silence interrupted it")


@must("Telnyx: Media streaming: the `error` frame")
async def an_error_frame_is_survived(kit: Kit) -> None:
    """Its code is a number, unlike all others."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    payload = '{"code":100002,"title":"unknown_error","detail":"?"}'
    error = Raw(f'{{"event":"error","stream_id":"x","payload":{payload}}}')
    readings.must_live(await kit.call(start, error, _AFTERWARDS, HangUp()))


@must("Telnyx: Receiving webhooks: no order is promised")
async def a_hangup_told_before_stop_is_survived(kit: Kit) -> None:
    """`call.hangup` may outrun the socket's `stop`."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    record = await kit.call(start, Silence(300), HangUp(), habits=Habits(hangup_first=True))
    readings.stream_of(record)
    readings.check_receipts(record)


CHECKS: tuple[Check, ...] = (
    commands_are_right,
    the_agent_can_be_heard,
    the_stream_can_be_reached,
    sound_comes_in_lengths_that_telnyx_has,
    a_leg_that_somebody_else_placed_is_left_alone,
    a_socket_dialled_again_goes_on,
    a_second_socket_replaces_the_first,
    an_a_law_line_is_taken,
    an_error_frame_is_survived,
    a_hangup_told_before_stop_is_survived,
)
