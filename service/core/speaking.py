"""What the agent says: its turns from their first word until they were heard, cut off or lost.

Pure. Sound that may be an interruption's victim can be paused, and go on where it stopped. The
ledger (`playout.py`) knows what was heard; here it is known what that means for the words.
"""

from service.core.audible import Audible
from service.core.commands import (
    Command,
    Interrupt,
    MarkEnd,
    Note,
    PauseAudio,
    PlayAudio,
    PlayFiller,
    ResumeAudio,
    ShowText,
    TellAudible,
)
from service.core.events import TurnAudio, TurnId, TurnText
from service.core.playout import Playout
from service.core.turns import AgentTurn, Memory

PAUSE_MOST_MS = 2500
"""A pause that nobody ends: the engine that suspected something has forgotten it."""


class Speaking:
    """One call's agent. What it says is remembered as far as it was heard."""

    def __init__(self, playout: Playout, memory: Memory) -> None:
        self._playout = playout
        self._memory = memory
        self._turns: dict[TurnId, AgentTurn] = {}  # not yet heard to their end
        self._kept: set[TurnId] = set()  # those of sentences kept ready
        self._kept_count = 0
        self._protected: TurnId | None = None
        self._paused_ms: int | None = None
        self._audible = Audible()

    # What there is -----------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Everything that was begun has been heard, or never will be."""
        return not self._turns

    @property
    def sounds(self) -> bool:
        """There is sound that may not have been heard yet."""
        return any(turn.made_ms for turn in self._turns.values())

    @property
    def is_unmade(self) -> bool:
        """A turn lacks the rest of its sound."""
        return any(not turn.made for turn in self._turns.values())

    @property
    def is_mute(self) -> bool:
        """A turn has begun and has no sound yet."""
        return any(not turn.made_ms for turn in self._turns.values())

    @property
    def may_be_interrupted(self) -> bool:
        """Something is said, and it is not protected."""
        return bool(self._turns) and self._protected not in self._turns

    def is_kept(self, turn_id: TurnId) -> bool:
        """Whether this turn is a sentence kept ready, and not the engine's."""
        return turn_id in self._kept

    def is_due(self, now_ms: int) -> bool:
        """Whether something has been heard to its end, or become silent, by now."""
        if self._audible.is_due(now_ms) or self._is_paused_for_ever(now_ms):
            return True
        if not any(turn.made for turn in self._turns.values()):
            return False
        return now_ms >= self._playout.settled_ms()

    # What is made ------------------------------------------------------------------------------

    def begin(self, turn: AgentTurn, *, protected: bool = False, kept: bool = False) -> None:
        """A turn begins."""
        self._turns[turn.turn_id] = turn
        if protected:
            self._protected = turn.turn_id
        if kept:
            self._kept.add(turn.turn_id)

    def fill(self, text: str, now_ms: int) -> Command:
        """Say a sentence kept ready."""
        self._kept_count += 1
        turn_id = TurnId(f"filler-{self._kept_count}")
        self.begin(AgentTurn(turn_id, began_ms=now_ms), kept=True)
        return PlayFiller(turn_id, text)

    def add_text(self, event: TurnText) -> list[Command]:
        """Words of a turn; nothing of one that is over."""
        turn = self._turns.get(event.turn_id)
        if turn is None:
            return []
        turn.add_text(event.text, event.start_ms)
        return [ShowText("agent", event.turn_id, event.text)]

    def add_sound(self, event: TurnAudio, now_ms: int) -> list[Command]:
        """Sound of a turn; nothing of one that is over."""
        turn = self._turns.get(event.turn_id)
        if turn is None:
            return []
        first = not turn.made_ms
        turn.made_ms += event.frame.duration_ms
        if not first:
            return [PlayAudio(event.frame, event.turn_id)]
        turn.first_audio_ms = now_ms
        return [PlayAudio(event.frame, event.turn_id), *self.tell_audible(now_ms)]

    def complete(self, turn_id: TurnId, now_ms: int) -> list[Command]:
        """All sound of the turn has been made."""
        turn = self._turns.get(turn_id)
        if turn is None:
            return []
        turn.made = True
        self._expect_quiet(now_ms)
        return [MarkEnd(turn_id)] if turn.made_ms else []

    def complete_all(self) -> None:
        """Nothing more will come of any turn, but what was made is played."""
        for turn in self._turns.values():
            turn.made = True

    def orphan(self) -> tuple[list[Command], list[AgentTurn]]:
        """Their engine is gone: what was made of them is played. Returns also those it owed."""
        owed = [turn for turn in self._turns.values() if not turn.made]
        commands: list[Command] = []
        for turn in owed:
            turn.made = True
            if turn.made_ms:
                commands.append(MarkEnd(turn.turn_id))
            else:
                del self._turns[turn.turn_id]
        if self._paused_ms is not None:
            self._paused_ms = None
            commands.append(ResumeAudio())
        return commands, owed

    # What is heard of it -----------------------------------------------------------------------

    def close_heard(self, now_ms: int) -> list[Command]:
        """The turns that have been heard to their end."""
        heard = [
            turn
            for turn in self._turns.values()
            if turn.made and self._playout.heard_ms(turn.turn_id, now_ms) >= turn.made_ms
        ]
        return [note for turn in heard for note in self._close(turn, turn.made_ms, now_ms)]

    def cut(self, now_ms: int) -> list[Command]:
        """The line is gone: what was not heard will not be."""
        commands: list[Command] = []
        for turn in [*self._turns.values()]:
            commands += self._close(turn, self._playout.heard_ms(turn.turn_id, now_ms), now_ms)
        self._playout.clear(now_ms)
        return commands

    def interrupt(self, now_ms: int) -> list[Command]:
        """All is heard no further: the engine is to remember only what was heard."""
        commands: list[Command] = []
        self._paused_ms = None
        for turn in [*self._turns.values()]:
            heard_ms = self._playout.heard_ms(turn.turn_id, now_ms)
            if turn.turn_id not in self._kept:
                commands.append(Interrupt(turn.turn_id, heard_ms, turn.heard_text(heard_ms)))
            told = {"turn_id": turn.turn_id, "heard_ms": heard_ms}
            commands += [*self._close(turn, heard_ms, now_ms), Note("agent.interrupted", told)]
        self._playout.clear(now_ms)
        return commands

    def pause(self, now_ms: int) -> list[Command]:
        """Perhaps somebody interrupts."""
        if self._paused_ms is not None or not self.sounds or not self.may_be_interrupted:
            return []
        self._paused_ms = now_ms
        self._audible.unknown()
        return [PauseAudio()]

    def resume(self, now_ms: int) -> list[Command]:
        """Nobody does."""
        if self._paused_ms is None:
            return []
        self._paused_ms = None
        self._expect_quiet(now_ms)
        return [ResumeAudio()]

    def end_pause(self, now_ms: int) -> list[Command]:
        """Go on after a pause that nobody ended."""
        return self.resume(now_ms) if self._is_paused_for_ever(now_ms) else []

    def tell_audible(self, now_ms: int) -> list[Command]:
        """Whether the agent is heard now, where that is news."""
        audible = self._audible.change(now_ms, sounds=self.sounds)
        return [] if audible is None else [TellAudible(audible)]

    def _is_paused_for_ever(self, now_ms: int) -> bool:
        return self._paused_ms is not None and now_ms - self._paused_ms >= PAUSE_MOST_MS

    def _expect_quiet(self, now_ms: int) -> None:
        """Until when will the agent be heard? Nobody knows while more is made."""
        if self.is_unmade:
            self._audible.unknown()
            return
        turns = self._turns.values()
        left_ms = sum(t.made_ms - self._playout.heard_ms(t.turn_id, now_ms) for t in turns)
        self._audible.made(left_ms, now_ms)

    def _close(self, turn: AgentTurn, heard_ms: int, now_ms: int) -> list[Note]:
        """What is to be written down of it; nothing of a turn in which nothing was said."""
        del self._turns[turn.turn_id]
        self._kept.discard(turn.turn_id)
        if not turn.made_ms and not turn.text:
            return []
        data = turn.record(
            heard_ms,
            now_ms,
            first_sent_ms=self._playout.first_sent_ms(turn.turn_id),
            first_mark_ms=self._playout.first_mark_ms(turn.turn_id),
        )
        self._memory.add("agent", data["heard_text"])
        return [Note("turn.agent", data)]
