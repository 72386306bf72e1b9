"""What a Telnyx leg does by command beside its stream: what is told of it, and when."""

import asyncio
from typing import Any

import pytest

from service.replay.virtual import VirtualLoop
from service.twin.caller import HangUp, Press, Silence, Step
from tests.twin.telnyx_bridge import TO, Phone, TelnyxBridge, code_of, new_twin

_FROM = "+15550100001"
_FILE = "https://files.example/hold.mp3"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def _listen(phone: Phone) -> None:
    await phone.until_closed()


async def _told(
    *commands: tuple[float, str, dict[str, Any]], steps: tuple[Step, ...]
) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """The events after these commands, each so many seconds into the call: (ms, payload)."""
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    calling = asyncio.create_task(twin.call(TO, _FROM, steps))
    await asyncio.sleep(0.2)
    [record] = twin.records
    for after_s, action, body in commands:
        await asyncio.sleep(after_s - record.now_ms() / 1000)
        assert (await bridge.act(record.call_id, action, **body)).is_success
    await calling
    at_ms = [receipt.at_ms for receipt in record.receipts]
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for at, body in zip(at_ms, bridge.bodies, strict=True):
        event = body["data"]
        found.setdefault(event["event_type"], []).append((at, event["payload"]))
    return found


async def test_a_voice_begins_and_ends_as_long_as_its_words_last() -> None:
    speak = {"payload": "One moment, please.", "voice": "AWS.Polly.Joanna-Neural"}
    told = await _told((1, "speak", speak), steps=(Silence(5000), HangUp()))
    [(began_ms, began)] = told["call.speak.started"]
    [(ended_ms, ended)] = told["call.speak.ended"]
    assert ended["speak_id"] == began["speak_id"]
    assert ended["status"] == "completed"
    assert ended_ms - began_ms == len(speak["payload"]) * 60


async def test_a_file_is_played_as_often_as_asked() -> None:
    play = {"audio_url": _FILE, "loop": 2}
    told = await _told((1, "playback_start", play), steps=(Silence(9000), HangUp()))
    [(began_ms, began)] = told["call.playback.started"]
    [(ended_ms, ended)] = told["call.playback.ended"]
    assert (began["media_url"], began["media_name"], began["overlay"]) == (_FILE, "", False)
    assert (ended["status"], ended_ms - began_ms) == ("completed", 4000)


async def test_endless_music_is_stopped_by_command_or_by_the_end_of_the_call() -> None:
    music = {"media_name": "hold", "loop": "infinity"}
    start, stop = (1.0, "playback_start", music), (4.0, "playback_stop", {"stop": "all"})
    told = await _told(start, stop, steps=(Silence(9000), HangUp()))
    [(ended_ms, ended)] = told["call.playback.ended"]
    assert (ended["status"], ended_ms) == ("cancelled", 4000)
    told = await _told(start, steps=(Silence(2000), HangUp()))
    assert told["call.playback.ended"][0][1]["status"] == "call_hangup"


@pytest.mark.parametrize(
    ("gather", "keys", "status", "digits"),
    [
        ({"maximum_digits": 3}, "1234", "valid", "123"),
        ({}, "12#", "valid", "12"),
        ({"terminating_digit": "*"}, "1#*", "valid", "1#"),
        ({"minimum_digits": 3}, "12#", "invalid", "12"),
        ({"valid_digits": "12"}, "13", "invalid", "13"),
        ({"inter_digit_timeout_millis": 1000}, "12", "valid", "12"),
        ({"minimum_digits": 4, "inter_digit_timeout_millis": 1000}, "12", "timeout", "12"),
        ({"timeout_millis": 2000}, "", "timeout", ""),
        ({"initial_timeout_millis": 500}, "", "timeout", ""),
        ({"timeout_millis": 90_000}, "", "call_hangup", ""),
    ],
)
async def test_keys_are_gathered(
    gather: dict[str, Any], keys: str, status: str, digits: str
) -> None:
    steps = (Silence(1000), *((Press(keys),) if keys else ()), Silence(5000), HangUp())
    told = await _told((0.5, "gather", gather), steps=steps)
    [(_, ended)] = told["call.gather.ended"]
    assert (ended["status"], ended["digits"]) == (status, digits)


async def test_gathering_may_be_given_up_and_may_speak_or_play_first() -> None:
    speak = {"payload": "Your PIN?", "voice": "x", "maximum_digits": 1}
    told = await _told(
        (0.5, "gather_using_speak", speak),
        (3.0, "gather_stop", {}),
        (3.5, "gather_using_audio", {"audio_url": _FILE, "maximum_digits": 1}),
        steps=(Silence(4000), Press("7"), Silence(3000), HangUp()),
    )
    assert [e["status"] for _, e in told["call.gather.ended"]] == ["cancelled", "valid"]
    assert len(told["call.speak.ended"]) == len(told["call.playback.ended"]) == 1


@pytest.mark.parametrize("stopped", [True, False])
async def test_a_recording_is_saved_when_it_is_stopped_or_the_call_ends(stopped: bool) -> None:
    start = (0.5, "record_start", {"format": "wav", "channels": "dual"})
    stop: list[tuple[float, str, dict[str, Any]]] = [(1.0, "record_stop", {})] if stopped else []
    told = await _told(start, *stop, steps=(Silence(4000), HangUp()))
    [(saved_ms, saved)] = told["call.recording.saved"]
    assert saved["recording_urls"]["wav"]
    assert (saved_ms == 2000) is stopped


async def test_what_no_bridge_hears_of_is_accepted_all_the_same() -> None:
    told = await _told(
        (0.5, "suppression_start", {"direction": "inbound"}),
        (0.6, "suppression_stop", {}),
        (0.7, "record_pause", {}),
        (0.8, "record_resume", {}),
        (0.9, "send_sip_info", {"content_type": "text/plain", "body": "x"}),
        steps=(Silence(2000), HangUp()),
    )
    assert set(told) == {
        "call.initiated",
        "call.answered",
        "streaming.started",
        "streaming.stopped",
        "call.hangup",
    }


async def test_a_call_that_rings_does_none_of_it() -> None:
    bridge = TelnyxBridge(_listen)
    bridge.command = ("", {})
    twin = new_twin(bridge)
    calling = asyncio.create_task(twin.call(TO, _FROM, (), patience_ms=2000))
    await asyncio.sleep(0.2)
    [record] = twin.records
    response = await bridge.act(record.call_id, "playback_start", audio_url=_FILE)
    assert code_of(response) == "90034"
    await calling
