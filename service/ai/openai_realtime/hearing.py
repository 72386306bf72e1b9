"""The caller's half of a conversation: whose turn it is, what they say, and what it says in words.

An ear decides, ours or the server's; here its decisions become utterances on the server's side and
events on ours. When the first sign of an end comes the utterance is made at once, so that the
answer is ready when the end is certain.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from service.ai.base import Brief, Emit
from service.ai.listening import Listener
from service.ai.openai import orders
from service.ai.openai.caller import Caller, Utterance
from service.ai.openai.errors import RECOGNITION_S
from service.ai.openai.events import (
    Committed,
    Understanding,
    Understood,
    VoiceBegan,
    VoiceEnded,
)
from service.ai.openai.orders import Order
from service.ai.openai.session import format_for
from service.ai.openai.watch import Watch
from service.ai.openai_realtime.ear import TheirEar
from service.ai.openai_realtime.memory import Memory, seed_id
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

CallerEvent = Committed | Understanding | Understood | VoiceBegan | VoiceEnded


class Answerer(Protocol):
    """Who answers."""

    def yield_floor(self) -> None:
        """The caller speaks: what has not begun is not said."""

    def prepare(self) -> None:
        """The caller's turn may be over: make the answer, unheard."""

    def throw_away(self) -> None:
        """It is not over: what was prepared is void."""

    def answer(self) -> None:
        """It is over."""


