"""Rules for what a bridge sends into the call: messages, sound, marks, and falling silent."""

import itertools

from service.conformance import readings
from service.conformance.check import Check, Failed, NotApplicable, must, should
from service.conformance.kit import Kit
from service.twin.record import CallRecord

_MESSAGES = "Twilio: Media Streams, WebSocket messages. Telnyx: Media streaming over WebSockets"
_PLAYBACK = f"{_MESSAGES} (media, mark, clear)"
_HEADERS = (b"RIFF", b".snd", b"ID3", b"OggS")
_FRAME_BYTES = 160
_UNDERRUN_MS = 100  # a shorter pause in speech is no pause of the speaker
_STALE_MS = 300


@must(_MESSAGES)
async def messages_follow_the_schema(kit: Kit) -> None:
    """Nothing on the socket that the carrier would not take."""
    record = await kit.conversation()
    readings.stream_of(record)
    readings.check_warnings(record, *readings.SOCKET_CODES)


@should("Twilio: Media Streams. Telnyx: Media streaming")
async def the_agent_speaks(kit: Kit) -> None:
    """A caller who hears nothing hangs up."""
    record = await kit.conversation()
    stream = readings.stream_of(record)
    spoken = [
        at_ms for at_ms, payload in readings.media(record) if not readings.is_silence(payload)
    ]
    if not spoken:
        raise Failed("the agent to speak", f"nothing was heard in {kit.limits.answer_ms} ms")
    if spoken[0] - stream.started_at_ms > kit.limits.answer_ms:
        raise Failed(f"sound within {kit.limits.answer_ms} ms", f"it came after {spoken[0]} ms")


@must(_PLAYBACK)
async def sound_has_no_file_header(kit: Kit) -> None:
    """A WAV file's header is played as a burst of noise."""
    for _, payload in readings.media(await kit.conversation()):
        if payload.startswith(_HEADERS):
            raise Failed("bare codec bytes", f"the payload begins with {payload[:4]!r}")


@should(_PLAYBACK)
async def sound_comes_in_whole_frames(kit: Kit) -> None:
    """Odd lengths click: each message is a multiple of 20 ms."""
    for _, payload in readings.media(await kit.conversation()):
        if len(payload) % _FRAME_BYTES:
            raise Failed("multiples of 160 bytes", f"a message has {len(payload)}")


@should(_PLAYBACK)
async def sound_is_not_sent_far_ahead(kit: Kit) -> None:
    """What waits at the carrier can only be stopped by a `clear`."""
    most_ms = max((s.most_queued_ms for s in (await kit.conversation()).streams), default=0.0)
    if most_ms > kit.limits.ahead_ms:
        raise Failed(f"at most {kit.limits.ahead_ms} ms waiting", f"{most_ms:.0f} ms waited")


@should(_PLAYBACK)
async def speech_has_no_gaps(kit: Kit) -> None:
    """The carrier's queue does not run dry in the middle of a word."""
    for stream in (await kit.conversation()).streams:
        spans = stream.playback.spans()
        for before, after in itertools.pairwise(spans):
            if 0 < after.start_ms - before.end_ms < _UNDERRUN_MS:
                gap_ms = after.start_ms - before.end_ms
                raise Failed("speech without gaps", f"{gap_ms:.0f} ms were missing")


@should(_PLAYBACK)
async def speech_ends_with_a_mark(kit: Kit) -> None:
    """Only a mark tells what the caller truly heard."""
    stream = readings.stream_of(await kit.conversation())
    if stream.playback.spans() and not stream.echoes:
        raise Failed("a mark after speech", "none was sent")


@should(_PLAYBACK)
async def marks_have_names_of_their_own(kit: Kit) -> None:
    """An old mark that comes back late must not pass for a new one."""
    stream = readings.stream_of(await kit.conversation())
    names = [echo.name for echo in stream.echoes]
    if len(names) != len(set(names)):
        raise Failed("a new name for each mark", "a name came twice")


@should(_PLAYBACK)
async def speaking_over_the_agent_silences_it(kit: Kit) -> None:
    """A caller who interrupts is let speak."""
    record = await kit.interruption()
    began_ms = _spoke_at(record)
    stream = readings.stream_of(record)
    limit_ms = began_ms + kit.limits.clear_ms
    if any(began_ms <= at_ms <= limit_ms for at_ms in stream.clears_at_ms):
        return
    silent_ms = max((span.end_ms for span in record.spans()), default=0.0)
    if silent_ms > limit_ms:
        went_on_ms = silent_ms - began_ms
        raise Failed(
            f"silence within {kit.limits.clear_ms} ms",
            f"the agent spoke on for {went_on_ms:.0f} ms",
        )
    raise NotApplicable("the agent's first words were too short to be interrupted")


@must(_PLAYBACK)
async def nothing_stale_follows_a_clear(kit: Kit) -> None:
    """What was about to be said is dropped with what was said."""
    record = await kit.interruption()
    readings.stream_of(record)
    for after_ms, payload in readings.media_after_clear(record):
        if after_ms <= _STALE_MS and not readings.is_silence(payload):
            raise Failed(
                f"silence for {_STALE_MS} ms after clear", f"sound came {after_ms} ms after"
            )


@must(_PLAYBACK)
async def marks_that_a_clear_returns_are_survived(kit: Kit) -> None:
    """They come back at once, unplayed; the call goes on."""
    readings.must_live(await kit.interruption())


def _spoke_at(record: CallRecord) -> int:
    readings.stream_of(record)
    said = [remark.at_ms for remark in record.remarks if remark.kind == "says"]
    gave_up = any(remark.kind == "gives_up" for remark in record.remarks)
    if not said or gave_up:
        raise NotApplicable("the agent does not speak first, or too briefly")
    return said[0]


CHECKS: tuple[Check, ...] = (
    messages_follow_the_schema,
    the_agent_speaks,
    sound_has_no_file_header,
    sound_comes_in_whole_frames,
    sound_is_not_sent_far_ahead,
    speech_has_no_gaps,
    speech_ends_with_a_mark,
    marks_have_names_of_their_own,
    speaking_over_the_agent_silences_it,
    nothing_stale_follows_a_clear,
    marks_that_a_clear_returns_are_survived,
)
