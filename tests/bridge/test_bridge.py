"""A live call from its stream's start to its end, whatever its engine and its carrier do."""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from service.bridge.conversation import LAST_WORDS_S, OPEN_S
from service.core.audio import PCMA_8K, PCMU_8K, AudioFrame, Party
from service.core.commands import ClearAudio, Hear, Interrupt, PlayAudio, StartTurn
from service.core.events import (
    DigitsRequested,
    EndRequested,
    HangUpRequested,
    SpeechStarted,
    SpeechStopped,
    StreamStopped,
    Transcribed,
    TurnAudio,
    TurnId,
    TurnStarted,
)
from tests.bridge.scene import REATTACH_MS, heard, on_virtual_time, scene, started

STOP = StreamStopped("stop")


@on_virtual_time
async def test_the_greeting_is_asked_for_and_heard_and_the_caller_is_heard(tmp_path: Path) -> None:
    async with scene(tmp_path, greeting="Hello.") as here:
        bridge, carrier = await here.live()
        assert here.engine.told == [StartTurn("Hello.")]
        here.engine.say("t1", 100)
        carrier.tell(heard(0), heard(20))
        await asyncio.sleep(1)
        assert len(carrier.sound()) == 5
        assert here.engine.told[1:] == [Hear(heard(0).frame), Hear(heard(20).frame)]
        carrier.tell(STOP)
        end = await here.end(bridge)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
        assert (await here.story(bridge))[-3:] == ["turn.agent", "stream.stopped", "call.ended"]


