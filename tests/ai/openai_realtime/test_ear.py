"""The server says when speech begins and ends; what that means while the agent is heard."""

from service.agents import TurnTaking
from service.ai.openai_realtime.ear import TheirEar
from service.core.events import SpeechDismissed, SpeechStarted, SpeechStopped, SpeechSuspected
from service.core.turn_taking import BurstEnded, Heard
from tests.voices import on_the_line, silence


class Line:
    """A caller whose speech the server hears."""

    def __init__(self, *, audible: bool) -> None:
        self.told: list[Heard] = []
        self.ear = TheirEar(TurnTaking(), self.told.append)
        self.ear.audible(audible)
        self._frames = iter(on_the_line(silence(10_000)))

    def hear(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.ear.hear(next(self._frames))

    def burst(self) -> None:
        self.hear(100)
        self.ear.voice_began(100)
        self.hear(300)
        self.ear.voice_ended(400)
        self.ear.committed()


def test_a_silent_agent_is_told_of_turns_at_once() -> None:
    line = Line(audible=False)
    line.burst()
    assert line.told == [SpeechStarted(100), SpeechStopped(400)]
    assert len(line.ear.take()) == 20


def test_an_uh_huh_is_dismissed() -> None:
    line = Line(audible=True)
    line.burst()
    line.ear.understood("uh", final=False)
    line.ear.understood("uh-huh", final=True)
    assert line.told == [SpeechSuspected(100), BurstEnded(400), SpeechDismissed()]


def test_a_word_that_means_something_is_a_turn() -> None:
    line = Line(audible=True)
    line.burst()
    line.ear.understood("stop", final=True)
    assert line.told[2:] == [SpeechStarted(100), SpeechStopped(400)]


def test_long_speech_is_a_turn_whatever_it_says() -> None:
    line = Line(audible=True)
    line.hear(100)
    line.ear.voice_began(100)
    line.hear(600)
    assert line.told == [SpeechSuspected(100), SpeechStarted(100)]
    line.ear.voice_ended(700)
    line.ear.committed()
    assert line.told[-1] == SpeechStopped(700)


def test_a_burst_that_goes_on_is_one_speech() -> None:
    line = Line(audible=True)
    line.burst()
    line.ear.voice_began(500)
    line.hear(300)
    assert line.told[-1] == SpeechStarted(100)


def test_words_that_come_late_count_all_the_same() -> None:
    line = Line(audible=True)
    line.burst()
    line.hear(800)
    assert line.told[-1] == SpeechDismissed()
    line.ear.understood("wait a moment", final=True)
    assert line.told[-2:] == [SpeechStarted(100), SpeechStopped(400)]
    line.ear.understood("wait a moment", final=True)
    assert len(line.told) == 5


def test_nothing_understood_is_nothing() -> None:
    line = Line(audible=True)
    line.burst()
    line.ear.understood("", final=True)
    assert line.told[-1] == SpeechDismissed()


def test_the_end_of_the_call_ends_what_is_being_said() -> None:
    for audible, last in ((True, SpeechDismissed()), (False, SpeechStopped(400))):
        line = Line(audible=audible)
        line.hear(100)
        line.ear.voice_began(100)
        line.hear(300)
        line.ear.end()
        line.ear.end()
        assert line.told[-1] == last
        assert len(line.told) == 2
