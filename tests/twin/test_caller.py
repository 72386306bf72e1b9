"""The scripted person: when they speak, wait, interrupt and leave."""

from service.twin.caller import (
    Act,
    Caller,
    Disturb,
    Frame,
    HangUp,
    InterruptAfter,
    Key,
    Press,
    Remark,
    Say,
    Silence,
    Step,
    WaitForAgent,
    WaitForAgentStart,
)
from tests.twin.sounds import tone

_QUIET = b"\xff" * 160
_LOUD = tone(20)


def _ticks(steps: list[Step], heard: list[bytes]) -> list[list[Act]]:
    caller = Caller(steps)
    return [caller.tick(sound) for sound in heard]


def _spoke(ticks: list[list[Act]]) -> list[int]:
    return [
        at
        for at, acts in enumerate(ticks)
        if any(isinstance(act, Frame) and act.pcmu != _QUIET for act in acts)
    ]


def test_every_tick_has_exactly_one_frame_of_20_ms() -> None:
    steps: list[Step] = [Say(b"x" * 170), Silence(40), Press("1"), Disturb(drop_every=2)]
    for acts in _ticks(steps, [_QUIET] * 30):
        assert [len(act.pcmu) for act in acts if isinstance(act, Frame)] == [160]


def test_speech_that_ends_inside_a_frame_is_padded_with_silence() -> None:
    ticks = _ticks([Say(b"x" * 170)], [_QUIET] * 3)
    assert ticks[1] == [Frame(b"x" * 10 + b"\xff" * 150)]
    assert ticks[2] == [Frame(_QUIET)]


def test_waits_until_the_agent_has_spoken_and_been_quiet() -> None:
    heard = [_QUIET] * 50 + [_LOUD] * 10 + [_QUIET] * 5 + [_LOUD] * 10 + [_QUIET] * 30
    ticks = _ticks([WaitForAgent(quiet_ms=400), Say(b"x" * 160)], heard)
    assert _spoke(ticks) == [75 + 19]


def test_gives_up_on_an_agent_that_never_speaks_and_goes_on() -> None:
    ticks = _ticks([WaitForAgent(timeout_ms=200), Say(b"x" * 160)], [_QUIET] * 20)
    assert _spoke(ticks) == [10]
    assert Remark("gives_up", "waited 200 ms for the agent") in ticks[10]


def test_interrupts_after_the_agent_has_spoken_for_a_while() -> None:
    heard = [_QUIET] * 10 + [_LOUD] * 50
    assert _spoke(_ticks([InterruptAfter(300, b"x" * 160)], heard)) == [10 + 14]


def test_speaks_as_soon_as_the_agent_does() -> None:
    heard = [_QUIET] * 10 + [_LOUD] * 5
    assert _spoke(_ticks([WaitForAgentStart(), Say(b"x" * 160)], heard)) == [10]


def test_presses_keys_one_after_the_other() -> None:
    ticks = _ticks([Press("4#", gap_ms=100)], [_QUIET] * 12)
    keys = [
        (at, act.digit) for at, acts in enumerate(ticks) for act in acts if isinstance(act, Key)
    ]
    assert keys == [(0, "4"), (5, "#")]


def test_hangs_up_once_and_only_after_the_steps_before() -> None:
    ticks = _ticks([Silence(60), HangUp()], [_QUIET] * 10)
    assert [at for at, acts in enumerate(ticks) if HangUp() in acts] == [3]