@on_virtual_time
async def test_barge_in_clears_the_line_and_tells_the_engine_what_was_heard(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        here.engine.say("t1", 4000, text="One two three four five six seven eight.")
        await asyncio.sleep(1)
        here.engine.emit(SpeechStarted(0))
        await asyncio.sleep(0.1)
        sent = len(carrier.sound())
        assert carrier.sent[-1] == ClearAudio()
        [cut] = [told for told in here.engine.told if isinstance(told, Interrupt)]
        assert cut.heard_ms == 500  # as far as the first mark, which is not back
        assert "One two three four five six seven eight.".startswith(cut.heard_text)
        await asyncio.sleep(5)
        assert len(carrier.sound()) == sent
        [turn] = [e.data for e in await here.record(bridge) if e.type == "turn.agent"]
        assert (turn["heard_ms"], turn["interrupted"]) == (cut.heard_ms, True)


@on_virtual_time
async def test_an_engine_that_cannot_be_opened_is_apologised_for_and_hung_up(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, greeting="Hello.") as here:
        here.engine.trouble = RuntimeError("no words of it in the record")
        bridge, carrier = await here.live()
        end = await here.end(bridge)
        assert (end["outcome"], end["cause"]) == ("our_fault", "engine_failed")
        assert sum(len(sound) for sound in carrier.sound()) == 8160
        assert here.api.paths() == ["hang_up"]
        [fault] = [e.data for e in await here.record(bridge) if e.type == "fault"]
        assert fault == {"code": "engine.crashed", "detail": "RuntimeError"}


@on_virtual_time
async def test_an_engine_that_never_opens_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async with scene(tmp_path, greeting="Hello.") as here:
        here.engine.may_open.clear()
        bridge, _ = await here.live()
        end = await here.end(bridge)
        assert (end["outcome"], end["cause"]) == ("our_fault", "engine_failed")
        assert end["duration_ms"] < (OPEN_S + 5) * 1000


@on_virtual_time
async def test_who_hangs_up_while_the_engine_opens_is_not_kept(tmp_path: Path) -> None:
    async with scene(tmp_path, greeting="Hello.") as here:
        here.engine.may_open.clear()
        bridge, carrier = await here.live()
        carrier.tell(STOP)
        end = await here.end(bridge)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
        assert here.clock.now_ms() < 1000
        assert "fault" not in await here.story(bridge)


@on_virtual_time
async def test_who_hangs_up_during_the_greeting_has_heard_a_part_of_it(tmp_path: Path) -> None:
    async with scene(tmp_path, greeting="Hello.") as here:
        bridge, carrier = await here.live()
        here.engine.say("t1", 3000, text="Hello.")
        await asyncio.sleep(1)
        carrier.tell(STOP)
        await here.end(bridge)
        [turn] = [e.data for e in await here.record(bridge) if e.type == "turn.agent"]
        assert turn["interrupted"]
        assert turn["heard_ms"] == 500  # as far as the first mark, which is not back
        assert not here.engine.is_open


@on_virtual_time
async def test_what_an_engine_says_after_the_end_reaches_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        carrier.tell(STOP)
        await here.end(bridge)
        before = await here.record(bridge)
        here.engine.say("late", 200)
        here.engine.emit(Transcribed("too late"))
        here.engine.emit(EndRequested("late"))
        await asyncio.sleep(1)
        assert carrier.sent == []
        assert await here.record(bridge) == before


@on_virtual_time
async def test_what_was_said_just_before_the_stop_is_in_the_record(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        carrier.tell(heard(0), heard(20))
        await asyncio.sleep(0.1)
        here.engine.emit(SpeechStarted(0))
        here.engine.last_words = [
            SpeechStopped(40),
            Transcribed("bye", final=False),
            Transcribed("Goodbye."),
            TurnStarted(TurnId("t1")),
            EndRequested("script_ended"),
        ]
        here.engine.last_words_after_s = 0.3
        carrier.tell(STOP)
        end = await here.end(bridge)
        record = await here.record(bridge)
        assert [e.type for e in record][-3:] == ["turn.user", "stream.stopped", "call.ended"]
        assert [e.at for e in record] == sorted(e.at for e in record)
        [said] = [e.data for e in record if e.type == "turn.user"]
        assert said["text"] == "Goodbye."
        assert end["ended_by"] == "caller"
        assert end["duration_ms"] < 300


@on_virtual_time
async def test_an_engine_that_does_not_come_to_an_end_is_left_after_a_second(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        here.engine.last_words = [Transcribed("too late")]
        here.engine.last_words_after_s = 60
        carrier.tell(STOP)
        await here.end(bridge)
        assert here.clock.now_ms() < 1000 * LAST_WORDS_S + 500
        assert "turn.user" not in await here.story(bridge)


@on_virtual_time
async def test_who_is_hung_up_by_the_api_does_not_wait_for_last_words(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        here.engine.last_words_after_s = 60
        bridge.take(HangUpRequested("requested", "api"))
        end = await here.end(bridge)
        assert (end["outcome"], end["ended_by"]) == ("completed", "api")
        assert here.clock.now_ms() < 500
        assert here.api.paths() == ["hang_up"]
        assert carrier.closed_with == 1000


@on_virtual_time
async def test_a_call_ends_when_it_has_lasted_as_long_as_it_may(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live(max_duration_s=60)
        for at_ms in range(0, 70_000, 20):
            if bridge.is_over:
                break
            carrier.tell(heard(at_ms))
            await asyncio.sleep(0.02)
        end = await here.end(bridge)
        assert (end["cause"], end["ended_by"]) == ("max_duration", "limit")
        assert 60_000 <= end["duration_ms"] <= 60_100


@on_virtual_time
async def test_the_goodbye_is_heard_before_the_agent_hangs_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        here.engine.say("bye", 2000)
        here.engine.emit(EndRequested("script_ended"))
        end = await here.end(bridge)
        assert len(carrier.sound()) == 100
        assert end["ended_by"] == "agent"
        assert end["duration_ms"] >= 2000


@on_virtual_time
async def test_a_second_start_takes_the_first_ones_place_without_a_second_greeting(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, greeting="Hello.") as here:
        bridge, first = await here.live()
        here.engine.say("t1", 3000)
        await asyncio.sleep(1)
        second = here.plug(bridge, started(stream="MZ2"))
        await asyncio.sleep(0.1)
        assert first.closed_with == 1000
        here.engine.say("t2", 100, byte=2)
        await asyncio.sleep(1)
        assert second.sound() == [bytes([2]) * 160] * 5
        assert [told for told in here.engine.told if isinstance(told, StartTurn)] == [
            StartTurn("Hello.")
        ]
        second.tell(STOP)
        await here.end(bridge)
        assert (await here.story(bridge)).count("stream.started") == 1


@on_virtual_time
async def test_media_time_goes_on_where_the_last_socket_ended(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, first = await here.live()
        first.tell(heard(0), heard(20))
        await asyncio.sleep(0.1)
        second = here.plug(bridge, started(stream="MZ2"))
        second.tell(heard(0))
        await asyncio.sleep(0.1)
        starts = [told.frame.start_ms for told in here.engine.told if isinstance(told, Hear)]
        assert starts == [0, 20, 40]


@on_virtual_time
async def test_a_lost_socket_is_waited_for_and_then_the_line_is_hung_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        carrier.vanish()
        end = await here.end(bridge)
        assert (end["outcome"], end["cause"]) == ("carrier_failed", "socket_lost")
        assert here.clock.now_ms() >= REATTACH_MS
        assert here.api.paths() == ["hang_up"]


@on_virtual_time
async def test_a_peer_that_stops_reading_is_left_and_the_call_waits_for_its_next_socket(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        bridge, deaf = await here.live()
        deaf.reads.clear()
        here.engine.say("t1", 20_000)
        for at_ms in range(0, 6000, 20):
            deaf.tell(heard(at_ms))
            await asyncio.sleep(0.02)
        assert not bridge.is_over
        next_one = here.plug(bridge, started(stream="MZ2"))
        here.engine.say("t2", 100, byte=2)
        await asyncio.sleep(1)
        assert next_one.sound() == [bytes([2]) * 160] * 5
        assert len(deaf.sound()) == 0


@on_virtual_time
async def test_a_peer_that_sends_nothing_any_more_has_lost_the_call(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        carrier.tell(heard(0))
        end = await here.end(bridge)
        assert end["cause"] == "socket_lost"
        assert 30_000 <= here.clock.now_ms() <= 30_000 + REATTACH_MS + 500


@on_virtual_time
async def test_frames_are_the_same_objects_where_the_formats_are_equal(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, carrier = await here.live()
        said = AudioFrame(b"\x07" * 160, PCMU_8K, 0, 20, Party.AGENT)
        here.engine.emit(TurnStarted(TurnId("t1")))
        here.engine.emit(TurnAudio(TurnId("t1"), said))
        was_heard = heard(0)
        carrier.tell(was_heard)
        await asyncio.sleep(0.1)
        [played] = [c for c in carrier.sent if isinstance(c, PlayAudio)]
        assert played.frame is said
        [told] = here.engine.told
        assert isinstance(told, Hear)
        assert told.frame is was_heard.frame


@on_virtual_time
async def test_a_second_socket_in_another_format_is_converted_for_the_engine(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        bridge, _ = await here.live()
        second = here.plug(bridge, started(PCMA_8K, stream="MZ2"))
        sound = heard(0, data=b"\xd5" * 160)
        second.tell(replace(sound, frame=replace(sound.frame, format=PCMA_8K)))
        await asyncio.sleep(0.1)
        here.engine.say("t1", 20, byte=0xFF)
        await asyncio.sleep(0.1)
        [told] = [told for told in here.engine.told if isinstance(told, Hear)]
        assert told.frame.format == PCMU_8K
        [played] = [c for c in second.sent if isinstance(c, PlayAudio)]
        assert played.frame.format == PCMA_8K


@on_virtual_time
async def test_keys_to_the_line_that_the_carrier_refuses_are_a_fault_and_no_end(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        here.api.answers["digits/12"] = [422]
        bridge, _ = await here.live()
        bridge.take(DigitsRequested("12"))
        await asyncio.sleep(0.5)
        assert "fault" in await here.story(bridge)
        assert not bridge.is_over


@on_virtual_time
async def test_a_call_that_was_let_go_ends_without_a_word_and_tells_what_was_heard(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        here.engine.say("t1", 3000)
        await asyncio.sleep(1)
        await bridge.release()
        await asyncio.sleep(1)
        assert here.exchange.held_ids() == []
        assert here.api.paths() == []
        assert carrier.closed_with == 1000
        assert (await here.story(bridge))[-1] == "turn.agent"
        call = await here.store.get(bridge.call.call_id)
        assert call is not None
        assert not call.attached


@on_virtual_time
async def test_the_carriers_own_word_on_the_end_is_waited_for(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge = here.open(await here.announced(), tells_end=True)
        carrier = here.plug(bridge)
        await asyncio.sleep(0.1)
        carrier.tell(STOP)
        end = await here.end(bridge)
        assert here.api.paths() == ["hang_up"]  # no word came: the line may still be open
        assert end["duration_ms"] < 200


@on_virtual_time
async def test_a_fault_of_ours_ends_this_call_and_is_said_to_be_ours(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, _ = await here.live()
        bridge.fail()
        end = await here.end(bridge)
        assert (end["outcome"], end["cause"]) == ("our_fault", "bridge_failed")
        assert here.api.paths() == ["hang_up"]
