"""Tests of the recorder: what it writes, when that is a cassette, and when it gives up."""

import asyncio
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from service.cassettes import files
from service.cassettes.cassette import Cassette, CassetteError
from service.cassettes.engine_lane import (
    Telephone,
    decode_engine_event,
    engine_event_lines,
    talk_opened_line,
)
from service.cassettes.lines import (
    close_line,
    message_line,
    open_line,
    reply_line,
    webhook_line,
)
from service.cassettes.recorder import LINGER_MS, SILENT_MS, Recorder, Recording
from service.cassettes.shelf import Policy
from service.clock import Clock
from service.core.audio import PCMU_8K, AudioFrame, Encoding, MediaFormat, Party
from service.core.calls import Call, CallId, CallState, Direction
from service.core.events import TurnAudio, TurnEnded, TurnId
from service.replay import virtual

EPOCH = datetime(2026, 11, 20, 8, tzinfo=UTC)
CALL = Call(
    call_id=CallId("call_01J9ZQ4V5T6W7X8Y9ZABCDEFGH"),
    provider="twilio",
    provider_call_id="CA" + "0123456789abcdef" * 2,
    direction=Direction.INBOUND,
    state=CallState.RINGING,
    to="+14155550123",
    from_="+14155550100",
    agent="receptionist",
    created_at=EPOCH,
    record_cassette=True,
)
ENDED = replace(CALL, state=CallState.ENDED)
WEBHOOK: tuple[Any, ...] = ("POST", "/twilio/voice", {}, b"CallSid=CA1")


class Desk:
    """A recorder on a clock of its own, and what it counted."""

    def __init__(self, folder: Path | None, **bounds: Any) -> None:
        self.results: Counter[str] = Counter()
        clock = Clock(EPOCH)
        self.recorder = Recorder(
            None if folder is None else Policy(folder=folder, redact=False),
            now_ms=clock.now_ms,
            utc=clock.utc,
            count_result=lambda result: self.results.update([result]),
            **bounds,
        )

    def recording(self, call: Call = CALL) -> Recording:
        """The call's, which must be there."""
        found = self.recorder.recording(call)
        assert found is not None
        return found


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _only(folder: Path) -> Cassette:
    (path,) = folder.glob("*.jsonl.zst")
    return files.read(path)


