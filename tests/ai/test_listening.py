"""People, noises and the agent's own echo on a line, heard by the whole of two stages."""

import asyncio
import audioop
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.agents.turn_taking import TurnTaking
from service.ai.listening import KEPT_MOST_MS, LEAD_IN_MS, Listener
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, MediaFormat, Party
from service.core.events import SpeechDismissed, SpeechStarted, SpeechStopped, SpeechSuspected
from service.core.turn_taking import BurstEnded, Heard, TurnGoesOn, TurnMayBeOver
from service.media.voice import Judge, Voices
from service.replay.virtual import run
from tests.voices import (
    PEOPLE,
    cough,
    louder,
    noise,
    on_the_line,
    recording,
    silence,
    spoken,
    together,
)

AGENT = "Hello, Acme Dental. We are open from nine to five, and on Saturdays until noon."
Action = Callable[[Listener], None]


class Slowly:
    """A judge whose answers take a while."""

    def __init__(self, judge: Judge, delay_ms: int) -> None:
        self._judge = judge
        self._delay_s = delay_ms / 1000

    def ask(
        self, sound: bytes, audio_format: MediaFormat, answered: Callable[[float], None]
    ) -> bool:
        loop = asyncio.get_running_loop()

        def later(probability: float) -> None:
            loop.call_later(self._delay_s, answered, probability)

        return self._judge.ask(sound, audio_format, later)


class Ear:
    """What a listener told, when, in milliseconds of the call; recognises what it is told to."""

    def __init__(self, judge: Judge | None, *, reads: str | None = None) -> None:
        self.told: list[tuple[int, Heard]] = []
        self.listener = Listener(PCMU_8K, TurnTaking(), self._note, judge=judge)
        self._began_s = asyncio.get_running_loop().time()
        self._reads = reads

    async def hear(self, pcm: bytes, *actions: tuple[int, Action]) -> "Ear":
        """Live, frame by frame; each action at its time."""
        waiting = sorted(actions, key=lambda action: action[0])
        for frame in on_the_line(pcm):
            end_ms = frame.start_ms + frame.duration_ms
            await asyncio.sleep(self._began_s + end_ms / 1000 - asyncio.get_running_loop().time())
            while waiting and waiting[0][0] <= frame.start_ms:
                waiting.pop(0)[1](self.listener)
            self.listener.hear(frame)
        return self

    def _note(self, event: Heard) -> None:
        loop = asyncio.get_running_loop()
        self.told.append((round((loop.time() - self._began_s) * 1000), event))
        if isinstance(event, BurstEnded) and self._reads is not None:
            loop.call_later(0.1, understands(self._reads, final=True), self.listener)

    @property
    def kinds(self) -> list[type[Heard]]:
        return [type(event) for _, event in self.told]


def heard(
    pcm: bytes, *actions: tuple[int, Action], judge_ms: int | None = 0, reads: str | None = None
) -> Ear:
    """`judge_ms` None: without a judge."""

    async def main() -> Ear:
        voices = Voices()
        await voices.open()
        judge = None if judge_ms is None else Slowly(voices, judge_ms)
        ear = await Ear(judge, reads=reads).hear(pcm, *actions)
        await voices.aclose()
        return ear

    return run(main())


def first_loud_ms(pcm: bytes) -> int:
    """From here on anybody would say that somebody speaks: -30 dBFS."""
    blocks = range(0, len(pcm) - 319, 320)
    return next(at for at in blocks if audioop.rms(pcm[at : at + 320], 2) >= 1000) // 16


def understands(text: str, *, final: bool) -> Action:
    """The recogniser's work."""
    return lambda listener: listener.understood(text, final=final)


def agent_speaks(listener: Listener) -> None:
    listener.said(AGENT)
    listener.audible(True)


def agent_is_silent(listener: Listener) -> None:
    listener.audible(False)


# Onset -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dbfs", [-60, -45, -38])
@pytest.mark.parametrize("judge_ms", [0, 30, None])
@pytest.mark.parametrize("text", ["hello", "uh-huh", "stop", "no", "I would like a table"])
def test_seven_people_are_heard_within_a_fifth_of_a_second(
    text: str, judge_ms: int | None, dbfs: float
) -> None:
    for person in PEOPLE:
        voice = spoken(text, person)
        line = together(silence(1200) + voice + silence(200), noise(6000, dbfs))
        at_ms, event = heard(line, judge_ms=judge_ms).told[0]
        assert isinstance(event, SpeechStarted)
        assert event.start_ms >= 1000
        assert at_ms - 1200 - first_loud_ms(voice) <= 200


