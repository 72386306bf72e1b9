"""Turns and barge-in: what happened on the live call in, what to do about it out.

Pure: the time comes with each event. Barge-in cancels data, not tasks: the ledger's generation is
raised, the carrier's queue and ours are cleared, and later sound of the turn is dropped by its id.
"""

from typing import assert_never

from msgspec import Struct

from service.core.calls import CallEnd, EndedBy, Outcome
from service.core.commands import (
    Apologise,
    ClearAudio,
    Command,
    EndCall,
    Hear,
    Interrupt,
    MarkEnd,
    Note,
    PlayAudio,
    SendDigits,
    ShowText,
    StartTurn,
    TellDigit,
)
from service.core.events import (
    DigitsRequested,
    DtmfReceived,
    EndRequested,
    EngineFailed,
    HangUpRequested,
    LiveEvent,
    MarkPlayed,
    MediaReceived,
    SayRequested,
    SpeechStarted,
    SpeechStopped,
    StreamFaulted,
    StreamLost,
    StreamStarted,
    StreamStopped,
    Transcribed,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
    TurnText,
)
from service.core.playout import Playout
from service.core.turns import AgentTurn, CallerTurn

APOLOGY = TurnId("apology")

ENGINE_PATIENCE_MS = 10_000
"""An engine that owes sound and gives none for so long in silence is given up."""

LINE_THERE_MS = 1000
"""Carriers send frames also in silence. An engine that answers frames owes nothing without them."""


class Manners(Struct, frozen=True, kw_only=True):
    """How the agent is to behave on this call."""

    greeting: str = ""
    interruptible: bool = True  # False protects the greeting only
    max_duration_ms: int | None = None


