"""The caller's half of a conversation: whose turn it is, and what they say, in words.

The listener decides; here its decisions become utterances for the recogniser, and events. At the
first sign of an end the words are asked for, and once they are known the answer is prepared, so
that both are there when the end is certain.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from service.ai.base import Brief, Emit
from service.ai.listening import Listener
from service.ai.openai.caller import Utterance
from service.ai.openai.errors import RECOGNITION_S, OpenAIFault
from service.ai.openai.watch import Watch
from service.ai.openai_pipeline.recognition import House, Recogniser
from service.core.audio import AudioFrame
from service.core.events import (
    EngineFailed,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    SpeechSuspected,
    Transcribed,
)
from service.core.turn_taking import BurstEnded, Heard, TurnGoesOn, TurnMayBeOver
from service.media.voice import Judge


class Answerer(Protocol):
    """Who answers."""

    def yield_floor(self) -> None:
        """The caller speaks: what has not begun is not said."""

    def prepare(self, heard: str) -> None:
        """The caller's turn may be over: make the answer to this, unheard."""

    def throw_away(self) -> None:
        """It is not over: what was prepared is void."""

    def heard(self, text: str) -> None:
        """The caller said this."""

    def answer(self, heard: str) -> None:
        """It is over; `heard` is what was said last."""

    def excuse(self) -> None:
        """They said something, and nobody knows what."""

    def fail(self, code: str, detail: str) -> None:
        """The conversation cannot go on."""


class Past(Struct):
    """A turn of the caller's that is over, and of which not all text may be there."""

    utterances: list[Utterance]
    end_ms: int

    @property
    def text(self) -> str:
        """What is known of it."""
        return " ".join(u.words for u in self.utterances if u.words)

    @property
    def known(self) -> bool:
        """All of its text is there."""
        return all(utterance.text is not None for utterance in self.utterances)


class Hearing:
    """One call's caller. `recogniser` makes the one to be used, given who wants to know."""

    def __init__(
        self,
        brief: Brief,
        emit: Emit,
        recogniser: Callable[[House], Recogniser],
        *,
        answerer: Answerer,
        judge: Judge | None,
    ) -> None:
        self._emit = emit
        self._answerer = answerer
        self._recogniser = recogniser(self)
        self._listener = Listener(brief.hears, brief.agent.turn_taking, self._heard, judge=judge)
        self._watch = Watch(self._late)
        self._past: deque[Past] = deque()  # turns whose text is still to come
        self._unanswered: list[str] = []
        self._all_told = asyncio.Event()
        self._all_told.set()
        self._may_be_over = False
        self._is_cut = False  # all that was said is an utterance
        self._suspected_ms: int | None = None  # where what may be speech began
        self._dismissed_ms: int | None = None  # where what was dismissed last began
        self._audible = False
        self.speaking = False

    async def open(self) -> None:
        """Ready to hear; OpenAIFault when it cannot be in time."""
        await self._recogniser.open()

    async def aclose(self) -> None:
        """Leave no timer, no task and no socket behind."""
        self._watch.close()
        await self._recogniser.aclose()

    # From the bridge ---------------------------------------------------------------------------

    def hear(self, frame: AudioFrame) -> None:
        """The next of the caller's sound."""
        self._listener.hear(frame)
        if not self._is_cut:
            self._recogniser.say(self._listener.take())
        if not (self.speaking or self._audible or self._past):
            self._recogniser.rest()

    def tell_audible(self, audible: bool) -> None:
        """Whether the caller hears the agent now."""
        self._audible = audible
        self._listener.audible(audible)

    def said(self, text: str) -> None:
        """The agent says this."""
        self._listener.said(text)

    def pressed(self, text: str) -> None:
        """The caller said something with the keys."""
        self._answerer.heard(text)
        self._unanswered.append(text)
        self._answer()

    async def hear_out(self) -> None:
        """Until all that was heard to the last has been told."""
        self._listener.end()
        await self._all_told.wait()

    # From the listener -------------------------------------------------------------------------

    def _heard(self, event: Heard) -> None:
        match event:
            case SpeechSuspected(start_ms):
                self._suspected_ms = start_ms
                self._recogniser.forget_doubtful()
                self._emit(event)
            case SpeechStarted(start_ms):
                self._start(start_ms)
                self._emit(event)
            case SpeechDismissed():
                self._dismiss()
                self._emit(event)
            case BurstEnded():
                self._cut()
            case TurnMayBeOver():
                self._cut()
                self._may_be_over = True
                self._prepare()
            case TurnGoesOn():
                self._is_cut = self._may_be_over = False
                self._answerer.throw_away()
            case SpeechStopped():
                self._stop(event)

    def _start(self, start_ms: int) -> None:
        self.speaking = True
        self._suspected_ms = None
        if start_ms == self._dismissed_ms:
            self._recogniser.take_back()
        else:
            self._recogniser.forget_doubtful()
        self._dismissed_ms = None
        self._answerer.yield_floor()

    def _dismiss(self) -> None:
        self._dismissed_ms, self._suspected_ms = self._suspected_ms, None
        self._leave_the_rest()
        self._recogniser.dismiss()

    def _cut(self) -> None:
        """Have what was said put into words, once: what follows is silence until it goes on."""
        if not self._is_cut:
            self._recogniser.say(self._listener.take())
            self._recogniser.cut()
            self._is_cut = True

    def _stop(self, event: SpeechStopped) -> None:
        self._cut()
        self._leave_the_rest()
        self.speaking = self._may_be_over = False
        self._emit(event)
        self._past.append(Past(self._recogniser.close(), event.end_ms))
        self._all_told.clear()
        self._watch.expect("recognition", RECOGNITION_S)
        self._tell_past()

    def _leave_the_rest(self) -> None:
        self._is_cut = False
        self._listener.take()

    def _prepare(self) -> None:
        recogniser = self._recogniser
        if self._may_be_over and recogniser.understood_all and recogniser.words and not self._past:
            self._answerer.prepare(recogniser.words)

    # In words ----------------------------------------------------------------------------------

    def understood(self, utterance: Utterance) -> None:
        """More is known of an utterance's text, or all of it."""
        recogniser = self._recogniser
        if recogniser.is_open(utterance):
            self._listener.understood(recogniser.words, final=recogniser.understood_all)
            self._prepare()
        self._tell_past()

    def failed(self, fault: OpenAIFault, *, fatal: bool) -> None:
        """Something cannot be put into words; `fatal`: nothing more can."""
        if fatal:
            self._all_told.set()
            self._answerer.fail(fault.code, fault.detail)
        else:
            self._emit(EngineFailed(fault.code, fault.detail, fatal=False))

    def _tell_past(self) -> None:
        while self._past and self._past[0].known:
            past = self._past.popleft()
            self._emit(Transcribed(past.text, end_ms=past.end_ms))
            self._unanswered.append(past.text)
            if past.text:
                self._answerer.heard(past.text)
        if not self._past:
            self._watch.rest()
            self._all_told.set()
            self._answer()

    def _answer(self) -> None:
        """Once all of it is known, and unless the caller goes on."""
        if self.speaking or self._past or not self._unanswered:
            return
        unanswered, self._unanswered = self._unanswered, []
        if any(unanswered):
            self._answerer.answer(unanswered[-1])
        else:
            self._answerer.excuse()

    def _late(self, stage: str) -> None:
        """No more words come in time: those that are known will do."""
        self._recogniser.give_up()
        fault = OpenAIFault("openai.stalled", stage)
        self.failed(fault, fatal=not any(past.text for past in self._past))
        self._tell_past()
