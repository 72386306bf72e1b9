"""Sound of any length as frames for the line, and what of an answer is forgotten when it is cut."""

import numpy as np

from service.ai.openai.events import ToolAsked
from service.ai.openai.session import PCM_24K
from service.ai.openai_realtime.reply import Cutter, Reply
from service.core.audio import PCMU_8K, MediaFormat
from service.core.events import TurnAudio, TurnEnded, TurnId, TurnStarted
from service.media.g711 import decode_pcmu


def reply(theirs: MediaFormat = PCMU_8K) -> Reply:
    return Reply(TurnId("turn_1"), theirs, PCMU_8K, weight_ms=66)


def test_frames_are_cut_at_once_and_are_20_to_60_ms_long() -> None:
    cutter = Cutter(PCMU_8K, PCMU_8K)
    frames = [f for size in (100, 60, 480, 500, 1300) for f in cutter.push(b"\x55" * size)]
    assert [(f.start_ms, f.duration_ms) for f in frames] == [
        (0, 20),
        (20, 60),
        (80, 60),
        (140, 60),
        (200, 60),
        (260, 40),
    ]
    assert [f.duration_ms for f in cutter.flush()] == [20]
    assert cutter.made_ms == 320


def test_a_sample_cut_in_two_is_put_together_again() -> None:
    tone = b"".join((i % 48 * 600 - 14_000).to_bytes(2, "little", signed=True) for i in range(7200))
    whole, odd = Cutter(PCM_24K, PCMU_8K), Cutter(PCM_24K, PCMU_8K)
    expected = b"".join(f.data for f in [*whole.push(tone), *whole.flush()])
    pieces = [tone[at : at + 1001] for at in range(0, len(tone), 1001)]
    got = b"".join(f.data for piece in pieces for f in odd.push(piece))
    got += b"".join(f.data for f in odd.flush())
    assert len(got) == len(expected) == 2400
    heard, wanted = (np.frombuffer(decode_pcmu(s), "<i2").astype(int) for s in (got, expected))
    assert np.abs(heard - wanted).max() <= 1024  # one step of mu-law, where it is coarsest


def test_half_a_sample_at_the_end_does_no_harm() -> None:
    answer = reply(PCM_24K)
    answer.sound("item_1", bytes(4801))
    ended = answer.finish()
    assert isinstance(ended[-1], TurnEnded)
    assert answer.made_ms in (100, 120)


def test_a_turn_begins_once_with_its_first_token() -> None:
    answer = reply()
    assert answer.words("item_1", "From") == [TurnStarted(TurnId("turn_1"))]
    events = answer.sound("item_1", b"\x55" * 800)
    assert all(isinstance(event, TurnAudio) for event in events)


def test_an_answer_without_sound_is_no_turn() -> None:
    answer = reply()
    answer.add("item_1")
    answer.tools.append(ToolAsked("r", "item_1", "c", "f", "{}"))
    assert answer.finish() == []


def cut(answer: Reply, heard_ms: int) -> list[tuple[str, str, int | None]]:
    answer.cut_ms = heard_ms
    orders: list[dict[str, str | int]] = [dict(o) for o in answer.cut()]  # type: ignore[arg-type]
    return [
        (str(o["type"]).split(".")[-1], str(o["item_id"]), o.get("audio_end_ms"))  # type: ignore[misc]
        for o in orders
    ]


def two_items() -> Reply:
    answer = reply()
    answer.sound("item_1", b"\x55" * 8000)
    answer.complete("item_1")
    answer.sound("item_2", b"\x55" * 8000)
    answer.finish()
    return answer


def test_each_item_is_cut_where_its_own_hearing_ended() -> None:
    assert cut(two_items(), 1300) == [("truncate", "item_2", 300)]
    assert cut(two_items(), 400) == [("truncate", "item_1", 400), ("delete", "item_2", None)]
    assert cut(two_items(), 2000) == []


def test_a_call_that_was_not_run_is_forgotten_and_one_that_was_is_not() -> None:
    answer = two_items()
    answer.add("item_3")
    answer.tools.append(ToolAsked("r", "item_3", "c", "f", "{}"))
    assert ("delete", "item_3", None) in cut(answer, 1300)
    answer.tools_run = True
    assert ("delete", "item_3", None) not in cut(answer, 1300)


def test_what_is_asked_again_begins_anew() -> None:
    answer = two_items().again()
    assert (answer.turn_id, answer.began, answer.made_ms) == ("turn_1", False, 0)
