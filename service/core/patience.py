"""Who waits for whom on a live call, and for how long: no silence without an end.

Pure: it is told what happens and when, and says what is due. The engine may owe the person a first
word (`asked` for it, or answering them); the person may have nothing to say for a while.
"""

from collections import deque

from msgspec import Struct

ENGINE_PATIENCE_MS = 10_000
"""An engine that owes sound and gives none for so long in silence is given up."""

LINE_THERE_MS = 1000
"""Carriers send frames also in silence. An engine that answers frames owes nothing without them."""

ASKED_MOST = 16
"""Texts that an engine may owe at once; older ones are taken as dropped."""


class Waits(Struct, frozen=True, kw_only=True):
    """How long silence may last before something is done about it; 0: for ever."""

    filler_after_ms: int = 0
    idle_after_ms: int = 0


class Patience:
    """Follows one call's silences."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._asked: deque[str] = deque()  # texts the engine was given and has not begun
        self._owes_answer = False
        self._waits_since_ms: int | None = None  # the person, for the engine's first sound
        self._filled = False
        self._last_word_ms = 0  # when the engine was asked, or last went on with a turn
        self._line_ms = 0  # when the person's line was last there
        self._quiet_since_ms: int | None = None  # nobody has said anything since
        self.person_speaks = False

    @property
    def owed(self) -> list[str]:
        """The texts that the engine was given and has not begun to say."""
        return [*self._asked]

    @property
    def owes_answer(self) -> bool:
        """Whether the person has said something that nothing was answered to yet."""
        return self._owes_answer

    @property
    def owes(self) -> bool:
        """Whether the engine owes the person a first word."""
        return bool(self._asked) or self._owes_answer

    # What happens ------------------------------------------------------------------------------

    def line_heard(self, now_ms: int) -> None:
        """A frame came from the person's line."""
        self._line_ms = now_ms

    def asked(self, text: str, now_ms: int) -> None:
        """The engine is to say this."""
        self._asked.append(text)
        if len(self._asked) > ASKED_MOST:
            self._asked.popleft()
        self._wait_from(now_ms)
        self.engine_went_on(now_ms)

    def engine_went_on(self, now_ms: int) -> None:
        """The engine works on a turn."""
        self._last_word_ms = now_ms

    def turn_began(self) -> str | None:
        """The engine has begun to say something: the oldest text that it was asked to, if any."""
        return self._asked.popleft() if self._asked else None

    def sound_came(self, now_ms: int) -> None:
        """Sound of a turn of the engine's is there."""
        self._last_word_ms = now_ms
        self._owes_answer = False
        self._waits_since_ms = None

    def person_spoke(self) -> None:
        """The person has begun to speak: an engine may drop what it has not begun."""
        self.person_speaks = True
        self.excused()

    def person_done(self, stopped_ms: int, now_ms: int) -> None:
        """The person's turn is over since `stopped_ms`: it is the engine's now."""
        self.person_speaks = False
        self._owes_answer = True
        self._wait_from(stopped_ms)
        self.engine_went_on(now_ms)

    def nothing_understood(self) -> None:
        """There is nothing to answer."""
        self._owes_answer = False
        self._waits_since_ms = None

    def excused(self) -> None:
        """Nobody waits for the engine any more."""
        self._asked.clear()
        self._owes_answer = False
        self._waits_since_ms = self._quiet_since_ms = None

    def engine_changed(self, *, owes_answer: bool, now_ms: int) -> None:
        """Another engine has its debts now, but for the texts, which it is asked for anew."""
        self._asked.clear()
        self._owes_answer = owes_answer
        if owes_answer:
            self._wait_from(now_ms)
        self.engine_went_on(now_ms)

    def filled(self) -> None:
        """The person was told that it takes a while."""
        self._filled = True

    def agent_is(self, *, silent: bool, now_ms: int) -> None:
        """Whether all that the agent said has been heard. Quiet begins when nobody speaks."""
        if not silent or self.person_speaks:
            self._quiet_since_ms = None
        elif self._quiet_since_ms is None:
            self._quiet_since_ms = now_ms

    def stirred(self) -> None:
        """Somebody does something."""
        self._quiet_since_ms = None

    # What is due -------------------------------------------------------------------------------

    def is_stalled(self, now_ms: int, *, settled_ms: int, unmade: bool) -> bool:
        """Whether the engine has let the person wait in silence for too long.

        `settled_ms`: when all sent so far was heard; `unmade`: a turn lacks the rest of its sound.
        """
        if now_ms - self._last_word_ms < ENGINE_PATIENCE_MS:
            return False
        if now_ms - self._line_ms > LINE_THERE_MS or not (self.owes or unmade):
            return False
        return now_ms - settled_ms >= ENGINE_PATIENCE_MS

    def wants_filler(self, now_ms: int) -> bool:
        """Whether the person should hear that the answer takes a while; once an answer."""
        after_ms, since_ms = self._waits.filler_after_ms, self._waits_since_ms
        if not after_ms or self._filled or since_ms is None:
            return False
        return now_ms - since_ms >= after_ms

    def is_idle(self, now_ms: int) -> bool:
        """Whether the person should be asked if they are still there."""
        after_ms, since_ms = self._waits.idle_after_ms, self._quiet_since_ms
        if not after_ms or since_ms is None or self.owes:
            return False
        return now_ms - since_ms >= after_ms and now_ms - self._line_ms <= LINE_THERE_MS

    def _wait_from(self, now_ms: int) -> None:
        if self._waits_since_ms is None:
            self._waits_since_ms, self._filled = now_ms, False