class Dialog:
    """One call's conversation. `handle` takes each event once, in the order it happened."""

    def __init__(self, manners: Manners, playout: Playout, *, resumed: bool = False) -> None:
        self._manners = manners
        self._playout = playout
        self._greeted = resumed
        self._turns: dict[TurnId, AgentTurn] = {}  # not yet heard to their end
        self._caller = CallerTurn()
        self._presses: dict[str, dict[str, int]] = {}  # channel -> digit -> how often
        self._protected: TurnId | None = None
        self._greeting_asked = False
        self._end: CallEnd | None = None  # once everything has been heard
        self._asked = False  # the engine for a turn that it has not begun
        self._last_word_ms = 0  # when it was asked, or last went on with a turn
        self._heard_ms = 0  # when the person's line was last there
        self._failed = False
        self._over = False
        self._ends_ms: int | None = None

    @property
    def media_ms(self) -> int:
        """How much of the person on the line has been heard: media time so far."""
        return self._caller.media_ms

    # What the bridge asks ----------------------------------------------------------------------

    def handle(self, event: LiveEvent, now_ms: int) -> list[Command]:
        """What is to be done about an event."""
        match event:
            case MediaReceived():
                self._caller.media_ms = event.frame.start_ms + event.frame.duration_ms
                self._heard_ms = now_ms
                return [] if self._failed else [Hear(event.frame)]
            case TurnAudio() | TurnStarted() | TurnText() | TurnEnded():
                return self._agent_turn(event, now_ms)
            case MarkPlayed():
                self._playout.mark_returned(event.name, now_ms)
                return self.wake(now_ms)
            case SpeechStarted() | SpeechStopped() | Transcribed():
                return self._caller_turn(event, now_ms)
            case DtmfReceived():
                return self._digit(event, now_ms)
            case StreamStarted():
                return self._start(now_ms)
            case StreamStopped():
                return self.cut(now_ms)
            case StreamLost():
                return self._interrupt([*self._turns.values()], now_ms)
            case StreamFaulted():
                return [Note("fault", {"code": event.code, "detail": event.detail})]
            case EndRequested():
                if not self._failed:
                    self._end = CallEnd(Outcome.COMPLETED, event.cause, "agent")
                return self.wake(now_ms)
            case EngineFailed():
                return self._engine_failed(event)
            case SayRequested():
                return [] if self._failed else [self._ask(event.text, now_ms)]
            case DigitsRequested():
                return [SendDigits(event.digits)]
            case HangUpRequested():
                return self._hang_up(event, now_ms)
            case _ as unknown:
                assert_never(unknown)

    def wake(self, now_ms: int) -> list[Command]:
        """What is to be done because time has passed, or a mark came back."""
        commands = self._give_up() if self._is_stalled(now_ms) else []
        for turn in [*self._turns.values()]:
            if turn.made and self._playout.heard_ms(turn.turn_id, now_ms) >= turn.made_ms:
                commands += self._close(turn, turn.made_ms, now_ms)
        if self._ends_ms is not None and now_ms >= self._ends_ms:
            commands += self._hang_up(HangUpRequested("max_duration", "limit"), now_ms)
        elif self._end is not None and not self._turns:
            commands += self._finish(self._end)
        return commands

    def is_due(self, now_ms: int) -> bool:
        """Whether `wake` has something to do by now though nothing happened."""
        if self._ends_ms is not None and now_ms >= self._ends_ms:
            return True
        if self._is_stalled(now_ms):
            return True
        if not self._turns:
            return self._end is not None and not self._over
        if not any(turn.made for turn in self._turns.values()):
            return False
        return now_ms >= self._playout.settled_ms()

    def cut(self, now_ms: int) -> list[Command]:
        """The line is gone: what was not heard will not be."""
        commands: list[Command] = []
        for turn in [*self._turns.values()]:
            commands += self._close(turn, self._playout.heard_ms(turn.turn_id, now_ms), now_ms)
        self._playout.clear(now_ms)
        return commands

    # The conversation --------------------------------------------------------------------------

    def _start(self, now_ms: int) -> list[Command]:
        if self._ends_ms is None and self._manners.max_duration_ms is not None:
            self._ends_ms = now_ms + self._manners.max_duration_ms
        if self._greeted or not self._manners.greeting:
            return []
        self._greeted = self._greeting_asked = True
        return [self._ask(self._manners.greeting, now_ms)]

    def _ask(self, text: str, now_ms: int) -> StartTurn:
        self._asked = True
        self._last_word_ms = now_ms
        return StartTurn(text)

    def _play(self, event: TurnAudio, now_ms: int) -> list[Command]:
        turn = self._turns.get(event.turn_id)
        if turn is None:
            return []
        if not turn.made_ms:
            turn.first_audio_ms = now_ms
        turn.made_ms += event.frame.duration_ms
        return [PlayAudio(event.frame, event.turn_id)]

    def _agent_turn(
        self, event: TurnStarted | TurnText | TurnAudio | TurnEnded, now_ms: int
    ) -> list[Command]:
        if self._failed and event.turn_id != APOLOGY:
            return []  # an engine that was given up is not listened to any more
        self._last_word_ms = now_ms
        if isinstance(event, TurnStarted):
            return self._open(event.turn_id)
        if isinstance(event, TurnAudio):
            return self._play(event, now_ms)
        turn = self._turns.get(event.turn_id)
        if turn is None:
            return []
        if isinstance(event, TurnText):
            turn.add_text(event.text, event.start_ms)
            return [ShowText("agent", event.turn_id, event.text)]
        turn.made = True
        return [MarkEnd(event.turn_id)] if turn.made_ms else self.wake(now_ms)

    def _open(self, turn_id: TurnId) -> list[Command]:
        self._turns[turn_id] = AgentTurn(turn_id, self._caller.answered_by())
        self._asked = False
        if self._greeting_asked:
            self._greeting_asked = False
            self._protected = None if self._manners.interruptible else turn_id
        return []

    def _caller_turn(
        self, event: SpeechStarted | SpeechStopped | Transcribed, now_ms: int
    ) -> list[Command]:
        match event:
            case SpeechStarted():
                self._caller.begin(event.start_ms, now_ms)
                return self._barge_in(now_ms)
            case SpeechStopped():
                self._caller.stop(event.end_ms, now_ms)
                return []
            case Transcribed():
                if not event.final:
                    return [ShowText("caller", self._caller.turn_id, event.text)]
                note = Note("turn.user", self._caller.spoken(event.text, now_ms))
                return [ShowText("caller", self._caller.turn_id, event.text), note]

    def _barge_in(self, now_ms: int) -> list[Command]:
        self._asked = False  # an engine may drop what it has not begun
        commands = self.wake(now_ms)  # what was heard to its end cannot be cut off
        if self._failed or not self._turns or self._protected in self._turns:
            return commands
        commands += [ClearAudio(), *self._interrupt([*self._turns.values()], now_ms)]
        if self._end is not None and self._end.ended_by == "agent":
            self._end = None  # the goodbye was cut off: the person has more to say
        return commands

    def _interrupt(self, turns: list[AgentTurn], now_ms: int) -> list[Command]:
        """These turns are heard no further: the engine is to remember only what was heard."""
        commands: list[Command] = []
        for turn in turns:
            heard_ms = self._playout.heard_ms(turn.turn_id, now_ms)
            commands.append(Interrupt(turn.turn_id, heard_ms, turn.heard_text(heard_ms)))
            commands += self._close(turn, heard_ms, now_ms)
            commands.append(
                Note("agent.interrupted", {"turn_id": turn.turn_id, "heard_ms": heard_ms})
            )
        self._playout.clear(now_ms)
        return commands

    def _close(self, turn: AgentTurn, heard_ms: int, now_ms: int) -> list[Command]:
        del self._turns[turn.turn_id]
        first_sent_ms = self._playout.first_sent_ms(turn.turn_id)
        return [Note("turn.agent", turn.record(heard_ms, first_sent_ms, now_ms))]

    def _digit(self, event: DtmfReceived, now_ms: int) -> list[Command]:
        """One key press may be told by socket and by webhook: the nth "5" of both is the same."""
        seen = self._presses.setdefault(event.channel, {})
        seen[event.digit] = count = seen.get(event.digit, 0) + 1
        told = (by.get(event.digit, 0) for ch, by in self._presses.items() if ch != event.channel)
        if count <= max(told, default=0):
            return []
        note = Note("dtmf.received", {"digit": event.digit})
        if self._failed:
            return [note]
        owed = self._asked or any(not turn.made_ms for turn in self._turns.values())
        commands = self._barge_in(now_ms)
        self._asked, self._last_word_ms = owed, now_ms  # a key excuses nobody from a first word
        return [note, *commands, TellDigit(event.digit)]

    # The end -----------------------------------------------------------------------------------

    def _is_stalled(self, now_ms: int) -> bool:
        """Whether the engine owes sound, and has let the person wait in silence for too long."""
        if self._failed or now_ms - self._last_word_ms < ENGINE_PATIENCE_MS:
            return False
        if now_ms - self._heard_ms > LINE_THERE_MS:
            return False
        if not self._asked and all(turn.made for turn in self._turns.values()):
            return False
        return now_ms - self._playout.settled_ms() >= ENGINE_PATIENCE_MS

    def _give_up(self) -> list[Command]:
        return self._engine_failed(EngineFailed("engine.stalled", "it said nothing in time"))

    def _engine_failed(self, event: EngineFailed) -> list[Command]:
        commands: list[Command] = [Note("fault", {"code": event.code, "detail": event.detail})]
        self._asked = False
        if not event.fatal or self._failed:
            return commands
        self._failed = True
        self._end = CallEnd(Outcome.OUR_FAULT, "engine_failed", "bridge")
        for turn in self._turns.values():
            turn.made = True  # nothing more will come of it, but what was made is played
        self._turns[APOLOGY] = AgentTurn(APOLOGY, self._caller.answered_by())
        return [*commands, Apologise()]

    def _hang_up(self, event: HangUpRequested, now_ms: int) -> list[Command]:
        ended_by: EndedBy = event.ended_by
        outcome = Outcome.OUR_FAULT if ended_by == "bridge" else Outcome.COMPLETED
        return [*self.cut(now_ms), *self._finish(CallEnd(outcome, event.cause, ended_by))]

    def _finish(self, end: CallEnd) -> list[Command]:
        if self._over:
            return []
        self._over = True
        self._ends_ms = None
        return [EndCall(end)]
