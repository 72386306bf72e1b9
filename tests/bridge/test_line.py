"""One socket: the order of what goes out, formats, peers that neither read nor send."""

import asyncio
from typing import Any

import pytest

from service.bridge.line import CLOSE_TIMEOUT_S, MEDIA_SILENCE_MS, WRITE_TIMEOUT_MS, Line
from service.bridge.pacer import Pacer
from service.clock import Clock
from service.core.audio import PCMA_8K, PCMU_8K, AudioFrame, Party
from service.core.commands import ClearAudio, PlaceMark, PlayAudio, ShowText
from service.core.errors import ProtocolError
from service.core.events import MediaEvent, MediaReceived, StreamStopped, TurnId
from service.core.playout import Playout
from tests.bridge.fakes import FakeCarrier
from tests.bridge.scene import heard, on_virtual_time, started

TURN = TurnId("t1")


def sound(byte: int) -> PlayAudio:
    return PlayAudio(AudioFrame(bytes([byte]) * 160, PCMU_8K, 0, 20, Party.AGENT), TURN)


class Socket:
    """A line with its far end, carried."""

    def __init__(self, *, lead_ms: int = 200, **formats: Any) -> None:
        self.carrier = FakeCarrier()
        self.clock = Clock()
        self.pacer = Pacer(Playout(), lead_ms)
        self.taken: list[MediaEvent] = []
        self.complaints: list[ProtocolError] = []
        formats = {"hears": PCMU_8K, "speaks": PCMU_8K} | formats
        self.line = Line(
            self.carrier,
            self.carrier,
            started(formats.pop("line", PCMU_8K)),
            pacer=self.pacer,
            clock=self.clock,
            **formats,
        )
        carrying = self.line.carry(self.taken.append, self.complaints.append)
        self.carrying = asyncio.create_task(carrying)


@on_virtual_time
async def test_messages_go_out_in_the_order_in_which_they_were_asked_for() -> None:
    socket = Socket(lead_ms=10_000)
    socket.carrier.reads.clear()
    for byte in (1, 2, 3):
        socket.pacer.play(sound(byte))
    socket.line.hurry()
    await asyncio.sleep(0.1)  # the first message is on its way and waits
    socket.line.post(ShowText("agent", TURN, "Hello."), socket.clock.now_ms())
    socket.line.hurry()
    socket.carrier.tell(heard(0))  # the listening task may send as well
    await asyncio.sleep(0.1)
    socket.carrier.reads.set()
    await asyncio.sleep(0.1)
    assert socket.carrier.sent == [
        *(sound(1), ShowText("agent", TURN, "Hello.")),
        *(sound(2), sound(3)),
    ]


@on_virtual_time
async def test_a_clear_overtakes_the_sound_that_waits_behind_a_slow_peer() -> None:
    socket = Socket(lead_ms=10_000)
    socket.carrier.reads.clear()
    for byte in (1, 2, 3):
        socket.pacer.play(sound(byte))
    socket.line.hurry()
    await asyncio.sleep(0.1)
    socket.pacer.clear()
    socket.line.post(ClearAudio(), socket.clock.now_ms())
    socket.carrier.reads.set()
    await asyncio.sleep(0.1)
    assert socket.carrier.sent == [sound(1), ClearAudio()]


@on_virtual_time
async def test_sound_is_converted_only_where_the_formats_differ() -> None:
    same, other = Socket(), Socket(line=PCMA_8K)
    silence = heard(0)
    for socket in (same, other):
        socket.pacer.play(sound(0xFF))
        socket.line.hurry()
        socket.carrier.tell(silence)
    await asyncio.sleep(0.1)
    assert same.taken == [silence]
    assert same.taken[0] is silence
    assert same.carrier.sound() == [b"\xff" * 160]
    assert other.carrier.sound() == [b"\xd5" * 160]
    [told] = other.taken
    assert isinstance(told, MediaReceived)
    assert told.frame.format == PCMU_8K


@on_virtual_time
async def test_what_breaks_the_rules_is_complained_of_and_the_line_goes_on() -> None:
    socket = Socket()
    socket.carrier.babble()
    socket.carrier.tell(heard(0))
    await asyncio.sleep(0.1)
    assert [error.code for error in socket.complaints] == ["fake.garbage"]
    assert socket.taken == [heard(0)]


@pytest.mark.parametrize("gone", ["stop", "vanish"])
def test_it_is_carried_until_the_stream_stops_or_the_socket_goes(gone: str) -> None:
    @on_virtual_time
    async def played() -> None:
        socket = Socket()
        if gone == "stop":
            socket.carrier.tell(StreamStopped("stop"), heard(0))
        else:
            socket.carrier.vanish()
        await socket.carrying
        assert socket.taken == ([StreamStopped("stop")] if gone == "stop" else [])

    played()


@on_virtual_time
async def test_a_peer_that_does_not_read_is_dead_after_a_while() -> None:
    socket = Socket()
    socket.carrier.reads.clear()
    socket.pacer.play(sound(1))
    socket.line.hurry()
    await asyncio.sleep(0.1)
    since_ms = socket.clock.now_ms()
    assert not socket.line.is_dead(since_ms + WRITE_TIMEOUT_MS - 200)
    assert socket.line.is_dead(since_ms + WRITE_TIMEOUT_MS + 1)
    socket.carrier.reads.set()
    await asyncio.sleep(0.1)
    assert not socket.line.is_dead(since_ms + WRITE_TIMEOUT_MS + 1)


@on_virtual_time
async def test_a_peer_that_sends_nothing_is_dead_after_a_while() -> None:
    socket = Socket()
    assert not socket.line.is_dead(MEDIA_SILENCE_MS)
    assert socket.line.is_dead(MEDIA_SILENCE_MS + 1)
    await asyncio.sleep(10)
    socket.carrier.babble()
    socket.carrier.tell(heard(0))
    await asyncio.sleep(0.1)
    assert not socket.line.is_dead(MEDIA_SILENCE_MS + 10_000)
    socket.line.abandon()
    await asyncio.wait_for(socket.carrying, 1)


@on_virtual_time
async def test_a_peer_that_does_not_answer_the_close_is_not_waited_for() -> None:
    socket = Socket()
    socket.carrier.answers_close = False
    began_ms = socket.clock.now_ms()
    await socket.line.close()
    assert socket.clock.now_ms() - began_ms <= CLOSE_TIMEOUT_S * 1000
    assert socket.carrier.closed_with == 1000


@on_virtual_time
async def test_nothing_is_sent_and_nothing_taken_once_it_is_closed() -> None:
    socket = Socket()
    closing = asyncio.create_task(socket.line.close())
    await asyncio.sleep(0)
    socket.pacer.play(sound(1))
    socket.line.hurry()
    socket.carrier.tell(heard(0))
    await closing
    await asyncio.sleep(1)
    assert (socket.taken, socket.carrier.sent) == ([], [])


@on_virtual_time
async def test_a_mark_follows_the_sound_that_it_proves() -> None:
    socket = Socket(lead_ms=10_000)
    for byte in range(26):
        socket.pacer.play(sound(byte))
    socket.line.hurry()
    await asyncio.sleep(0.1)
    kinds = [type(command) for command in socket.carrier.sent]
    assert kinds == [PlayAudio] * 25 + [PlaceMark, PlayAudio]
