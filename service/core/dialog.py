"""Turns and barge-in: what happened on the live call in, what to do about it out.

Pure: the time comes with each event. Barge-in cancels data, not tasks: the ledger's generation is
raised, the carrier's queue and ours are cleared, and later sound of the turn is dropped by its id.
What is only suspected to be an interruption pauses the sound until it is accepted or dismissed.
"""

from collections.abc import Iterable
from typing import assert_never

from service.core.audible import Audible
from service.core.commands import (
    Apologise,
    ChangeEngine,
    ClearAudio,
    Command,
    Hear,
    Instruct,
    Interrupt,
    MarkEnd,
    Note,
    PauseAudio,
    PlayAudio,
    PlayFiller,
    ResumeAudio,
    SendDigits,
    ShowText,
    StartTurn,
    TellAudible,
    TellDigit,
)
from service.core.ending import ENGINE_FAILED, IDLE, VOICEMAIL, Ending
from service.core.events import (
    DigitsRequested,
    DtmfReceived,
    EndRequested,
    EngineFailed,
    FillerRequested,
    GreetingKnown,
    HangUpRequested,
    InstructionsGiven,
    LiveEvent,
    MachineDetected,
    MarkPlayed,
    MediaReceived,
    SayRequested,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    SpeechSuspected,
    StreamFaulted,
    StreamLost,
    StreamStarted,
    StreamStopped,
    ToolCalled,
    Transcribed,
    TransferFailed,
    TransferRequested,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
    TurnText,
)
from service.core.keys import KeyPresses
from service.core.manners import Manners
from service.core.patience import Patience
from service.core.playout import Playout
from service.core.turns import AgentTurn, CallerTurn, PastTurn
from service.core.voicemail import Voicemail, VoicemailPolicy

APOLOGY = TurnId("apology")

PAUSE_MOST_MS = 2500
"""A pause that nobody ends: the engine that suspected something has forgotten it."""

REMEMBERED_MOST = 200
"""Turns kept for an engine that has to carry the conversation on."""

INSTRUCTIONS_MOST = 20