def test_lines_are_in_the_order_of_time_though_the_first_webhook_is_known_last(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        desk = Desk(tmp_path)
        await asyncio.sleep(5)
        came = desk.recorder.stamp()
        await asyncio.sleep(0.04)
        desk.recorder.wrote(CALL, [("call.ringing", Clock(EPOCH).utc(), {})])
        recording = desk.recording()
        recording.put_at(came, webhook_line, *WEBHOOK)
        recording.put(reply_line, 200, b"<Response/>")
        await asyncio.sleep(0.1)
        recording.put(open_line, "/twilio/stream/token")
        recording.put(message_line, "carrier", '{"event":"connected"}')
        recording.put(close_line, "carrier", 1006)
        desk.recorder.wrote(ENDED, [("call.ended", Clock(EPOCH).utc(), {"cause": "hangup"})])
        await desk.recorder.close()
        assert desk.results == {"written": 1}

    virtual.run(story())
    cassette = _only(tmp_path)
    told = [(line.at_ms, line.lane, *line.kinds) for line in cassette.lines]
    assert told == [
        (0, "webhook", "request"),
        (40, "store", "event"),
        (40, "webhook", "response"),
        (140, "stream", "open"),
        (140, "stream", "message"),
        (140, "stream", "close"),
        (140, "store", "event"),
    ]
    header = cassette.header
    assert (header.agent, header.began_at) == ("receptionist", EPOCH.replace(second=5))
    assert not header.redacted


def test_it_is_a_cassette_once_the_call_has_ended_and_its_last_news_have_come(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        desk = Desk(tmp_path)
        writing = asyncio.create_task(desk.recorder.run())
        recording = desk.recording()
        recording.sockets += 1
        recording.put(open_line, "/twilio/stream/token")
        await asyncio.sleep(10)
        (part,) = _names(tmp_path)
        assert part.endswith(".part")
        desk.recorder.wrote(ENDED, [("call.ended", Clock(EPOCH).utc(), {})])
        await asyncio.sleep(10)
        assert _names(tmp_path) == [part], "its socket is still open"
        recording.put(close_line, "carrier", 1000)
        recording.sockets -= 1
        await asyncio.sleep(LINGER_MS / 1000 - 0.5)
        assert _names(tmp_path) == [part]
        desk.recorder.wrote(ENDED, [("recording.saved", Clock(EPOCH).utc(), {})])
        await asyncio.sleep(LINGER_MS / 1000 + 0.5)
        assert _names(tmp_path) == [f"twilio-{CALL.call_id}.jsonl.zst"]
        desk.recorder.wrote(ENDED, [("fault", Clock(EPOCH).utc(), {})])
        assert desk.recorder.idle, "what comes later begins no other cassette"
        writing.cancel()
        await desk.recorder.close()

    virtual.run(story())
    last = _only(tmp_path).lines[-1].event
    assert last is not None
    assert last.type == "recording.saved"


def test_what_a_process_that_dies_leaves_behind_is_refused(tmp_path: Path) -> None:
    left = tmp_path / "left"

    async def story() -> None:
        desk = Desk(tmp_path)
        recording = desk.recording()
        for number in range(5000):
            recording.put(message_line, "carrier", f'{{"event":"connected","number":{number**9}}}')
        writing = asyncio.create_task(desk.recorder.run())
        await asyncio.sleep(3)
        _copy_part(tmp_path, left)  # as it lies there at this moment
        writing.cancel()
        await desk.recorder.close()

    virtual.run(story())
    assert left.stat().st_size > 0
    for name in ("left.part", "left.jsonl.zst"):
        left = left.rename(tmp_path / name)
        with pytest.raises(CassetteError):
            files.read(left)


def _copy_part(folder: Path, to: Path) -> None:
    (part,) = folder.glob("*.part")
    shutil.copy(part, to)


def test_a_disk_that_does_not_keep_up_costs_the_cassette_and_no_memory(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path, most_waiting_bytes=100_000)
        slow = desk.recording()
        slow.put(open_line, "/twilio/stream/token")
        for _ in range(1000):  # while nobody writes
            slow.put(message_line, "carrier", "x" * 200, size_bytes=200)
        assert slow.lost
        assert desk.results == {"given_up": 1}
        await desk.recorder.close()
        assert desk.results == {"given_up": 1}

    virtual.run(story())
    assert [*tmp_path.glob("*.jsonl.zst")] == []


def test_another_call_is_recorded_once_there_is_room_again(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path, most_waiting_bytes=10_000)
        writing = asyncio.create_task(desk.recorder.run())
        slow = desk.recording()
        for _ in range(100):
            slow.put(message_line, "carrier", "x")
        await asyncio.sleep(1)
        other = replace(CALL, call_id=CallId("call_other"))
        desk.recorder.wrote(other, [("call.ringing", Clock(EPOCH).utc(), {})])
        await asyncio.sleep(1)
        writing.cancel()
        await desk.recorder.close()
        assert desk.results == {"given_up": 1, "written": 1}

    virtual.run(story())
    assert [path.name for path in tmp_path.glob("*.zst")] == ["twilio-call_other.jsonl.zst"]


def test_a_folder_that_cannot_be_written_costs_the_cassette_alone(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")

    async def story() -> None:
        desk = Desk(in_the_way / "cassettes")
        desk.recorder.wrote(CALL, [("call.ringing", Clock(EPOCH).utc(), {})])
        await desk.recorder.close()
        assert desk.results == {"given_up": 1}

    virtual.run(story())


def test_each_instance_that_saw_something_of_a_call_writes_a_file_of_its_own(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        for _ in range(2):
            desk = Desk(tmp_path)
            desk.recorder.wrote(CALL, [("call.answered", Clock(EPOCH).utc(), {})])
            await desk.recorder.close()

    virtual.run(story())
    stem = f"twilio-{CALL.call_id}"
    assert _names(tmp_path) == [f"{stem}.2.jsonl.zst", f"{stem}.jsonl.zst"]


def test_a_call_that_goes_on_elsewhere_ends_its_recording_here(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path)
        writing = asyncio.create_task(desk.recorder.run())
        desk.recorder.wrote(CALL, [("call.answered", Clock(EPOCH).utc(), {})])
        await asyncio.sleep(SILENT_MS / 1000 + 1)
        assert desk.results == {"written": 1}
        writing.cancel()
        await desk.recorder.close()

    virtual.run(story())
    assert _only(tmp_path).lines


@pytest.mark.parametrize(
    "call",
    [replace(CALL, record_cassette=False), replace(CALL, provider="browser"), ENDED],
    ids=["not asked for", "no carrier's", "ended"],
)
async def test_other_calls_are_not_recorded(tmp_path: Path, call: Call) -> None:
    assert Desk(tmp_path).recorder.recording(call) is None


async def test_without_a_folder_nothing_is_recorded() -> None:
    assert Desk(None).recorder.recording(CALL) is None


def test_an_outbound_call_tells_the_order_that_began_it(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(tmp_path)
        ordered = replace(
            CALL,
            direction=Direction.OUTBOUND,
            variables={"name": "Ana"},
            overrides={"greeting": "Hello.", "instructions": "Ana is late."},
        )
        desk.recorder.wrote(ordered, [("call.queued", Clock(EPOCH).utc(), {})])
        await desk.recorder.close()

    virtual.run(story())
    assert _only(tmp_path).header.order == {
        "provider": "twilio",
        "to": "+14155550123",
        "from": "+14155550100",
        "agent": "receptionist",
        "variables": {"name": "Ana"},
        "overrides": {"greeting": "Hello."},
    }


def test_what_the_engine_says_in_any_format_is_written_as_the_telephones(tmp_path: Path) -> None:
    wide = MediaFormat(Encoding.PCM16, 16_000)
    turn = TurnId("turn_1")

    async def story() -> None:
        desk = Desk(tmp_path)
        recording = desk.recording()
        telephone = Telephone()
        recording.put(talk_opened_line, "offline", ())
        for at_ms in range(0, 200, 20):
            frame = AudioFrame(bytes(640), wide, at_ms, 20, Party.AGENT)
            recording.put(engine_event_lines, telephone, TurnAudio(turn, frame))
        recording.put(engine_event_lines, telephone, TurnEnded(turn))
        await desk.recorder.close()

    virtual.run(story())
    said = [line.event for line in _only(tmp_path).lines if line.from_ == "engine"]
    events = [decode_engine_event(happening) for happening in said if happening is not None]
    frames = [event.frame for event in events if isinstance(event, TurnAudio)]
    assert {frame.format for frame in frames} == {PCMU_8K}
    assert abs(sum(len(frame.data) for frame in frames) - 1600) <= 40
    assert events[-1] == TurnEnded(turn)