@pytest.mark.parametrize("name", ["hello", "goodbye", "digits/7", "agent-alreadyon", "sorry"])
@pytest.mark.parametrize("db", [0, -6, -12])
def test_recorded_people_are_heard_as_well(name: str, db: float) -> None:
    voice = louder(recording(name), db)
    line = together(silence(1200) + voice + silence(200), noise(9000, -50))
    at_ms, event = heard(line, judge_ms=30).told[0]
    assert isinstance(event, SpeechStarted)
    assert at_ms - 1200 - first_loud_ms(voice) <= 200


@pytest.mark.parametrize("audible", [False, True])
def test_noises_are_nobody(*, audible: bool) -> None:
    bursts = (noise(ms, dbfs) for ms in (100, 300, 1500) for dbfs in (-30, -20))
    sound = silence(1000) + b"".join(burst + silence(700) for burst in bursts)
    line = together(sound, noise(12_000, -45))
    assert heard(line, (1500, lambda ear: ear.audible(audible))).told == []


def test_few_coughs_stop_anybody_and_none_is_taken_for_an_interruption() -> None:
    coughs = b"".join(cough(300, -20, seed) + silence(1200) for seed in range(20))
    line = together(silence(3000) + coughs, noise(40_000, -45))
    told = heard(line, (0, agent_speaks), reads="")
    assert told.kinds.count(SpeechSuspected) <= 4
    assert told.kinds.count(SpeechDismissed) == told.kinds.count(SpeechSuspected)
    assert SpeechStarted not in told.kinds


# Ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dbfs", [-60, -45, -38])
def test_a_sentence_is_one_turn_in_seven_voices(dbfs: float) -> None:
    for person in PEOPLE:
        voice = spoken("I would like a table for two, tomorrow evening please", person)
        line = together(silence(1000) + voice + silence(1000), noise(9000, dbfs))
        told = heard(line).told
        assert isinstance(told[0][1], SpeechStarted)
        at_ms, stopped = told[-1]
        assert isinstance(stopped, SpeechStopped)
        assert [type(event) for _, event in told].count(SpeechStopped) == 1
        assert 0 <= at_ms - stopped.end_ms - 600 <= 20
        assert abs(1000 + len(voice) // 16 - 330 - stopped.end_ms) <= 150


@pytest.mark.parametrize("judge_ms", [0, None])
def test_digits_with_pauses_are_one_turn_once_the_first_are_understood(
    judge_ms: int | None,
) -> None:
    digits = ["five", "five", "one", "two"]
    sound, actions = silence(1000), list[tuple[int, Action]]()
    for count, digit in enumerate(digits, 1):
        sound += spoken(digit)
        text = "my number is " + " ".join(digits[:count])
        actions.append((len(sound) // 16, understands(text, final=False)))
        sound += silence(800)
    told = heard(together(sound + silence(1000), noise(9000, -50)), *actions, judge_ms=judge_ms)
    assert told.kinds.count(SpeechStarted) == told.kinds.count(SpeechStopped) == 1
    assert told.kinds.count(TurnGoesOn) == len(digits) - 1


def test_a_noisy_street_behind_a_person_does_not_keep_their_turn_open() -> None:
    street = b"".join(noise(60, -40 + 4 * (n * 7 % 6), n) for n in range(80))
    line = silence(1000) + spoken("I would like a table") + street
    told = heard(line)
    assert told.kinds.count(SpeechStopped) == 1
    assert told.told[-1][0] < len(line) // 16 - 3000


# Interruptions ---------------------------------------------------------------------------------


def over_the_agent(text: str, person: str, reads: str) -> Ear:
    line = together(silence(3000) + spoken(text, person) + silence(2000), noise(9000, -50))
    return heard(line, (0, agent_speaks), reads=reads)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("text", ["uh-huh", "okay"])
def test_a_back_channel_is_dismissed_in_time(text: str, person: str) -> None:
    told = over_the_agent(text, person, reads=text)
    assert told.kinds == [SpeechSuspected, BurstEnded, SpeechDismissed]
    (suspected_ms, suspected), _, (dismissed_ms, _) = told.told
    assert suspected_ms - 3000 <= 200
    assert isinstance(suspected, SpeechSuspected)
    assert dismissed_ms - suspected.start_ms <= TurnTaking().decide_ms + 20


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("text", ["stop", "wait", "no"])
def test_a_short_interruption_is_accepted(text: str, person: str) -> None:
    told = over_the_agent(text, person, reads=text)
    assert told.kinds == [SpeechSuspected, BurstEnded, SpeechStarted, TurnMayBeOver, SpeechStopped]


@pytest.mark.parametrize("person", PEOPLE)
def test_a_sentence_interrupts_before_it_is_understood(person: str) -> None:
    told = over_the_agent("excuse me I have another question", person, reads="")
    assert told.kinds[:2] == [SpeechSuspected, SpeechStarted]
    assert told.told[1][0] - 3000 <= TurnTaking().accept_ms + 200


@pytest.mark.parametrize("loss_db", [10, 15, 20, 25])
@pytest.mark.parametrize("delay_ms", [100, 400])
def test_the_agents_echo_is_nobody(loss_db: int, delay_ms: int) -> None:
    for person in PEOPLE[:3]:
        echo = silence(1000 + delay_ms) + louder(spoken(AGENT, person), -loss_db)
        line = together(echo + silence(1000), noise(15_000, -50))
        ends_ms = len(echo) // 16 - delay_ms
        assert heard(line, (1000, agent_speaks), (ends_ms, agent_is_silent)).told == []


@pytest.mark.parametrize(("loss_db", "db"), [(10, 0), (15, -6), (25, -10), (60, -10)])
def test_who_speaks_over_the_echo_is_heard_in_time(loss_db: int, db: float) -> None:
    voice = louder(spoken("wait a moment please", "en-us+m3"), db)
    echo = silence(1200) + louder(spoken(AGENT), -loss_db)
    for begins_ms in (2800, 4100):
        line = together(echo, silence(begins_ms) + voice, noise(15_000, -50))
        told = heard(line, (1000, agent_speaks), judge_ms=30, reads="wait a moment")
        at_ms, event = told.told[0]
        assert isinstance(event, SpeechSuspected)
        assert at_ms - begins_ms - first_loud_ms(voice) <= 200
        assert SpeechStarted in told.kinds
        assert SpeechDismissed not in told.kinds


# The sound -------------------------------------------------------------------------------------


class Everybody:
    """A judge that takes every loud sound for a voice."""

    def ask(
        self, sound: bytes, audio_format: MediaFormat, answered: Callable[[float], None]
    ) -> bool:
        answered(1.0)
        return True


def listener(
    tell: Callable[[Heard], None] = lambda _: None, audio_format: MediaFormat = PCMU_8K
) -> Listener:
    return Listener(audio_format, TurnTaking(), tell, judge=Everybody())


def test_the_first_words_are_kept_from_before_they_were_noticed() -> None:
    ear = listener()
    frames = on_the_line(silence(2000) + noise(500, -20))
    taken: list[AudioFrame] = []
    for frame in frames:
        ear.hear(frame)
        taken += ear.take()
    assert taken == frames[(2000 - LEAD_IN_MS) // 20 :]


def test_there_is_nothing_to_take_while_nobody_speaks() -> None:
    ear = listener()
    for frame in on_the_line(noise(3000, -45)):
        ear.hear(frame)
    assert ear.take() == []


def test_the_last_words_may_be_taken_after_the_end_and_until_the_next_begins() -> None:
    told: list[Heard] = []
    ear = listener(told.append)
    frames = on_the_line(silence(1000) + spoken("hello") + silence(900) + spoken("goodbye"))
    coming = iter(frames)
    while not (told and isinstance(told[-1], SpeechStopped)):
        ear.hear(next(coming))
    ear.hear(next(coming))
    stopped_ms = ear.take()[-1].start_ms
    assert ear.take() == []
    for frame in coming:
        ear.hear(frame)
    assert ear.take()[0].start_ms > stopped_ms


def test_what_nobody_takes_is_bounded() -> None:
    ear = listener()
    for frame in on_the_line(silence(500) + noise(50_000, -20)):
        ear.hear(frame)
    frames = ear.take()
    assert sum(frame.duration_ms for frame in frames) == KEPT_MOST_MS
    assert frames[-1].start_ms == 50_480


@pytest.mark.parametrize("frame_ms", [10, 20, 30, 60, 100])
def test_the_length_of_frames_makes_no_difference(frame_ms: int) -> None:
    sound = silence(900) + spoken("hello") + silence(1200)
    told: list[Heard] = []
    other: list[Heard] = []
    for ear, length_ms in ((listener(told.append), 20), (listener(other.append), frame_ms)):
        for frame in on_the_line(sound, frame_ms=length_ms):
            ear.hear(frame)
    assert told == other
    assert [type(event) for event in told] == [SpeechStarted, TurnMayBeOver, SpeechStopped]


def test_time_that_begins_anew_is_followed() -> None:
    told: list[Heard] = []
    ear = listener(told.append)
    sound = silence(900) + spoken("hello") + silence(1200)
    for start_ms in (50_000, 0):
        for frame in on_the_line(sound, start_ms=start_ms):
            ear.hear(frame)
    starts = [event.start_ms for event in told if isinstance(event, SpeechStarted)]
    assert starts[0] - starts[1] == 50_000
    assert ear.take()[0].start_ms == starts[1] - LEAD_IN_MS


def test_a_listener_may_call_back_while_it_is_told() -> None:
    told: list[Heard] = []

    def note(event: Heard) -> None:
        told.append(event)
        if isinstance(event, BurstEnded):
            ear.understood("stop", final=True)

    ear = listener(note)
    ear.audible(True)
    for frame in on_the_line(silence(2000) + spoken("stop") + silence(900)):
        ear.hear(frame)
    assert [type(event) for event in told] == [
        SpeechSuspected,
        BurstEnded,
        SpeechStarted,
        TurnMayBeOver,
        SpeechStopped,
    ]


def test_words_that_come_late_find_their_sound_still_there() -> None:
    ear = listener()
    ear.audible(True)
    for frame in on_the_line(silence(2000) + spoken("stop") + silence(1200)):
        ear.hear(frame)
    ear.understood("stop", final=True)
    starts = [frame.start_ms for frame in ear.take()]
    assert starts[:30] == [1700 + 20 * n for n in range(30)]
    assert starts == sorted(set(starts))


def test_what_is_being_said_ends_with_the_stream() -> None:
    told: list[Heard] = []
    ear = listener(told.append)
    for frame in on_the_line(silence(1000) + spoken("hello")[: 16 * 300]):
        ear.hear(frame)
    ear.end()
    assert [type(event) for event in told] == [SpeechStarted, SpeechStopped]
    assert ear.take()[-1].start_ms == 1280


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["loud", "quiet"]), st.integers(1, 60)),
        st.sampled_from(["take", "stop", "uh-huh", "audible", "silent"]),
    ),
    max_size=30,
)