class Past(Struct):
    """A turn of the caller's that is over, and of which not all text may be there."""

    key: str
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
    """One call's caller."""

    def __init__(
        self,
        brief: Brief,
        emit: Emit,
        send: Callable[[Order | str], None],
        *,
        answerer: Answerer,
        memory: Memory,
        judge: Judge | None,
    ) -> None:
        self._emit = emit
        self._send = send
        self._answerer = answerer
        self._memory = memory
        self._ours = brief.agent.realtime.turn_detection == "ours"
        manners = brief.agent.turn_taking
        self._ear: Listener | TheirEar = (
            Listener(brief.hears, manners, self._heard, judge=judge)
            if self._ours
            else TheirEar(manners, self._heard)
        )
        self._caller = Caller(brief.hears, format_for(brief.hears), send, keeps=self._ours)
        self._watch = Watch(self._give_up)
        self._past: deque[Past] = deque()  # turns whose text is still to come
        self._all_told = asyncio.Event()
        self._all_told.set()
        self._prepared = False  # all that was said is an utterance
        self._suspected_ms: int | None = None  # where what may be speech began
        self._dismissed_ms: int | None = None  # where what was dismissed last began
        self._media_ms = 0
        self._turns = 0
        self.speaking = False
        self.audible = False

    # From the bridge ---------------------------------------------------------------------------

    def hear(self, frame: AudioFrame) -> None:
        """The next of the caller's sound."""
        self._media_ms = frame.start_ms + frame.duration_ms
        self._ear.hear(frame)
        if not self._prepared:
            self._caller.say(self._ear.take())

    def tell_audible(self, audible: bool) -> None:
        """Whether the caller hears the agent now."""
        self.audible = audible
        self._ear.audible(audible)

    def said(self, text: str) -> None:
        """The agent says this."""
        self._ear.said(text)

    def pressed(self, text: str) -> None:
        """The caller said something with the keys."""
        self._turns += 1
        key = f"keys_{self._turns}"
        self._memory.said("caller", key, text)
        self._send(orders.caller_said(text, seed_id(key)))
        if not self.speaking:
            self._answerer.answer()

    async def hear_out(self) -> None:
        """Until all that was heard to the last has been told."""
        if self.speaking and not self._ours:
            self._caller.commit()
        self._ear.end()
        await self._all_told.wait()

    def close(self) -> None:
        """Leave no timer behind."""
        self._watch.close()

    # From the ear ------------------------------------------------------------------------------

    def _heard(self, event: Heard) -> None:
        match event:
            case SpeechSuspected(start_ms):
                self._suspected_ms = start_ms
                self._caller.forget_doubtful()
                self._emit(event)
            case SpeechStarted(start_ms):
                self._start(start_ms)
                self._emit(event)
            case SpeechDismissed():
                self._dismiss()
                self._emit(event)
            case BurstEnded():
                self._commit()
            case TurnMayBeOver():
                self._commit()
                if self._caller.turn:
                    self._answerer.prepare()
            case TurnGoesOn():
                self._prepared = False
                self._answerer.throw_away()
            case SpeechStopped():
                self._stop(event)

    def _start(self, start_ms: int) -> None:
        self.speaking = True
        self._suspected_ms = None
        if start_ms == self._dismissed_ms:
            self._caller.take_back()
        else:
            self._caller.forget_doubtful()
        self._dismissed_ms = None
        self._answerer.yield_floor()

    def _dismiss(self) -> None:
        self._dismissed_ms, self._suspected_ms = self._suspected_ms, None
        self._leave_the_rest()
        self._caller.dismiss()

    def _commit(self) -> None:
        """Make an utterance of what was said, once: what follows is silence until it goes on."""
        if self._ours and not self._prepared:
            self._caller.say(self._ear.take())
            self._caller.commit()
            self._prepared = True

    def _stop(self, event: SpeechStopped) -> None:
        self._commit()
        self._leave_the_rest()
        self.speaking = False
        self._emit(event)
        turn = self._caller.close()
        self._close(turn, event.end_ms)
        if turn:
            self._answerer.answer()

    def _leave_the_rest(self) -> None:
        self._prepared = False
        if self._ours:
            self._ear.take()

    # In words ----------------------------------------------------------------------------------

    def take(self, event: CallerEvent) -> None:
        """What the server makes of it."""
        match event:
            case Committed(item_id):
                self._caller.committed(item_id)
                if isinstance(self._ear, TheirEar):
                    self._ear.committed()
            case Understanding(item_id, text):
                self._understood(self._caller.understanding(item_id, text))
            case Understood(item_id, text):
                self._understood(self._caller.understood(item_id, text))
            case VoiceBegan() | VoiceEnded():
                self._voice(event)

    def refused(self) -> None:
        """The server made nothing of an utterance."""
        self._understood(self._caller.refused())

    def _voice(self, event: VoiceBegan | VoiceEnded) -> None:
        if not isinstance(self._ear, TheirEar):
            return
        begin_ms = self._media_ms - self._caller.streamed_ms
        if isinstance(event, VoiceBegan):
            self._ear.voice_began(max(0, begin_ms + event.start_ms))
        else:
            self._ear.voice_ended(max(0, begin_ms + event.end_ms))

    def _understood(self, utterance: Utterance | None) -> None:
        if utterance is None:
            return
        if self._caller.is_open(utterance):
            self._ear.understood(self._caller.words, final=self._caller.understood_all)
        self._tell_past()

    def _close(self, turn: list[Utterance], end_ms: int) -> None:
        self._turns += 1
        past = Past(f"caller_{self._turns}", turn, end_ms)
        self._memory.said("caller", past.key, "")  # its place: the text may come after the answer
        self._past.append(past)
        self._all_told.clear()
        self._watch.expect("recognition", RECOGNITION_S)
        self._tell_past()

    def _tell_past(self) -> None:
        while self._past and self._past[0].known:
            past = self._past.popleft()
            self._memory.said("caller", past.key, past.text)
            self._emit(Transcribed(past.text, end_ms=past.end_ms))
        if not self._past:
            self._watch.rest()
            self._all_told.set()

    def _give_up(self, stage: str) -> None:
        """The model has heard it all the same: only its text is missing."""
        self._caller.give_up()
        self._emit(EngineFailed("openai.stalled", stage, fatal=False))
        self._tell_past()

    # A new session -----------------------------------------------------------------------------

    def lose(self) -> None:
        """There is no session for now; what the server was hearing it will not end."""
        self._caller.holds = True
        if isinstance(self._ear, TheirEar):
            self._ear.end()

    def seeds(self) -> list[Order | str]:
        """What a new session must be told to be where the old one was."""
        return [*self._caller.resume(u for past in self._past for u in past.utterances)]

    def resume(self) -> None:
        """There is one again."""
        self._caller.holds = False
