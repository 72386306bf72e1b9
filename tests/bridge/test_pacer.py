import asyncio

import pytest

from service.bridge.pacer import MARK_EVERY_MS, MAX_MESSAGE_MS, Pacer, Ticker
from service.core.audio import PCMU_8K, AudioFrame, Encoding, MediaFormat, Party
from service.core.commands import MarkEnd, PlaceMark, PlayAudio
from service.core.events import TurnId
from service.core.playout import Playout
from service.replay import virtual

TURN = TurnId("t1")


def sound(ms: int, first_byte: int = 0) -> PlayAudio:
    data = bytes((first_byte + at) % 256 for at in range(8 * ms))
    return PlayAudio(AudioFrame(data, PCMU_8K, 0, ms, Party.AGENT), TURN)


def sent_at(pacer: Pacer, now_ms: int) -> list[PlayAudio | PlaceMark]:
    out = []
    while due := pacer.next(now_ms):
        out += due
    return out


def length_ms(commands: list[PlayAudio | PlaceMark]) -> int:
    return sum(c.frame.duration_ms for c in commands if isinstance(c, PlayAudio))


def test_sound_goes_out_at_once_up_to_the_lead_and_then_at_the_speed_of_speech() -> None:
    pacer = Pacer(Playout(), lead_ms=200)
    for _ in range(100):
        pacer.play(sound(20))
    assert length_ms(sent_at(pacer, 0)) == 200
    assert length_ms(sent_at(pacer, 20)) == 20
    for now_ms in range(40, 1020, 20):
        assert length_ms(sent_at(pacer, now_ms)) == 20


def test_long_sound_is_cut_into_messages_without_losing_a_byte() -> None:
    pacer = Pacer(Playout(), lead_ms=100_000)
    whole = sound(1010)
    pacer.play(whole)
    parts = [c.frame for c in sent_at(pacer, 0) if isinstance(c, PlayAudio)]
    assert b"".join(part.data for part in parts) == whole.frame.data
    assert max(part.duration_ms for part in parts) <= MAX_MESSAGE_MS
    assert parts[-1].start_ms + parts[-1].duration_ms == 1010


def test_marks_are_set_every_half_second_and_at_a_turns_end() -> None:
    pacer = Pacer(Playout(), lead_ms=100_000)
    for _ in range(60):
        pacer.play(sound(20))
    pacer.mark_end(MarkEnd(TURN))
    out = sent_at(pacer, 0)
    places = [at for at, command in enumerate(out) if isinstance(command, PlaceMark)]
    per_mark = MARK_EVERY_MS // 20
    assert places == [per_mark, 2 * per_mark + 1, len(out) - 1]


def audio(commands: list[PlayAudio | PlaceMark]) -> bytes:
    return b"".join(c.frame.data for c in commands if isinstance(c, PlayAudio))


@pytest.mark.parametrize("paused_ms", [1, 19, 20, 137, 250, 480])
def test_sound_goes_on_after_a_pause_at_the_sample_where_it_stopped(paused_ms: int) -> None:
    playout = Playout()
    pacer = Pacer(playout, lead_ms=200)
    whole = sound(1010)
    pacer.play(whole)
    pacer.mark_end(MarkEnd(TURN))
    before = [command for now in range(0, paused_ms, 20) for command in sent_at(pacer, now)]
    pacer.pause(paused_ms)
    assert not pacer.waits()
    assert sent_at(pacer, paused_ms + 500) == []
    pacer.resume()
    after = [c for now in range(paused_ms + 500, 3000, 20) for c in sent_at(pacer, now)]
    heard = audio(before)[: 8 * paused_ms]
    assert heard + audio(after) == whole.frame.data
    assert playout.heard_ms(TURN, 3000) == 1010
    assert isinstance(after[-1], PlaceMark)


def test_a_mark_set_before_a_pause_is_set_again_after_it() -> None:
    playout = Playout()
    pacer = Pacer(playout, lead_ms=500)
    pacer.play(sound(300))
    pacer.mark_end(MarkEnd(TURN))
    assert isinstance(sent_at(pacer, 0)[-1], PlaceMark)
    pacer.pause(100)
    pacer.resume()
    again = sent_at(pacer, 400)
    assert length_ms(again) == 200
    assert [type(command) for command in again].count(PlaceMark) == 1


def test_a_format_that_cannot_be_cut_is_heard_again_from_its_frames_begin() -> None:
    pcm = AudioFrame(bytes(960), MediaFormat(Encoding.L16, 8000), 0, 60, Party.AGENT)
    pacer = Pacer(Playout(), lead_ms=500)
    pacer.play(PlayAudio(pcm, TURN))
    sent_at(pacer, 0)
    pacer.pause(25)
    pacer.resume()
    assert audio(sent_at(pacer, 100)) == pcm.data


def test_a_clear_ends_a_pause() -> None:
    pacer = Pacer(Playout(), lead_ms=200)
    pacer.play(sound(500))
    sent_at(pacer, 0)
    pacer.pause(50)
    pacer.clear()
    pacer.play(sound(100))
    assert length_ms(sent_at(pacer, 60)) == 100


def test_a_cleared_pacer_sends_nothing_more() -> None:
    pacer = Pacer(Playout(), lead_ms=200)
    pacer.play(sound(500))
    sent_at(pacer, 0)
    pacer.clear()
    assert sent_at(pacer, 1000) == []
    assert not pacer.waits()


class Listener:
    def __init__(self) -> None:
        self.told: list[int] = []

    def tick(self, now_ms: int) -> None:
        self.told.append(now_ms)


def test_one_ticker_tells_every_listener_on_an_absolute_schedule() -> None:
    first, second = Listener(), Listener()

    async def main() -> None:
        ticker = Ticker(lambda lag: None)
        ticker.add(first)
        ticking = asyncio.create_task(ticker.run())
        await asyncio.sleep(1.001)
        ticker.add(second)
        ticker.remove(first)
        await asyncio.sleep(1)
        ticking.cancel()

    virtual.run(main())
    assert len(first.told) == len(second.told) == 50
    assert first.told[:3] == [20, 40, 60]


def test_an_idle_ticker_tells_its_lag_as_often_and_a_listener_on_the_same_schedule() -> None:
    lags: list[float] = []
    late = Listener()

    async def main() -> int:
        ticker = Ticker(lags.append)
        ticking = asyncio.create_task(ticker.run())
        await asyncio.sleep(1.001)
        idle = len(lags)
        await asyncio.sleep(0.05)
        ticker.add(late)
        await asyncio.sleep(0.1)
        ticking.cancel()
        return idle

    assert virtual.run(main()) == 50
    assert late.told == [1060, 1080, 1100, 1120, 1140]
    assert len(lags) == 57


def test_keys_to_the_line_do_not_wait_behind_speech() -> None:
    pacer = Pacer(Playout(), lead_ms=100_000)
    pacer.play(sound(20, first_byte=1))
    pacer.play_first([sound(20, first_byte=2), sound(20, first_byte=3)])
    first = [c.frame.data[0] for c in sent_at(pacer, 0) if isinstance(c, PlayAudio)]
    assert first == [2, 3, 1]