class Dialog:
    """One call's conversation. `handle` takes each event once, in the order it happened."""

    def __init__(
        self,
        manners: Manners,
        playout: Playout,
        *,
        resumed: bool = False,
        history: Iterable[PastTurn] = (),
    ) -> None:
        self.history = [*history]  # what was said, as far as it was heard
        self.instructions: list[str] = []  # given while the call goes on
        self._manners = manners
        self._playout = playout
        self._patience = Patience(manners.waits)
        self._voicemail = Voicemail(manners.voicemail)
        self._keys = KeyPresses()
        self._greeted = resumed
        self._turns: dict[TurnId, AgentTurn] = {}  # not yet heard to their end
        self._kept: set[TurnId] = set()  # those of sentences kept ready
        self._kept_count = 0
        self._caller = CallerTurn()
        self._caller_speaks = False
        self._protected: TurnId | None = None
        self._greeting_asked = False
        self._paused_ms: int | None = None
        self._audible = Audible()
        self._fallbacks = manners.fallbacks
        self._idle_prompts = 0
        self._ending = Ending(manners.max_duration_ms)
        self._failed = False

    @property
    def media_ms(self) -> int:
        """How much of the person on the line has been heard: media time so far."""
        return self._caller.media_ms

    # What the bridge asks ----------------------------------------------------------------------

    def handle(self, event: LiveEvent, now_ms: int) -> list[Command]:
        """What is to be done about an event."""
        if isinstance(event, MediaReceived):
            return self._hear(event, now_ms)
        return [*self._decide(event, now_ms), *self._tell_audible(now_ms)]

    def wake(self, now_ms: int) -> list[Command]:
        """What is to be done because time has passed, or a mark came back."""
        return [*self._wake(now_ms), *self._tell_audible(now_ms)]

    def is_due(self, now_ms: int) -> bool:
        """Whether `wake` has something to do by now though nothing happened."""
        if self._ending.is_overdue(now_ms) or self._audible.is_due(now_ms):
            return True
        if self._waited_too_long(now_ms):
            return True
        if not self._turns:
            return self._ending.is_near
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

    # Deciding ----------------------------------------------------------------------------------

    def _hear(self, event: MediaReceived, now_ms: int) -> list[Command]:
        self._caller.media_ms = event.frame.start_ms + event.frame.duration_ms
        self._patience.line_heard(now_ms)
        if self._failed or self._ending.handed_over or self._voicemail.deaf:
            return []
        return [Hear(event.frame)]

    def _decide(self, event: LiveEvent, now_ms: int) -> list[Command]:
        match event:
            case MediaReceived():
                return self._hear(event, now_ms)
            case TurnAudio() | TurnStarted() | TurnText() | TurnEnded():
                return self._agent_turn(event, now_ms)
            case MarkPlayed():
                self._playout.mark_returned(event.name, now_ms)
                return self._wake(now_ms)
            case SpeechSuspected() | SpeechDismissed():
                return self._suspicion(event, now_ms)
            case SpeechStarted() | SpeechStopped() | Transcribed():
                return self._caller_turn(event, now_ms)
            case DtmfReceived():
                return self._digit(event, now_ms)
            case StreamStarted():
                return self._start(now_ms)
            case GreetingKnown():
                return self._greet(event.text, now_ms)
            case StreamStopped():
                return self.cut(now_ms)
            case StreamLost():
                return self._interrupt([*self._turns.values()], now_ms)
            case StreamFaulted():
                return [Note("fault", {"code": event.code, "detail": event.detail})]
            case EndRequested() | TransferRequested() | ToolCalled() | FillerRequested():
                return self._engine_wish(event, now_ms)
            case EngineFailed():
                return self._engine_failed(event, now_ms)
            case SayRequested():
                return [] if self._failed else [self._ask(event.text, now_ms)]
            case DigitsRequested():
                return [SendDigits(event.digits)]
            case InstructionsGiven():
                return self._instruct(event.text)
            case MachineDetected():
                return self._machine(event, now_ms)
            case TransferFailed():
                return self._not_transferred(event, now_ms)
            case HangUpRequested():
                return self._hang_up(event, now_ms)
            case _ as unknown:
                assert_never(unknown)

    def _wake(self, now_ms: int) -> list[Command]:
        commands = self._lose_patience(now_ms)
        for turn in [*self._turns.values()]:
            if turn.made and self._playout.heard_ms(turn.turn_id, now_ms) >= turn.made_ms:
                commands += self._close(turn, turn.made_ms, now_ms)
        if self._ending.is_overdue(now_ms):
            commands += self._hang_up(HangUpRequested("max_duration", "limit"), now_ms)
        elif self._ending.is_near and not self._turns and (self._failed or not self._patience.owed):
            commands += self._ending.last_step()  # nothing is left to be said or heard
        return commands

    # The conversation --------------------------------------------------------------------------

    def _start(self, now_ms: int) -> list[Command]:
        self._ending.started(now_ms)
        return self._greet(self._manners.greeting, now_ms)

    def _greet(self, greeting: str, now_ms: int) -> list[Command]:
        if self._greeted or not greeting:
            self._patience.all_quiet(now_ms)
            return []
        self._greeted = self._greeting_asked = True
        return [self._ask(greeting, now_ms)]

    def _ask(self, text: str, now_ms: int) -> StartTurn:
        self._patience.asked(text, now_ms)
        return StartTurn(text)

    def _agent_turn(
        self, event: TurnStarted | TurnText | TurnAudio | TurnEnded, now_ms: int
    ) -> list[Command]:
        kept = event.turn_id in self._kept
        if not kept and (self._failed or self._ending.handed_over or self._voicemail.mute):
            return []  # an engine that was given up is not listened to any more
        if not kept:
            self._patience.engine_went_on(now_ms)
        if isinstance(event, TurnStarted):
            return self._open(event.turn_id, now_ms)
        turn = self._turns.get(event.turn_id)
        if turn is None:
            return []
        if isinstance(event, TurnAudio):
            return self._play(turn, event, now_ms)
        if isinstance(event, TurnText):
            turn.add_text(event.text, event.start_ms)
            return [ShowText("agent", event.turn_id, event.text)]
        turn.made = True
        self._expect_quiet(now_ms)
        return [MarkEnd(event.turn_id)] if turn.made_ms else self._wake(now_ms)

    def _open(self, turn_id: TurnId, now_ms: int) -> list[Command]:
        turn = AgentTurn(turn_id, self._caller.answered_by(), began_ms=now_ms)
        turn.asked_text = self._patience.turn_began()
        self._turns[turn_id] = turn
        self._patience.stirred()
        if self._greeting_asked:
            self._greeting_asked = False
            self._protected = None if self._manners.interruptible else turn_id
        return []

    def _play(self, turn: AgentTurn, event: TurnAudio, now_ms: int) -> list[Command]:
        if not turn.made_ms:
            turn.first_audio_ms = now_ms
            if turn.turn_id not in self._kept:
                self._patience.sound_came()
        turn.made_ms += event.frame.duration_ms
        return [PlayAudio(event.frame, event.turn_id)]

    def _caller_turn(
        self, event: SpeechStarted | SpeechStopped | Transcribed, now_ms: int
    ) -> list[Command]:
        match event:
            case SpeechStarted():
                self._caller.begin(event.start_ms, now_ms)
                self._caller_speaks = True
                self._idle_prompts = 0
                self._patience.person_spoke()
                return self._barge_in(now_ms)
            case SpeechStopped():
                self._caller_speaks = False
                stopped_ms = self._caller.stop(event.end_ms, now_ms)
                self._patience.person_done(stopped_ms, now_ms)
                return []
            case Transcribed():
                return self._understood(event, now_ms)

    def _understood(self, event: Transcribed, now_ms: int) -> list[Command]:
        if not event.final:
            return [ShowText("caller", self._caller.turn_id, event.text)]
        if event.text:
            self._remember("caller", event.text)
        elif not self._turns and not self._caller_speaks:
            self._patience.nothing_understood()
            self._patience.all_quiet(now_ms)
        spoken = self._caller.spoken(event.text, now_ms, end_ms=event.end_ms)
        return [ShowText("caller", spoken["turn_id"], event.text), Note("turn.user", spoken)]

    def _remember(self, who: str, text: str) -> None:
        self.history.append(PastTurn(who, text))
        del self.history[:-REMEMBERED_MOST]

    def _instruct(self, text: str) -> list[Command]:
        self.instructions.append(text)
        del self.instructions[:-INSTRUCTIONS_MOST]
        return [] if self._failed else [Instruct(text)]

    # Interruptions -----------------------------------------------------------------------------

    def _suspicion(self, event: SpeechSuspected | SpeechDismissed, now_ms: int) -> list[Command]:
        if isinstance(event, SpeechDismissed):
            return self._resume(now_ms)
        commands = self._wake(now_ms)
        sounds = any(turn.made_ms for turn in self._turns.values())
        if self._paused_ms is not None or not sounds or not self._may_interrupt():
            return commands
        self._paused_ms = now_ms
        self._audible.unknown()
        return [*commands, PauseAudio()]

    def _resume(self, now_ms: int) -> list[Command]:
        if self._paused_ms is None:
            return []
        self._paused_ms = None
        self._expect_quiet(now_ms)
        return [ResumeAudio()]

    def _may_interrupt(self) -> bool:
        return not self._failed and bool(self._turns) and self._protected not in self._turns

    def _barge_in(self, now_ms: int) -> list[Command]:
        commands = self._wake(now_ms)  # what was heard to its end cannot be cut off
        if not self._may_interrupt():
            return [*commands, *self._resume(now_ms)]
        commands += [ClearAudio(), *self._interrupt([*self._turns.values()], now_ms)]
        self._ending.interrupted()
        return commands

    def _interrupt(self, turns: list[AgentTurn], now_ms: int) -> list[Command]:
        """These turns are heard no further: the engine is to remember only what was heard."""
        commands: list[Command] = []
        self._paused_ms = None
        for turn in turns:
            heard_ms = self._playout.heard_ms(turn.turn_id, now_ms)
            if turn.turn_id not in self._kept:
                commands.append(Interrupt(turn.turn_id, heard_ms, turn.heard_text(heard_ms)))
            commands += self._close(turn, heard_ms, now_ms)
            commands.append(
                Note("agent.interrupted", {"turn_id": turn.turn_id, "heard_ms": heard_ms})
            )
        self._playout.clear(now_ms)
        return commands

    def _close(self, turn: AgentTurn, heard_ms: int, now_ms: int) -> list[Command]:
        del self._turns[turn.turn_id]
        self._kept.discard(turn.turn_id)
        if not self._turns and not self._caller_speaks:
            self._patience.all_quiet(now_ms)
        data = turn.record(
            heard_ms,
            now_ms,
            first_sent_ms=self._playout.first_sent_ms(turn.turn_id),
            first_mark_ms=self._playout.first_mark_ms(turn.turn_id),
        )
        if data["heard_text"]:
            self._remember("agent", data["heard_text"])
        return [Note("turn.agent", data)]

    def _digit(self, event: DtmfReceived, now_ms: int) -> list[Command]:
        if not self._keys.is_new(event.digit, event.channel):
            return []
        note = Note("dtmf.received", {"digit": event.digit})
        if self._failed or self._ending.handed_over:
            return [note]
        self._idle_prompts = 0
        self._patience.stirred()
        owed = any(not turn.made_ms for turn in self._turns.values())
        commands = self._barge_in(now_ms)
        if owed:  # a key excuses nobody from a first word
            self._patience.person_done(now_ms, now_ms)
        return [note, *commands, TellDigit(event.digit)]

    # Whether the agent is heard ----------------------------------------------------------------

    def _expect_quiet(self, now_ms: int) -> None:
        """All sound of a turn has been made, or goes on: until when will the agent be heard?"""
        turns = self._turns.values()
        if not all(turn.made for turn in turns):
            self._audible.unknown()
            return
        left_ms = sum(t.made_ms - self._playout.heard_ms(t.turn_id, now_ms) for t in turns)
        self._audible.made(left_ms, now_ms)

    def _tell_audible(self, now_ms: int) -> list[Command]:
        sounds = any(turn.made_ms for turn in self._turns.values())
        audible = self._audible.change(now_ms, sounds=sounds)
        return [] if audible is None or self._failed else [TellAudible(audible)]

    # Waiting -----------------------------------------------------------------------------------

    def _waited_too_long(self, now_ms: int) -> bool:
        return (
            self._is_stalled(now_ms)
            or self._wants_filler(now_ms)
            or self._is_idle(now_ms)
            or self._voicemail.is_due(now_ms)
            or (self._paused_ms is not None and now_ms - self._paused_ms >= PAUSE_MOST_MS)
        )

    def _lose_patience(self, now_ms: int) -> list[Command]:
        if self._is_stalled(now_ms):
            stalled = EngineFailed("engine.stalled", "it said nothing in time")
            return self._engine_failed(stalled, now_ms)
        if self._wants_filler(now_ms):
            self._patience.filled()
            return [self._fill("")]
        if self._is_idle(now_ms):
            return self._prompt(now_ms)
        if self._voicemail.is_due(now_ms):
            return self._leave_message(now_ms)
        if self._paused_ms is not None and now_ms - self._paused_ms >= PAUSE_MOST_MS:
            return self._resume(now_ms)
        return []

    def _is_stalled(self, now_ms: int) -> bool:
        """Whether the engine owes sound, and has let the person wait in silence for too long."""
        if self._failed or self._ending.handed_over:
            return False
        unmade = any(not turn.made for turn in self._turns.values())
        return self._patience.is_stalled(
            now_ms, settled_ms=self._playout.settled_ms(), unmade=unmade
        )

    def _wants_filler(self, now_ms: int) -> bool:
        if self._failed or self._ending.handed_over or self._caller_speaks:
            return False
        return not any(t.made_ms for t in self._turns.values()) and self._patience.wants_filler(
            now_ms
        )

    def _fill(self, text: str) -> Command:
        self._kept_count += 1
        turn_id = TurnId(f"filler-{self._kept_count}")
        self._kept.add(turn_id)
        self._turns[turn_id] = AgentTurn(turn_id)
        return PlayFiller(turn_id, text)

    def _is_idle(self, now_ms: int) -> bool:
        if self._turns or self._caller_speaks or self._failed or self._ending.is_near:
            return False
        return not self._voicemail.deaf and self._patience.is_idle(now_ms)

    def _prompt(self, now_ms: int) -> list[Command]:
        """Ask whether anybody is there; after the last time, say goodbye."""
        self._patience.stirred()
        says = self._manners.idle_says
        if says and self._idle_prompts < self._manners.idle_times:
            text = says[self._idle_prompts % len(says)]
            self._idle_prompts += 1
            return [self._ask(text, now_ms)]
        self._ending.will_be(IDLE)
        goodbye = self._manners.idle_goodbye
        return [self._ask(goodbye, now_ms)] if goodbye else []

    # Machines ----------------------------------------------------------------------------------

    def _machine(self, event: MachineDetected, now_ms: int) -> list[Command]:
        if self._failed or self._ending.handed_over or not self._voicemail.noticed(event, now_ms):
            return []
        commands = self._silence(now_ms)
        if self._voicemail.policy is VoicemailPolicy.HANG_UP:
            self._ending.will_be(VOICEMAIL)
            return [*commands, *self._wake(now_ms)]
        if event.greeting_over:
            commands += self._leave_message(now_ms)
        return commands

    def _silence(self, now_ms: int) -> list[Command]:
        self._patience.excused()
        if not self._turns:
            return []
        return [ClearAudio(), *self._interrupt([*self._turns.values()], now_ms)]

    def _leave_message(self, now_ms: int) -> list[Command]:
        self._voicemail.leave()
        self._ending.will_be(VOICEMAIL)
        return [self._ask(self._manners.voicemail_message, now_ms)]

    # Wishes and troubles of the engine ---------------------------------------------------------

    def _engine_wish(
        self,
        event: EndRequested | TransferRequested | ToolCalled | FillerRequested,
        now_ms: int,
    ) -> list[Command]:
        if isinstance(event, ToolCalled):
            data = {"tool": event.name, "arguments": event.arguments, "code": event.code}
            return [Note("tool.called", data | {"took_ms": event.took_ms})]
        if self._failed or self._ending.handed_over:
            return []
        if isinstance(event, FillerRequested):
            sounds = any(turn.made_ms for turn in self._turns.values())
            return [] if sounds or self._caller_speaks else [self._fill(event.text)]
        self._ending.wanted(event)
        return self._wake(now_ms)

    def _engine_failed(self, event: EngineFailed, now_ms: int) -> list[Command]:
        commands: list[Command] = [Note("fault", {"code": event.code, "detail": event.detail})]
        if not event.fatal or self._failed or self._ending.handed_over:
            return commands
        if self._fallbacks:
            self._fallbacks -= 1
            return [*commands, *self._change_engine(now_ms)]
        self._failed = True
        self._patience.excused()
        self._ending.will_be(ENGINE_FAILED)
        if self._manners.last_resort_to is not None:
            self._ending.goes_to(self._manners.last_resort_to)
        for turn in self._turns.values():
            turn.made = True  # nothing more will come of it, but what was made is played
        self._turns[APOLOGY] = AgentTurn(APOLOGY, self._caller.answered_by(), began_ms=now_ms)
        self._kept.add(APOLOGY)
        return [*commands, Apologise()]

    def _change_engine(self, now_ms: int) -> list[Command]:
        """The next engine says what this one still owed; what was made of it is played."""
        owed = self._patience.owed
        cut_off = False
        commands: list[Command] = []
        for turn in [*self._turns.values()]:
            if turn.made:
                continue
            if turn.made_ms:
                turn.made = cut_off = True
                commands.append(MarkEnd(turn.turn_id))
                continue
            del self._turns[turn.turn_id]
            cut_off = cut_off or turn.asked_text is None
            owed = owed if turn.asked_text is None else [turn.asked_text, *owed]
        unanswered = cut_off or self._patience.owes_answer
        if unanswered and self._caller.is_untold:
            owed.append(self._manners.say_again)
            unanswered = False
        self._patience.engine_changed(owes_answer=unanswered, now_ms=now_ms)
        self._paused_ms = None
        asked = [self._ask(text, now_ms) for text in owed]
        return [*commands, ChangeEngine(unanswered), ResumeAudio(), *asked]

    # The end -----------------------------------------------------------------------------------

    def _not_transferred(self, event: TransferFailed, now_ms: int) -> list[Command]:
        note = Note("fault", {"code": event.code, "detail": event.detail})
        self._ending.not_handed_over()
        if self._failed:
            return [note, *self._wake(now_ms)]
        told = Instruct("The call could not be transferred. The caller is still with you.")
        return [note, told, self._ask(self._manners.not_transferred, now_ms)]

    def _hang_up(self, event: HangUpRequested, now_ms: int) -> list[Command]:
        return [*self.cut(now_ms), *self._ending.at_once(event)]
