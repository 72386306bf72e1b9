"""The caller's sound on its way to the server, and its words on their way back."""

from typing import Any

from service.ai.openai.caller import COMMIT_LEAST_MS, KEPT_MOST_MS, Caller
from service.core.audio import PCMU_8K
from tests.voices import on_the_line, silence


class Line:
    """What was sent."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.sent: list[Any] = []
        self.caller = Caller(PCMU_8K, PCMU_8K, self.sent.append, keeps=keeps)

    def say(self, ms: int) -> None:
        self.caller.say(on_the_line(silence(ms)))

    def kinds(self) -> list[str]:
        names = ["sound" if isinstance(o, str) else o["type"].split(".")[-1] for o in self.sent]
        self.sent.clear()
        return names


def test_sound_is_sent_in_pieces_of_60_ms_and_the_rest_before_a_commit() -> None:
    line = Line()
    line.say(40)
    assert line.kinds() == []
    for _ in range(3):
        line.say(20)
    assert line.kinds() == ["sound"]
    line.caller.commit()
    assert line.kinds() == ["sound", "commit"]


def test_nothing_said_is_not_committed_and_little_is_made_long_enough() -> None:
    line = Line()
    line.caller.commit()
    assert line.kinds() == []
    line.say(60)
    line.caller.commit()
    assert line.kinds() == ["sound", "sound", "commit"]
    assert len(line.caller.turn[0].sound) == 8 * COMMIT_LEAST_MS


def test_a_turn_may_have_several_utterances() -> None:
    line = Line()
    for name in ("one", "two"):
        line.say(200)
        line.caller.commit()
        line.caller.committed(name)
    assert not line.caller.understood_all
    line.caller.understanding("one", "when are ")
    line.caller.understood("two", "you open")
    assert line.caller.words == "when are you open"
    assert not line.caller.understood_all
    line.caller.understood("one", "when are")
    assert line.caller.understood_all
    assert [u.text for u in line.caller.close()] == ["when are", "you open"]
    assert line.caller.words == ""


def test_what_is_dismissed_is_cleared_and_in_the_end_forgotten() -> None:
    line = Line()
    line.say(200)
    line.caller.commit()
    line.say(200)
    line.kinds()
    line.caller.dismiss()
    assert line.kinds() == ["clear"]
    line.caller.committed("one")
    line.caller.understood("one", "uh-huh")
    line.caller.forget_doubtful()
    assert line.kinds() == ["delete"]


def test_what_is_forgotten_before_it_has_a_name_is_deleted_when_it_gets_one() -> None:
    line = Line()
    line.say(200)
    line.caller.commit()
    line.caller.dismiss()
    line.caller.forget_doubtful()
    line.kinds()
    line.caller.committed("one")
    assert line.kinds() == ["delete"]


def test_what_was_dismissed_may_be_taken_back() -> None:
    line = Line()
    line.say(200)
    line.caller.commit()
    line.caller.dismiss()
    assert line.caller.turn == []
    line.caller.take_back()
    assert len(line.caller.turn) == 1


def test_a_new_session_hears_what_the_old_one_has_not_told_in_words() -> None:
    line = Line()
    for name in ("one", "two"):
        line.say(200)
        line.caller.commit()
        line.caller.committed(name)
    line.caller.understood("one", "when are")
    line.say(120)
    line.kinds()
    line.sent += line.caller.resume([])
    assert line.kinds() == ["create", "sound", "commit", "sound"]
    line.caller.committed("three")
    line.caller.understood("three", "you open")
    assert line.caller.words == "when are you open"


def test_a_new_session_is_told_of_turns_that_are_over_first() -> None:
    line = Line()
    line.say(200)
    line.caller.commit()
    line.caller.committed("one")
    earlier = line.caller.close()
    line.say(200)
    line.caller.commit()
    line.caller.committed("two")
    line.caller.understood("two", "you open")
    line.kinds()
    line.sent += line.caller.resume(earlier)
    assert line.kinds() == ["sound", "commit", "create"]
    line.caller.dismiss()
    line.caller.forget_doubtful()
    assert line.sent[-1]["item_id"].startswith("said_")


def test_sound_kept_for_a_new_session_is_bounded() -> None:
    line = Line()
    for _ in range(KEPT_MOST_MS // 1000 + 5):
        line.say(1000)
    line.caller.commit()
    assert len(line.caller.turn[0].sound) == 8 * KEPT_MOST_MS


def test_what_the_server_is_to_cut_waits_while_there_is_no_session() -> None:
    line = Line(keeps=False)
    line.caller.holds = True
    line.say(500)
    assert line.kinds() == []
    line.caller.holds = False
    line.say(20)
    assert line.kinds() == ["sound"]
    assert line.caller.streamed_ms == 520
    line.caller.committed("one")
    assert len(line.caller.turn) == 1


def test_texts_that_will_not_come_are_given_up() -> None:
    line = Line()
    line.say(200)
    line.caller.commit()
    line.caller.committed("one")
    line.caller.understanding("one", "when a")
    turn = line.caller.close()
    line.caller.give_up()
    assert [u.text for u in turn] == ["when a"]
    assert line.caller.understood("one", "late") is None
