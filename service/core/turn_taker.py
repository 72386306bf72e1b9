"""Whose turn is it? Decides from loudness, a judge of voices, and what was understood.

Loudness proposes, the judge confirms, words settle what is left. While the agent is silent all
speech is a turn; while it is heard, speech is suspected first: a cough, an "uh-huh" or the agent's
own echo is dismissed. Time is media time, one block of 20 ms after the other; no clock is read.
"""

from collections.abc import Sequence
from typing import Final

from service.core.asking import NO_VOICE, SOUND_MOST_MS, VOICE, Asking
from service.core.events import SpeechDismissed, SpeechStarted, SpeechStopped, SpeechSuspected
from service.core.onset import BLOCK_MS, EchoFloor, Onset
from service.core.speech import Speech
from service.core.turn_taking import (
    BurstEnded,
    Heard,
    TurnGoesOn,
    TurnMayBeOver,
    TurnTaking,
    VoiceAsked,
)
from service.core.wording import Backchannels, OwnWords, words_of

Told = Heard | VoiceAsked

MAY_BE_OVER_MS: Final = 220
"""Silence that is the first sign of a turn's end: a plosive or a breath is shorter."""
BURST_OVER_MS: Final = 200
TURN_MOST_MS: Final = 60_000
LATE_MOST_MS: Final = 3000
"""How long after its dismissal a burst may still turn out to be words."""
ANSWER_REACH_MS: Final = 800
"""An "uh-huh" so shortly before the agent fell silent was an answer: the agent's last words take
their time to the person, and the news of it back.
"""
_RESUMES_MS: Final = 300  # an agent that does not speak on so soon had finished anyway
_QUIET_FIRST_MS: Final = 1000
_ECHO_WORDS: Final = 2  # of a final text: one word alone is said by many
_ECHO_WORDS_SO_FAR: Final = 3


