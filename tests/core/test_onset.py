"""When loudness makes an onset likely, and how the agent's echo is told from somebody else."""

import pytest

from service.core.onset import EchoFloor, Onset

FLOOR = 110.0
LEAST = 275.0


def heard(levels: list[int]) -> Onset:
    onset = Onset()
    for level in levels:
        onset.hear(level, LEAST)
    return onset


def test_an_onset_is_proposed_after_80_ms_of_sound() -> None:
    assert not heard([0, 900, 2000, 2500]).proposed
    onset = heard([0, 900, 2000, 2500, 2400])
    assert onset.proposed
    assert onset.blocks == 4
    assert heard([900, 2000, 100, 2500, 2400]).proposed


def test_a_click_proposes_nothing() -> None:
    assert not heard([9000, 9000, 9000, 10, 10]).proposed


def test_what_was_proposed_stands_while_its_sound_is_recent() -> None:
    assert heard([900, 2000, 2500, 2400, 10]).standing
    assert not heard([900, 2000, 2500, 2400, 10, 10]).standing


def test_loudness_alone_takes_120_ms_that_move() -> None:
    assert not heard([900, 2000, 900, 2000, 900]).plain
    assert heard([900, 2000, 900, 2000, 900, 2000]).plain
    assert not heard([700] * 10).plain
    assert heard([1600] * 6).plain


def test_an_onset_is_dated_back_no_further_than_the_window() -> None:
    assert heard([2000] * 30).blocks == 10


def test_the_window_runs_empty_in_silence_and_in_a_gap() -> None:
    onset = heard([2000] * 6)
    assert [onset.hear(0, LEAST) for _ in range(10)] == [True] * 9 + [False]
    onset = heard([2000] * 6)
    onset.skip(100_000)
    assert onset.blocks == 0


def test_while_the_agent_is_silent_there_is_no_echo() -> None:
    echo = EchoFloor(on=True)
    assert echo.level == 0
    assert echo.least(FLOOR) == LEAST
    assert EchoFloor(on=False).least(FLOOR) == LEAST


def test_without_a_guard_no_echo_is_expected() -> None:
    echo = EchoFloor(on=False)
    echo.audible(True)
    assert echo.level == 0
    assert not echo.unknown


def test_until_it_is_known_an_echo_is_assumed() -> None:
    echo = EchoFloor(on=True)
    echo.audible(True)
    assert echo.unknown
    assert echo.least(FLOOR) == pytest.approx(1820)


def hear_agent(echo: EchoFloor, level: int, blocks: int) -> None:
    echo.audible(True)
    for _ in range(blocks):
        echo.hear(level)


@pytest.mark.parametrize("level", [120, 700, 1500])
def test_the_echo_is_known_after_the_agent_was_heard_for_a_while(level: int) -> None:
    echo = EchoFloor(on=True)
    hear_agent(echo, level, 61)
    assert not echo.unknown
    assert echo.level == level
    hear_agent(echo, 130, 300)
    assert echo.level == 130


def test_a_louder_echo_is_learnt_at_once() -> None:
    echo = EchoFloor(on=True)
    echo.audible(True)
    echo.learn(3000)
    assert echo.level == 3000
    echo.learn(32_000)  # a person, rather: they must still be heard
    assert echo.level == 4000


def test_the_echo_outlasts_the_agents_voice_by_the_way_to_the_person_and_back() -> None:
    echo = EchoFloor(on=True)
    hear_agent(echo, 900, 70)
    echo.audible(False)
    levels = []
    for _ in range(16):
        levels.append(echo.level)
        echo.hear(0)
    assert levels == [900] * 15 + [0]
    echo.audible(True)
    assert echo.level == 900
