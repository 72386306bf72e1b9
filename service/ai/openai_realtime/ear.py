"""Whose turn is it, where the Realtime server hears speech begin and end instead of us.

The same words are told as `Listener` tells. The server knows nothing of the agent's voice on the
line, so what begins while the agent is heard is suspected first: it counts when it is long, or
when its words are more than an "uh-huh".
"""

from collections.abc import Callable

from service.core.audio import AudioFrame
from service.core.events import SpeechDismissed, SpeechStarted, SpeechStopped, SpeechSuspected
from service.core.turn_taking import BurstEnded, Heard, TurnTaking
from service.core.wording import Backchannels


class TheirEar:
    """Follows one stream, all of which goes to the server."""

    def __init__(self, manners: TurnTaking, tell: Callable[[Heard], None]) -> None:
        self._manners = manners
        self._backchannels = Backchannels(manners.backchannels)
        self._tell = tell
        self._frames: list[AudioFrame] = []
        self._audible = False
        self._now_ms = 0  # media time heard
        self._start_ms: int | None = None  # of what is being said
        self._suspected = False
        self._burst_ms: int | None = None  # where what is suspected ended
        self._late: tuple[int, int] | None = None  # what was dismissed before its words came
        self._end_ms = 0

    # As a Listener -----------------------------------------------------------------------------

    def hear(self, frame: AudioFrame) -> None:
        """Every frame, in order."""
        self._frames.append(frame)
        self._now_ms = frame.start_ms + frame.duration_ms
        if self._start_ms is None or not self._suspected:
            return
        spoken_ms = self._now_ms - self._start_ms
        if self._burst_ms is None and spoken_ms >= self._manners.accept_ms:
            self._accept(self._start_ms)
        elif spoken_ms >= self._manners.decide_ms and self._burst_ms is not None:
            self._late = (self._start_ms, self._burst_ms)
            self._dismiss()

    def audible(self, audible: bool) -> None:
        """Whether the person hears the agent now."""
        self._audible = audible

    def said(self, text: str) -> None:
        """The server does not ask whose words it hears."""

    def understood(self, text: str, *, final: bool) -> None:
        """What the recogniser makes of the speech so far; "" and final: nothing."""
        harmless = self._backchannels.are_all_of if final else self._backchannels.may_become
        means_something = bool(text) and not harmless(text)
        if self._start_ms is None:
            self._understood_late(means_something)
        elif self._suspected and means_something:
            self._accept(self._start_ms)
        elif self._suspected and final and self._burst_ms is not None:
            self._dismiss()

    def take(self) -> list[AudioFrame]:
        """All that was heard since."""
        frames, self._frames = self._frames, []
        return frames

    def end(self) -> None:
        """No more frames come."""
        if self._start_ms is None:
            return
        if self._suspected:
            self._dismiss()
        else:
            self._stop(self._now_ms)

    # From the server ---------------------------------------------------------------------------

    def voice_began(self, start_ms: int) -> None:
        """Speech began at this media time."""
        if self._start_ms is not None:
            self._burst_ms = None  # what was suspected goes on
            return
        self._start_ms, self._late = start_ms, None
        self._suspected = self._audible
        self._tell(SpeechSuspected(start_ms) if self._audible else SpeechStarted(start_ms))

    def voice_ended(self, end_ms: int) -> None:
        """Speech ended at this media time; its utterance is still to come."""
        self._end_ms = end_ms

    def committed(self) -> None:
        """The server has made an utterance of what was said."""
        if self._start_ms is None:
            return
        if self._suspected:
            self._burst_ms = self._end_ms
            self._tell(BurstEnded(self._end_ms))
        else:
            self._stop(self._end_ms)

    def _understood_late(self, means_something: bool) -> None:
        """What was dismissed for want of words was a turn after all, if they mean something."""
        if self._late is not None and means_something:
            (start_ms, self._burst_ms), self._late = self._late, None
            self._accept(start_ms)

    def _accept(self, start_ms: int) -> None:
        self._suspected = False
        self._tell(SpeechStarted(start_ms))
        if self._burst_ms is not None:
            self._stop(self._burst_ms)

    def _stop(self, end_ms: int) -> None:
        self._start_ms = self._burst_ms = None
        self._tell(SpeechStopped(end_ms))

    def _dismiss(self) -> None:
        self._start_ms = self._burst_ms = None
        self._suspected = False
        self._tell(SpeechDismissed())