class TurnTaker:
    """Follows one person. Each method gives what is to be told, in order."""

    def __init__(self, manners: TurnTaking) -> None:
        self._manners = manners
        self._backchannels = Backchannels(manners.backchannels)
        self._own = OwnWords()
        self._onset = Onset()
        self._echo = EchoFloor(on=manners.echo_guard)
        self._asking = Asking()
        self._audible = False
        self._speech: Speech | None = None
        self._dismissed: Speech | None = None
        self._dismissed_ms = 0
        self._quiet_first = False  # what was dismissed must end before another onset
        self._idle = True  # no sound stands, nothing is open
        self._now_ms = 0

    # What comes in -----------------------------------------------------------------------------

    def block(self, end_ms: int, level: int, floor: float) -> Sequence[Told]:
        """20 ms of sound up to `end_ms`, so loud; `floor` is the line's own noise."""
        if end_ms <= self._now_ms:
            self._begin_time_anew(end_ms)
        self._now_ms = end_ms
        if self._speech is not None:
            return self._while_speaking(self._speech, level, floor)
        least = self._echo.least(floor)
        if self._echo.level and level < least:
            self._echo.hear(level)
        if not self._onset.hear(level, least) and self._idle:
            return ()
        return self._while_quiet()

    def missing(self, blocks: int) -> None:
        """So many blocks are missing before the next: what was not heard was not loud."""
        self._onset.skip(blocks)

    def judged(self, number: int, probability: float | None) -> Sequence[Told]:
        """The answer to a VoiceAsked: how probably it was a voice; None: there is no judge."""
        if not self._asking.answered(number):
            return ()
        if probability is None:
            self._asking.alone = True
        if self._speech is not None:
            return self._judged_speech(self._speech, probability)
        if probability is None:
            return self._begin() if self._onset.plain else ()
        if self._asking.proves_voice(probability) and self._onset.standing:
            return self._begin()
        self._asking.again(self._now_ms)
        return ()

    def audible(self, audible: bool) -> Sequence[Told]:
        """Whether the person hears the agent now."""
        fell_silent = self._audible and not audible
        self._audible = audible
        self._echo.audible(audible)
        past = self._dismissed
        if past is None:
            return ()
        past.due_ms = None
        soon = self._now_ms - self._dismissed_ms <= ANSWER_REACH_MS
        return self._take_back(past) if fell_silent and soon and past.text else ()

    def said(self, text: str) -> None:
        """The agent is saying this."""
        self._own.add(text)

    def understood(self, text: str, *, final: bool) -> Sequence[Told]:
        """What the recogniser makes of the speech so far; "" and final: nothing."""
        speech = self._speech
        if speech is None:
            return self._understood_late(text)
        speech.understood(text, self._now_ms)
        return self._settle(speech, text, final=final) if speech.suspected else self._weigh(speech)

    def end(self) -> Sequence[Told]:
        """No more sound comes: what is being said ends here."""
        speech, self._speech, self._dismissed = self._speech, None, None
        self._settle_down()
        if speech is None:
            return ()
        return [SpeechDismissed() if speech.suspected else SpeechStopped(speech.voiced_end_ms)]

    # While nobody speaks -----------------------------------------------------------------------

    def _while_quiet(self) -> Sequence[Told]:
        asking, onset, now_ms = self._asking, self._onset, self._now_ms
        if self._dismissed is not None and (told := self._reconsider(self._dismissed)):
            return told
        self._idle = not onset.blocks and self._dismissed is None
        if not onset.blocks:
            asking.afresh()
            self._quiet_first = False
        if self._quiet_first and now_ms - self._dismissed_ms < _QUIET_FIRST_MS:
            return ()
        asking.give_up_if_late(now_ms)
        if asking.alone:
            return self._begin() if onset.plain else ()
        worth_it = onset.proposed or (asking.half_sure and onset.standing)
        return asking.ask(now_ms, onset.blocks * BLOCK_MS) if worth_it else ()

    def _begin(self) -> list[Told]:
        start_ms = self._now_ms - self._onset.blocks * BLOCK_MS
        self._settle_down()
        self._dismissed = None
        self._speech = Speech.begun(start_ms, self._now_ms, suspected=self._audible)
        return [SpeechSuspected(start_ms) if self._audible else SpeechStarted(start_ms)]

    def _settle_down(self) -> None:
        self._onset.forget()
        self._asking.afresh()
        self._idle = False

    # While somebody speaks, perhaps ------------------------------------------------------------

    def _while_speaking(self, speech: Speech, level: int, floor: float) -> Sequence[Told]:
        if self._echo.level:
            self._echo.hear(0)
        told: list[Told] = []
        self._asking.give_up_if_late(self._now_ms)
        if speech.hear(level, max(speech.least(floor), self._echo.level), self._now_ms):
            told += self._sounds(speech, level)
        return told + self._weigh(speech)

    def _sounds(self, speech: Speech, level: int) -> Sequence[Told]:
        now_ms = self._now_ms
        if speech.trusted:
            speech.voice(level, now_ms)
            return self._asking.ask(now_ms, SOUND_MOST_MS) if speech.check_due(now_ms) else ()
        if self._asking.alone:
            return self._go_on(speech) if speech.plain else ()
        return self._asking.ask(now_ms, speech.resumed_ms) if speech.proposed else ()

    def _judged_speech(self, speech: Speech, probability: float | None) -> Sequence[Told]:
        if probability is None:
            return ()
        if speech.trusted and probability < NO_VOICE:
            speech.trusted = False
            self._asking.afresh()
        elif not speech.trusted and probability >= VOICE:
            return self._go_on(speech)
        self._asking.again(self._now_ms)
        return ()

    def _go_on(self, speech: Speech) -> list[Told]:
        self._asking.afresh()
        return [TurnGoesOn()] if speech.resume(self._now_ms) else []

    # How it ends -------------------------------------------------------------------------------

    def _weigh(self, speech: Speech) -> list[Told]:
        """What the silence since the last voice, or the length of the speech, makes certain."""
        if speech.suspected:
            return self._weigh_burst(speech)
        told: list[Told] = []
        silence_ms = self._now_ms - speech.voiced_end_ms
        if silence_ms >= MAY_BE_OVER_MS and not speech.signed:
            told.append(TurnMayBeOver(speech.voiced_end_ms))
            self._sign(speech)
        over = silence_ms >= self._patience_ms(speech) and not self._asking.first
        if over or self._now_ms - speech.start_ms >= TURN_MOST_MS:
            told.append(SpeechStopped(speech.voiced_end_ms))
            self._speech = None
            self._settle_down()
        return told

    def _weigh_burst(self, speech: Speech) -> list[Told]:
        now_ms, told = self._now_ms, list[Told]()
        if speech.trusted and speech.length_ms >= self._manners.accept_ms:
            return self._accept(speech)
        if now_ms - speech.voiced_end_ms >= BURST_OVER_MS and not speech.signed:
            if not speech.trusted:  # in the end the judge heard no voice in it
                return self._dismiss(speech)
            told.append(BurstEnded(speech.voiced_end_ms))
            self._sign(speech)
        if now_ms - speech.start_ms >= self._manners.decide_ms:
            told += self._dismiss(speech, undecided=True)
        return told

    def _sign(self, speech: Speech) -> None:
        speech.sign()
        self._asking.afresh()

    def _patience_ms(self, speech: Speech) -> int:
        manners = self._manners
        if speech.patient:
            return manners.patient_ms
        return manners.quick_ms if speech.complete else manners.end_of_turn_ms

    # Whether it was one ------------------------------------------------------------------------

    def _settle(self, speech: Speech, text: str, *, final: bool) -> Sequence[Told]:
        if self._is_echo(text, final=final):
            self._echo.learn(speech.peak)
            return self._dismiss(speech)
        if self._is_own(text) and not final:
            return ()
        harmless = self._backchannels.are_all_of if final else self._backchannels.may_become
        if words_of(text) and not harmless(text):
            return self._accept(speech)
        return self._dismiss(speech, undecided=True) if final and speech.signed else ()

    def _accept(self, speech: Speech) -> list[Told]:
        speech.suspected = speech.signed = False
        return [SpeechStarted(speech.start_ms), *self._weigh(speech)]

    def _dismiss(self, speech: Speech, *, undecided: bool = False) -> list[Told]:
        """It was nothing; `undecided`: as far as can be told now."""
        if self._echo.unknown and not speech.text:
            self._echo.learn(speech.peak)
        self._speech = None
        self._dismissed = speech if undecided else None
        self._dismissed_ms = self._now_ms
        finished = undecided and speech.text and not self._audible
        speech.due_ms = self._now_ms + _RESUMES_MS if finished else None
        self._quiet_first = True
        self._settle_down()
        return [SpeechDismissed()]

    def _reconsider(self, past: Speech) -> Sequence[Told]:
        """Whether what was dismissed counts after all, since the agent had finished anyway."""
        if past.due_ms is not None and self._now_ms >= past.due_ms:
            return self._take_back(past)
        if self._now_ms - self._dismissed_ms > LATE_MOST_MS:
            self._dismissed = None
        return ()

    def _understood_late(self, text: str) -> Sequence[Told]:
        past = self._dismissed
        if past is None or not words_of(text) or self._is_echo(text, final=True):
            return ()
        past.understood(text, self._now_ms)
        if self._audible and self._backchannels.are_all_of(text):
            return ()
        return self._take_back(past)

    def _take_back(self, past: Speech) -> Sequence[Told]:
        """What was dismissed was a turn."""
        self._settle_down()
        self._dismissed = None
        self._speech = past
        past.sign()
        past.understood(past.text, self._now_ms)
        return self._accept(past)

    def _is_own(self, text: str) -> bool:
        return self._manners.echo_guard and self._own.contain(text)

    def _is_echo(self, text: str, *, final: bool) -> bool:
        least = _ECHO_WORDS if final else _ECHO_WORDS_SO_FAR
        return len(words_of(text)) >= least and self._is_own(text)

    def _begin_time_anew(self, end_ms: int) -> None:
        """Another stream of the same call: what was under way goes on in its time."""
        by_ms = end_ms - BLOCK_MS - self._now_ms
        for speech in (self._speech, self._dismissed):
            if speech is not None:
                speech.shift(by_ms)
        self._dismissed_ms += by_ms
        self._asking.afresh()