def act(ear: Listener, step: object, frames: list[AudioFrame], taken: list[AudioFrame]) -> None:
    match step:
        case (str(kind), int(count)):
            data = noise(20, -20) if kind == "loud" else silence(20)
            for _ in range(count):
                frames.append(AudioFrame(data, PCM16_8K, len(frames) * 20, 20, Party.REMOTE))
                ear.hear(frames[-1])
        case "take":
            taken += ear.take()
        case "audible" | "silent":
            ear.audible(step == "audible")
        case _:
            ear.understood(str(step), final=True)


@given(STEPS)
def test_no_frame_of_an_utterance_is_lost_or_taken_twice(steps: Sequence[object]) -> None:
    frames: list[AudioFrame] = []
    taken: list[AudioFrame] = []
    spans: list[tuple[int, int]] = []
    starts: list[int] = []

    def note(event: Heard) -> None:
        if isinstance(event, SpeechStarted):
            starts.append(event.start_ms)
        elif isinstance(event, SpeechStopped):
            spans.append((starts[-1], event.end_ms))
            taken.extend(ear.take())

    ear = listener(note, PCM16_8K)
    for step in steps:
        act(ear, step, frames, taken)
    ear.end()
    at = [frame.start_ms for frame in taken]
    assert at == sorted(set(at))
    for start_ms, end_ms in spans:
        assert {*range(max(0, start_ms), end_ms, 20)} <= {*at}
