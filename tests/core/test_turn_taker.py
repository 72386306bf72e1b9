"""Whose turn it is, by numbers: loudness, a judge's answers and words, in media time."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.agents.turn_taking import TurnTaking
from service.core.events import SpeechDismissed, SpeechStarted, SpeechStopped, SpeechSuspected
from service.core.turn_taker import TURN_MOST_MS, Told, TurnTaker
from service.core.turn_taking import BurstEnded, Heard, TurnGoesOn, TurnMayBeOver, VoiceAsked

FLOOR = 110.0
LOUD = 3000
MANNERS = TurnTaking(
    end_of_turn_ms=700,
    quick_ms=400,
    patient_ms=1500,
    decide_ms=900,
    accept_ms=600,
    backchannels=("uh-huh", "yeah", "ok"),
)


class Line:
    """A line with a person, and a judge that answers after `judge_ms`, or never."""

    def __init__(
        self, manners: TurnTaking = MANNERS, *, judge_ms: int | None = 0, judge: bool = True
    ) -> None:
        self.taker = TurnTaker(manners)
        self.now_ms = 0
        self.told: list[tuple[int, Heard]] = []
        self.asked: list[int] = []
        self._judge_ms = judge_ms
        self._judge = judge
        self._answers: list[tuple[int, int, float]] = []
        self._voice = 0.0
        self.quiet(2000)

    def sound(self, ms: int, *, level: int = LOUD, voice: float = 0.98) -> "Line":
        """So loud, and so much like a voice to the judge."""
        self._voice = voice
        for _ in range(0, ms, 20):
            self.now_ms += 20
            due = [answer for answer in self._answers if answer[0] <= self.now_ms]
            self._answers = [answer for answer in self._answers if answer[0] > self.now_ms]
            for _, number, probability in due:
                self.note(self.taker.judged(number, probability))
            self.note(self.taker.block(self.now_ms, level, FLOOR))
        return self

    def quiet(self, ms: int) -> "Line":
        return self.sound(ms, level=20, voice=0.01)

    def agent(self, *texts: str) -> "Line":
        """The agent begins to speak, long enough for its echo (there is none) to be known."""
        for text in texts:
            self.taker.said(text)
        self.note(self.taker.audible(True))
        return self.quiet(2000)

    def agent_ends(self) -> "Line":
        self.note(self.taker.audible(False))
        return self

    def reads(self, text: str, *, final: bool = False) -> "Line":
        """So it is understood."""
        self.note(self.taker.understood(text, final=final))
        return self

    def note(self, told: Sequence[Told]) -> None:
        for event in told:
            if not isinstance(event, VoiceAsked):
                self.told.append((self.now_ms, event))
                continue
            self.asked.append(self.now_ms)
            if not self._judge:
                self.note(self.taker.judged(event.number, None))
            elif self._judge_ms == 0:
                self.note(self.taker.judged(event.number, self._voice))
            elif self._judge_ms is not None:
                self._answers.append((self.now_ms + self._judge_ms, event.number, self._voice))

    @property
    def kinds(self) -> list[type[Heard]]:
        return [type(event) for _, event in self.told]

    def at(self, kind: type[Heard]) -> int:
        """When it was told first."""
        return next(at_ms for at_ms, event in self.told if isinstance(event, kind))


# Onset -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judge_ms", "within_ms"), [(0, 80), (20, 100), (40, 120), (60, 160), (100, 160), (None, 160)]
)
@pytest.mark.parametrize("audible", [False, True])
def test_an_onset_is_told_in_time_however_slow_the_judge_is(
    judge_ms: int | None, within_ms: int, *, audible: bool
) -> None:
    line = Line(judge_ms=judge_ms)
    if audible:
        line.agent()
    begins_ms = line.now_ms
    line.sound(200)
    [(at_ms, event)] = line.told
    kind = SpeechSuspected if audible else SpeechStarted
    assert event == kind(begins_ms)
    assert at_ms - begins_ms <= within_ms


def test_without_a_judge_loudness_alone_decides() -> None:
    line = Line(judge=False).sound(100)
    assert line.told == []
    line.sound(20)
    assert line.kinds == [SpeechStarted]


def test_without_a_judge_steady_noise_is_still_no_speech() -> None:
    assert Line(judge=False).sound(3000, level=900).told == []


@pytest.mark.parametrize("audible", [False, True])
def test_what_the_judge_takes_for_no_voice_is_no_speech(*, audible: bool) -> None:
    line = Line()
    if audible:
        line.agent()
    assert line.sound(600, voice=0.3).quiet(2000).told == []


def test_the_judge_is_not_asked_about_every_frame() -> None:
    line = Line().quiet(60_000)
    assert line.asked == []
    line.sound(1000).quiet(1000)
    assert len(line.asked) == 1
    line.sound(10_000, voice=0.0)
    assert len(line.asked) < 60


def test_a_word_that_begins_with_a_hiss_is_heard_once_its_vowel_comes() -> None:
    line = Line()
    begins_ms = line.now_ms
    line.sound(120, voice=0.02).sound(40, voice=0.98)
    assert line.told == [(begins_ms + 140, SpeechStarted(begins_ms))]


def test_a_sound_that_is_gone_when_the_answer_comes_was_none() -> None:
    line = Line(judge_ms=60).sound(80).quiet(1000)
    assert line.told == []


# A turn's end ----------------------------------------------------------------------------------


def test_a_turn_ends_after_its_silence_and_is_dated_at_the_last_voice() -> None:
    line = Line().sound(1000)
    ended_ms = line.now_ms
    line.quiet(1000)
    assert line.told[1:] == [
        (ended_ms + 220, TurnMayBeOver(ended_ms)),
        (ended_ms + 700, SpeechStopped(ended_ms)),
    ]


@pytest.mark.parametrize(
    ("text", "silence_ms"),
    [
        ("I want a table.", 400),
        ("yes", 400),
        ("I want a table", 700),
        ("my number is", 1500),
        ("five five", 1500),
        ("well,", 1500),
        ("", 700),
    ],
)
@pytest.mark.parametrize("final", [False, True])
def test_the_words_say_how_much_silence_ends_a_turn(
    text: str, silence_ms: int, *, final: bool
) -> None:
    line = Line().sound(1000)
    ended_ms = line.now_ms
    line.quiet(300).reads(text, final=final).quiet(1500)
    assert line.at(SpeechStopped) - ended_ms == silence_ms


def test_words_that_come_late_end_a_turn_at_once() -> None:
    line = Line().sound(1000).quiet(500)
    assert line.kinds == [SpeechStarted, TurnMayBeOver]
    line.reads("I want a table.")
    assert line.kinds == [SpeechStarted, TurnMayBeOver, SpeechStopped]


def test_complete_words_followed_by_more_speech_make_nobody_quick() -> None:
    line = Line().sound(500).reads("I want a table.").sound(500)
    ended_ms = line.now_ms
    line.quiet(1000)
    assert line.at(SpeechStopped) - ended_ms == 700


def test_speech_after_the_first_sign_goes_on_with_the_turn() -> None:
    line = Line().sound(1000).quiet(400).sound(500)
    ended_ms = line.now_ms
    line.quiet(1000)
    assert line.kinds == [SpeechStarted, TurnMayBeOver, TurnGoesOn, TurnMayBeOver, SpeechStopped]
    assert line.told[-1] == (ended_ms + 700, SpeechStopped(ended_ms))


@pytest.mark.parametrize("judge_ms", [0, 40, None])
def test_speech_at_the_last_moment_still_keeps_the_turn_open(judge_ms: int | None) -> None:
    line = Line(judge_ms=judge_ms).sound(1000).quiet(640).sound(500)
    assert line.kinds == [SpeechStarted, TurnMayBeOver, TurnGoesOn]


def test_a_cough_in_a_pause_keeps_no_turn_open() -> None:
    line = Line().sound(1000)
    ended_ms = line.now_ms
    line.quiet(300).sound(200, voice=0.2).quiet(1000)
    assert line.told[1:] == [
        (ended_ms + 220, TurnMayBeOver(ended_ms)),
        (ended_ms + 700, SpeechStopped(ended_ms)),
    ]


def test_a_noise_that_never_pauses_keeps_no_turn_open_either() -> None:
    line = Line().sound(1000).sound(4000, voice=0.02)
    assert line.kinds == [SpeechStarted, TurnMayBeOver, SpeechStopped]
    assert line.now_ms - line.at(SpeechStopped) > 1000


def test_a_voice_may_last_without_a_pause() -> None:
    assert Line().sound(20_000).kinds == [SpeechStarted]


def test_a_turn_of_a_minute_is_cut_and_the_rest_is_another() -> None:
    line = Line()
    begins_ms = line.now_ms
    line.sound(TURN_MOST_MS + 1000)
    assert line.kinds == [SpeechStarted, SpeechStopped, SpeechStarted]
    assert line.at(SpeechStopped) - begins_ms == TURN_MOST_MS


def test_spelling_is_waited_for_without_any_words() -> None:
    line = Line()
    for pause_ms in (500, 500, 1200, 1200):
        line.sound(300).quiet(pause_ms)
    assert line.kinds.count(SpeechStopped) == 0
    line.quiet(400)
    assert line.kinds.count(SpeechStopped) == 1


def test_what_is_being_said_ends_with_the_stream() -> None:
    line = Line().sound(1000)
    ended_ms = line.now_ms
    line.quiet(100).note(line.taker.end())
    assert line.told[-1][1] == SpeechStopped(ended_ms)
    line.note(line.taker.end())
    assert line.kinds == [SpeechStarted, SpeechStopped]


# Interruptions ---------------------------------------------------------------------------------


def interrupted(ms: int, manners: TurnTaking = MANNERS) -> Line:
    return Line(manners).agent("We are open from nine to five, Monday to Friday.").sound(ms)


def test_a_back_channel_is_dismissed_once_it_is_understood() -> None:
    line = interrupted(300)
    ended_ms = line.now_ms
    line.quiet(260)
    assert line.told[1:] == [(ended_ms + 200, BurstEnded(ended_ms))]
    line.reads("Uh-huh.", final=True)
    assert line.told[2:] == [(ended_ms + 260, SpeechDismissed())]
    assert line.quiet(5000).kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]


def test_a_sound_without_words_is_dismissed() -> None:
    line = interrupted(300).quiet(260).reads("", final=True)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]


@pytest.mark.parametrize("text", ["Stop.", "wait", "no", "what about Sunday?", "yeah but"])
def test_a_short_interruption_is_accepted_once_it_is_understood(text: str) -> None:
    line = interrupted(300).quiet(260).reads(text, final=True).quiet(1500)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechStarted, TurnMayBeOver, SpeechStopped]


def test_a_word_that_is_no_back_channel_is_accepted_while_it_is_spoken() -> None:
    line = interrupted(300).reads("uh").reads("yeah o")
    assert line.kinds == [SpeechSuspected]
    assert line.reads("yeah or").kinds == [SpeechSuspected, SpeechStarted]


def test_long_speech_is_accepted_whatever_it_says() -> None:
    line = interrupted(580).reads("uh-huh yeah ok")
    assert line.kinds == [SpeechSuspected]
    assert line.sound(20).kinds == [SpeechSuspected, SpeechStarted]


def test_what_nobody_understood_in_time_is_dismissed() -> None:
    line = interrupted(300)
    begins_ms = line.now_ms - 300
    line.quiet(3000)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]
    assert line.at(SpeechDismissed) - begins_ms == 900


def test_words_that_come_too_late_are_a_turn_all_the_same() -> None:
    line = interrupted(300)
    begins_ms, ended_ms = line.now_ms - 300, line.now_ms
    line.quiet(1500).reads("stop", final=True)
    assert [event for _, event in line.told[3:]] == [
        SpeechStarted(begins_ms),
        TurnMayBeOver(ended_ms),
        SpeechStopped(ended_ms),
    ]


def test_a_late_back_channel_changes_nothing() -> None:
    line = interrupted(300).quiet(1500).reads("uh-huh", final=True).quiet(1000)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]


def test_words_that_come_much_too_late_are_of_no_use() -> None:
    line = interrupted(300).quiet(5000).reads("stop", final=True)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]


def test_who_speaks_on_after_a_burst_is_still_suspected() -> None:
    line = interrupted(200).quiet(240).sound(140)
    assert line.kinds == [SpeechSuspected, BurstEnded, TurnGoesOn]
    line.reads("uh-huh", final=True)
    assert line.kinds == [SpeechSuspected, BurstEnded, TurnGoesOn]
    assert line.sound(200).kinds[-1] is SpeechStarted


def test_a_cough_that_passed_for_a_voice_is_dismissed_without_words() -> None:
    line = interrupted(100).sound(200, voice=0.03).quiet(400)
    assert line.kinds == [SpeechSuspected, SpeechDismissed]


def test_what_was_dismissed_must_end_before_the_next_suspicion() -> None:
    manners = MANNERS.model_copy(update={"accept_ms": 3000})
    line = interrupted(1200, manners)
    assert line.kinds == [SpeechSuspected, SpeechDismissed]
    line.quiet(400).sound(200)
    assert line.kinds == [SpeechSuspected, SpeechDismissed, SpeechSuspected]


def test_while_the_agent_is_silent_an_uh_huh_is_an_answer() -> None:
    line = Line().sound(300).quiet(300).reads("uh-huh", final=True).quiet(1000)
    assert line.kinds == [SpeechStarted, TurnMayBeOver, SpeechStopped]


def test_an_uh_huh_over_the_agents_last_words_is_an_answer_once_it_falls_silent() -> None:
    line = interrupted(300).quiet(260).reads("yeah", final=True).quiet(400)
    assert line.kinds[-1] is SpeechDismissed
    line.agent_ends().quiet(1000)
    assert line.kinds[3:] == [SpeechStarted, TurnMayBeOver, SpeechStopped]


def test_an_uh_huh_well_before_the_end_is_none() -> None:
    line = interrupted(300).quiet(260).reads("yeah", final=True).quiet(1500).agent_ends()
    assert line.quiet(1000).kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]


def test_an_agent_that_does_not_speak_on_had_finished_and_was_answered() -> None:
    line = interrupted(200).agent_ends().sound(100).quiet(260).reads("yeah", final=True)
    assert line.kinds[-1] is SpeechDismissed
    assert line.quiet(400).kinds[3:] == [SpeechStarted, TurnMayBeOver, SpeechStopped]


def test_an_agent_that_speaks_on_was_not_answered() -> None:
    line = interrupted(200).agent_ends().sound(100).quiet(260).reads("yeah", final=True)
    line.note(line.taker.audible(True))
    assert line.quiet(3000).kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]


def test_a_suspicion_ends_with_the_stream() -> None:
    line = interrupted(300)
    line.note(line.taker.end())
    assert line.kinds == [SpeechSuspected, SpeechDismissed]


# The agent's own voice -------------------------------------------------------------------------


@pytest.mark.parametrize("level", [400, 1000, 1700])
def test_the_agents_echo_is_nobody_from_its_first_word_on(level: int) -> None:
    line = Line()
    line.note(line.taker.audible(True))
    for _ in range(20):
        line.sound(300, level=level).quiet(200)
    assert line.told == []
    assert line.asked == []


def test_who_is_louder_than_the_echo_is_heard() -> None:
    line = Line()
    line.note(line.taker.audible(True))
    line.sound(1500, level=1000).sound(200, level=1700)
    assert line.kinds == [SpeechSuspected]


def test_an_echo_louder_than_assumed_is_learnt_from_the_first_burst_nobody_understood() -> None:
    line = Line()
    line.note(line.taker.audible(True))
    line.sound(300).quiet(1000)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]
    line.sound(300, level=LOUD + 1000).quiet(1000)
    assert len(line.kinds) == 3
    line.sound(300, level=2 * LOUD)
    assert line.kinds[3:] == [SpeechSuspected]


def test_without_a_guard_the_echo_is_taken_for_somebody() -> None:
    line = Line(MANNERS.model_copy(update={"echo_guard": False}))
    line.note(line.taker.audible(True))
    assert line.sound(300, level=1000).kinds == [SpeechSuspected]


def test_the_agents_own_words_are_dismissed_and_its_loudness_is_learnt() -> None:
    line = interrupted(300).quiet(260).reads("open from nine", final=True)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]
    assert line.quiet(500).sound(300).kinds[3:] == []
    assert line.sound(300, level=2 * LOUD).kinds[3:] == [SpeechSuspected]


def test_the_agents_own_words_are_nobodys_while_they_are_still_coming() -> None:
    line = interrupted(300).reads("open").reads("open from")
    assert line.kinds == [SpeechSuspected]
    assert line.reads("open from nine").kinds == [SpeechSuspected, SpeechDismissed]


def test_one_word_of_the_agents_may_be_a_persons() -> None:
    line = interrupted(300).quiet(260).reads("Friday", final=True)
    assert line.kinds[2:3] == [SpeechStarted]


def test_own_words_that_come_late_are_nobodys() -> None:
    line = interrupted(300).quiet(1500).reads("open from nine", final=True)
    assert line.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]


# Time ------------------------------------------------------------------------------------------


def test_a_gap_counts_as_silence() -> None:
    line = Line().sound(60)
    line.taker.missing(200)
    line.now_ms += 4000
    assert line.sound(60).told == []
    line.sound(500)
    line.taker.missing(50)
    line.now_ms += 1000
    assert line.quiet(20).kinds == [SpeechStarted, TurnMayBeOver, SpeechStopped]


def test_time_that_begins_anew_is_followed() -> None:
    line = Line().sound(1000)
    line.now_ms = 0
    line.sound(500).quiet(1000)
    assert line.told[1:] == [(720, TurnMayBeOver(500)), (1200, SpeechStopped(500))]


def test_what_was_dismissed_is_followed_as_well_where_time_begins_anew() -> None:
    line = interrupted(200).agent_ends().sound(100).quiet(260).reads("yeah", final=True)
    line.now_ms = 0
    line.quiet(400)
    assert line.kinds[-1] is SpeechStopped
    assert line.told[-1][0] == 300


# Whatever comes --------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("sound"), st.sampled_from([20, 60, 100, 160, 300, 640, 2000])),
    st.tuples(st.just("noise"), st.sampled_from([20, 60, 100, 160, 300, 640, 2000])),
    st.tuples(st.just("quiet"), st.sampled_from([20, 60, 160, 240, 420, 900, 2000])),
    st.tuples(st.just("final"), st.sampled_from(["", "uh-huh", "stop", "five", "open from nine"])),
    st.tuples(st.just("partial"), st.sampled_from(["u", "yeah", "stop", "my", "open from"])),
    st.tuples(st.just("audible"), st.booleans()),
    st.tuples(st.just("missing"), st.sampled_from([1, 10, 100])),
    st.tuples(st.just("anew"), st.just(0)),
)
NEXT: dict[type[Heard] | None, set[type[Heard]]] = {
    None: {SpeechSuspected, SpeechStarted},
    SpeechSuspected: {BurstEnded, SpeechDismissed, SpeechStarted},
    BurstEnded: {TurnGoesOn, SpeechDismissed, SpeechStarted},
    SpeechDismissed: {SpeechSuspected, SpeechStarted},
    SpeechStarted: {TurnMayBeOver, SpeechStopped},
    TurnMayBeOver: {TurnGoesOn, SpeechStopped},
    SpeechStopped: {SpeechSuspected, SpeechStarted},
}


def act(line: Line, step: tuple[str, object]) -> None:
    match step:
        case ("sound", int(ms)):
            line.sound(ms)
        case ("noise", int(ms)):
            line.sound(ms, voice=0.05)
        case ("quiet", int(ms)):
            line.quiet(ms)
        case ("final" | "partial" as kind, str(text)):
            line.reads(text, final=kind == "final")
        case ("audible", bool(audible)):
            line.note(line.taker.audible(audible))
        case ("missing", int(blocks)):
            line.taker.missing(blocks)
            line.now_ms += blocks * 20
        case _:
            line.now_ms = 0


@given(
    st.lists(STEPS, max_size=40),
    st.sampled_from([0, 20, 60, None]),
    st.booleans(),
)
def test_every_suspicion_is_settled_once_and_every_turn_ends(
    steps: list[tuple[str, object]], judge_ms: int | None, judge: bool
) -> None:
    line = Line(judge_ms=judge_ms, judge=judge)
    line.taker.said("We are open from nine to five.")
    for step in steps:
        act(line, step)
    line.note(line.taker.end())
    suspected = False
    for before, kind in pairwise([None, *line.kinds]):
        if before is TurnGoesOn:
            allowed = NEXT[SpeechSuspected if suspected else SpeechStarted]
        else:
            allowed = NEXT[before]
        assert kind in allowed
        if kind in (SpeechSuspected, SpeechDismissed, SpeechStarted):
            suspected = kind is SpeechSuspected
    assert line.kinds[-1:] in ([], [SpeechDismissed], [SpeechStopped])
