"""Turns and barge-in: what happened on the live call in, what to do about it out.

Pure: the time comes with each event. Barge-in cancels data, not tasks: the ledger's generation is
raised, the carrier's queue and ours are cleared, and later sound of the turn is dropped by its id.
What is only suspected to be an interruption pauses the sound until it is accepted or dismissed.
"""

from collections.abc import Iterable
from typing import assert_never

from service.core.commands import (
    Apologise,
    ChangeEngine,
    ClearAudio,
    Command,
    Hear,
    Instruct,
    Note,
    SendDigits,
    ShowText,
    StartTurn,
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
from service.core.speaking import Speaking
from service.core.turns import AgentTurn, CallerTurn, Memory, PastTurn
from service.core.voicemail import Voicemail, VoicemailPolicy

APOLOGY = TurnId("apology")

INSTRUCTIONS_MOST = 20
"""Kept for an engine that has to carry the conversation on."""

NOT_TRANSFERRED = "The call could not be transferred. The caller is still with you."
"""For the model, which believes the caller gone."""


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
        self.memory = Memory(history)
        self.instructions: list[str] = []  # given while the call goes on
        self._manners = manners
        self._playout = playout
        self._speaking = Speaking(playout, self.memory)
        self._caller = CallerTurn()
        self._patience = Patience(manners.waits)
        self._voicemail = Voicemail(manners.voicemail)
        self._ending = Ending(manners.max_duration_ms)
        self._keys = KeyPresses()
        self._greeted = resumed
        self._greeting_asked = False
        self._fallbacks = manners.fallbacks
        self._idle_prompts = 0
        self._failed = False

    @property
    def media_ms(self) -> int:
        """How much of the person on the line has been heard: media time so far."""
        return self._caller.media_ms

    # What the bridge asks ----------------------------------------------------------------------

    def handle(self, event: LiveEvent, now_ms: int) -> list[Command]:
        """What is to be done about an event."""
        match event:
            case MediaReceived():
                return self._hear(event, now_ms)
            case TurnAudio():
                return self._sound(event, now_ms)
            case _:
                return [*self._decide(event, now_ms), *self._settle(now_ms)]

    def wake(self, now_ms: int) -> list[Command]:
        """What is to be done because time has passed, or a mark came back."""
        return [*self._wake(now_ms), *self._settle(now_ms)]

    def is_due(self, now_ms: int) -> bool:
        """Whether `wake` has something to do by now though nothing happened."""
        if self._ending.is_overdue(now_ms) or self._speaking.is_due(now_ms):
            return True
        if self._speaking.is_over and self._ending.is_near:
            return True
        return self._waited_too_long(now_ms)

    def cut(self, now_ms: int) -> list[Command]:
        """The line is gone: what was not heard will not be."""
        return self._speaking.cut(now_ms)

    # Deciding ----------------------------------------------------------------------------------

    def _decide(self, event: LiveEvent, now_ms: int) -> list[Command]:
        match event:
            case MediaReceived() | TurnAudio():
                return []  # the media path is shorter
            case TurnStarted() | TurnText() | TurnEnded():
                return self._agent_turn(event, now_ms)
            case MarkPlayed():
                self._playout.mark_returned(event.name, now_ms)
                return self._wake(now_ms)
            case SpeechSuspected():
                return [*self._wake(now_ms), *self._suspect(now_ms)]
            case SpeechDismissed():
                return self._speaking.resume(now_ms)
            case SpeechStarted() | SpeechStopped() | Transcribed():
                return self._caller_turn(event, now_ms)
            case DtmfReceived():
                return self._digit(event, now_ms)
            case StreamStarted():
                self._ending.started(now_ms)
                return self._greet(self._manners.greeting, now_ms)
            case GreetingKnown():
                return self._greet(event.text, now_ms)
            case StreamStopped():
                return self.cut(now_ms)
            case StreamLost():
                return self._speaking.interrupt(now_ms)
            case StreamFaulted():
                return [Note("fault", {"code": event.code, "detail": event.detail})]
            case ToolCalled():
                return [_tool_note(event)]
            case EndRequested() | TransferRequested() | FillerRequested():
                return self._wish(event, now_ms)
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
                return [*self.cut(now_ms), *self._ending.at_once(event)]
            case _ as unknown:
                assert_never(unknown)

    def _wake(self, now_ms: int) -> list[Command]:
        commands = self._lose_patience(now_ms) + self._speaking.close_heard(now_ms)
        if self._ending.is_overdue(now_ms):
            overdue = HangUpRequested("max_duration", "limit")
            return [*commands, *self.cut(now_ms), *self._ending.at_once(overdue)]
        if self._speaking.is_over and (self._failed or not self._patience.owed):
            commands += self._ending.last_step()  # nothing is left to be said or heard
        return commands

    def _settle(self, now_ms: int) -> list[Command]:
        """What follows from where things stand now, whatever happened."""
        self._patience.agent_is(silent=self._speaking.is_over, now_ms=now_ms)
        return [] if self._failed else self._speaking.tell_audible(now_ms)

    # The agent ---------------------------------------------------------------------------------

    def _greet(self, greeting: str, now_ms: int) -> list[Command]:
        if self._greeted or not greeting:
            return []
        self._greeted = self._greeting_asked = True
        return [self._ask(greeting, now_ms)]

    def _ask(self, text: str, now_ms: int) -> StartTurn:
        self._patience.asked(text, now_ms)
        return StartTurn(text)

    def _sound(self, event: TurnAudio, now_ms: int) -> list[Command]:
        if not self._may_say(event.turn_id):
            return []
        if not self._speaking.is_kept(event.turn_id):
            self._patience.sound_came(now_ms)
        return self._speaking.add_sound(event, now_ms)

    def _agent_turn(self, event: TurnStarted | TurnText | TurnEnded, now_ms: int) -> list[Command]:
        if not self._may_say(event.turn_id):
            return []
        if not self._speaking.is_kept(event.turn_id):
            self._patience.engine_went_on(now_ms)
        match event:
            case TurnStarted():
                self._begin_turn(event.turn_id, now_ms)
                return []
            case TurnText():
                return self._speaking.add_text(event)
            case TurnEnded():
                return self._speaking.complete(event.turn_id, now_ms) or self._wake(now_ms)

    def _may_say(self, turn_id: TurnId) -> bool:
        """An engine that was given up is not listened to any more; sentences kept ready are."""
        if self._speaking.is_kept(turn_id):
            return True
        return not (self._failed or self._ending.handed_over or self._voicemail.mute)

    def _begin_turn(self, turn_id: TurnId, now_ms: int) -> None:
        turn = AgentTurn(turn_id, self._caller.answered_by(), began_ms=now_ms)
        turn.asked_text = self._patience.turn_began()
        is_greeting, self._greeting_asked = self._greeting_asked, False
        self._speaking.begin(turn, protected=is_greeting and not self._manners.interruptible)

    def _instruct(self, text: str) -> list[Command]:
        self.instructions.append(text)
        del self.instructions[:-INSTRUCTIONS_MOST]
        return [] if self._failed else [Instruct(text)]

    # The person --------------------------------------------------------------------------------

    def _hear(self, event: MediaReceived, now_ms: int) -> list[Command]:
        self._caller.media_ms = event.frame.start_ms + event.frame.duration_ms
        self._patience.line_heard(now_ms)
        if self._failed or self._ending.handed_over or self._voicemail.deaf:
            return []
        return [Hear(event.frame)]

    def _caller_turn(
        self, event: SpeechStarted | SpeechStopped | Transcribed, now_ms: int
    ) -> list[Command]:
        match event:
            case SpeechStarted():
                self._caller.begin(event.start_ms, now_ms)
                self._idle_prompts = 0
                self._patience.person_spoke()
                return self._barge_in(now_ms)
            case SpeechStopped():
                stopped_ms = self._caller.stop(event.end_ms, now_ms)
                self._patience.person_done(stopped_ms, now_ms)
                return []
            case Transcribed(final=False):
                return [ShowText("caller", self._caller.turn_id, event.text)]
            case Transcribed():
                return self._understood(event, now_ms)

    def _understood(self, event: Transcribed, now_ms: int) -> list[Command]:
        self.memory.add("caller", event.text)
        if not event.text:
            self._patience.nothing_understood()
        spoken = self._caller.spoken(event.text, now_ms, end_ms=event.end_ms)
        return [ShowText("caller", spoken["turn_id"], event.text), Note("turn.user", spoken)]

    def _suspect(self, now_ms: int) -> list[Command]:
        self._patience.stirred()
        return [] if self._failed else self._speaking.pause(now_ms)

    def _barge_in(self, now_ms: int) -> list[Command]:
        commands = self._wake(now_ms)  # what was heard to its end cannot be cut off
        if self._failed or not self._speaking.may_be_interrupted:
            return [*commands, *self._speaking.resume(now_ms)]
        self._ending.interrupted()
        return [*commands, ClearAudio(), *self._speaking.interrupt(now_ms)]

    def _digit(self, event: DtmfReceived, now_ms: int) -> list[Command]:
        if not self._keys.is_new(event.digit, event.channel):
            return []
        note = Note("dtmf.received", {"digit": event.digit})
        if self._failed or self._ending.handed_over:
            return [note]
        self._idle_prompts = 0
        self._patience.stirred()
        owed = self._speaking.is_mute
        commands = self._barge_in(now_ms)
        if owed:  # a key excuses nobody from a first word
            self._patience.person_done(now_ms, now_ms)
        return [note, *commands, TellDigit(event.digit)]

    # Silence -----------------------------------------------------------------------------------

    def _waited_too_long(self, now_ms: int) -> bool:
        return (
            self._is_stalled(now_ms)
            or self._wants_filler(now_ms)
            or self._is_idle(now_ms)
            or self._voicemail.is_due(now_ms)
        )

    def _lose_patience(self, now_ms: int) -> list[Command]:
        if self._is_stalled(now_ms):
            stalled = EngineFailed("engine.stalled", "it said nothing in time")
            return self._engine_failed(stalled, now_ms)
        if self._wants_filler(now_ms):
            self._patience.filled()
            return [self._speaking.fill("", now_ms)]
        if self._is_idle(now_ms):
            return self._prompt(now_ms)
        if self._voicemail.is_due(now_ms):
            return self._leave_message(now_ms)
        return self._speaking.end_pause(now_ms)

    def _is_stalled(self, now_ms: int) -> bool:
        """Whether the engine owes sound, and has let the person wait in silence for too long."""
        if self._failed or self._ending.handed_over:
            return False
        return self._patience.is_stalled(
            now_ms, settled_ms=self._playout.settled_ms(), unmade=self._speaking.is_unmade
        )

    def _wants_filler(self, now_ms: int) -> bool:
        if not self._patience.wants_filler(now_ms):
            return False
        return not (self._failed or self._ending.handed_over or self._speaking.sounds)

    def _is_idle(self, now_ms: int) -> bool:
        if not self._patience.is_idle(now_ms):
            return False
        return not (self._failed or self._ending.is_near or self._voicemail.deaf)

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
        if self._failed or self._ending.handed_over:
            return []
        if not self._voicemail.noticed(event, now_ms):
            return []
        self._patience.excused()
        hush = [] if self._speaking.is_over else [ClearAudio(), *self._speaking.interrupt(now_ms)]
        if self._voicemail.policy is VoicemailPolicy.HANG_UP:
            self._ending.will_be(VOICEMAIL)
            return [*hush, *self._wake(now_ms)]
        return [*hush, *self._leave_message(now_ms)] if event.greeting_over else hush

    def _leave_message(self, now_ms: int) -> list[Command]:
        self._voicemail.leave()
        self._ending.will_be(VOICEMAIL)
        return [self._ask(self._manners.voicemail_message, now_ms)]

    # Wishes and troubles of the engine ---------------------------------------------------------

    def _wish(
        self, event: EndRequested | TransferRequested | FillerRequested, now_ms: int
    ) -> list[Command]:
        if self._failed or self._ending.handed_over:
            return []
        if not isinstance(event, FillerRequested):
            self._ending.wanted(event)
            return self._wake(now_ms)
        if self._speaking.sounds or self._patience.person_speaks:
            return []
        return [self._speaking.fill(event.text, now_ms)]

    def _engine_failed(self, event: EngineFailed, now_ms: int) -> list[Command]:
        note = Note("fault", {"code": event.code, "detail": event.detail})
        if not event.fatal or self._failed or self._ending.handed_over:
            return [note]
        if self._fallbacks:
            self._fallbacks -= 1
            return [note, *self._change_engine(now_ms)]
        self._failed = True
        self._patience.excused()
        self._ending.will_be(ENGINE_FAILED)
        if self._manners.last_resort_to is not None:
            self._ending.goes_to(self._manners.last_resort_to)
        self._speaking.complete_all()
        answers = self._caller.answered_by()
        self._speaking.begin(AgentTurn(APOLOGY, answers, began_ms=now_ms), kept=True)
        return [note, *self._speaking.resume(now_ms), Apologise()]

    def _change_engine(self, now_ms: int) -> list[Command]:
        """The next engine says what this one still owed; what was made of it is played."""
        commands, cut_off = self._speaking.orphan()
        unsaid = [t.asked_text for t in cut_off if t.asked_text is not None and not t.made_ms]
        owed = [*unsaid, *self._patience.owed]
        answers = [turn for turn in cut_off if turn.made_ms or turn.asked_text is None]
        unanswered = bool(answers) or self._patience.owes_answer
        if unanswered and self._caller.is_untold:
            owed.append(self._manners.say_again)
            unanswered = False
        self._patience.engine_changed(owes_answer=unanswered, now_ms=now_ms)
        asked = [self._ask(text, now_ms) for text in owed]
        return [*commands, ChangeEngine(unanswered), *asked]

    def _not_transferred(self, event: TransferFailed, now_ms: int) -> list[Command]:
        note = Note("fault", {"code": event.code, "detail": event.detail})
        self._ending.not_handed_over()
        if self._failed:
            return [note, *self._wake(now_ms)]
        return [note, Instruct(NOT_TRANSFERRED), self._ask(self._manners.not_transferred, now_ms)]


def _tool_note(event: ToolCalled) -> Note:
    data = {"tool": event.name, "arguments": event.arguments, "code": event.code}
    return Note("tool.called", data | {"took_ms": event.took_ms})
