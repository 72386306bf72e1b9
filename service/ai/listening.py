"""Listens to the person on the line for an engine: when do they speak, and with what sound?

Keeps the sound from a little before the first voice on, so that no first word is lost, and never
more than half a minute that nobody took. `TurnTaker` decides; this feeds it and tells.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from service.core.audio import AudioFrame, MediaFormat
from service.core.events import SpeechDismissed, SpeechStarted, SpeechStopped, SpeechSuspected
from service.core.turn_taker import Told, TurnTaker
from service.core.turn_taking import Heard, TurnTaking, VoiceAsked
from service.media.gauge import Gauge
from service.media.voice import Judge

LEAD_IN_MS: Final = 300
"""Sound kept from before the first voiced block: words begin softly."""
KEPT_MOST_MS: Final = 30_000

_RECENT_FRAMES: Final = 50  # a second, as carriers send it: an onset is dated back by 200 ms


class Listener:
    """Follows one stream and tells what is heard, in the order of `Heard`'s own words.

    `tell` is called from within `hear`, `understood`, `audible`, `end`, or when the judge
    answers, always on the loop's thread; it may call back. Without a judge loudness decides.
    """

    def __init__(
        self,
        audio_format: MediaFormat,
        manners: TurnTaking,
        tell: Callable[[Heard], None],
        *,
        judge: Judge | None,
    ) -> None:
        self._format = audio_format
        self._taker = TurnTaker(manners)
        self._gauge = Gauge(audio_format)
        self._judge = judge
        self._tell = tell
        self._untold: deque[Told] = deque()
        self._telling = False
        self._recent: deque[AudioFrame] = deque(maxlen=_RECENT_FRAMES)
        self._fresh = 0  # so many of the recent frames belong to no utterance yet
        self._under_way = False
        self._started_ms = 0
        self._kept: deque[AudioFrame] = deque()
        self._kept_ms = 0

    def hear(self, frame: AudioFrame) -> None:
        """Every frame, in order; time is the frames' own media time."""
        self._recent.append(frame)
        if self._under_way:
            self._keep(frame)
        else:
            self._fresh += 1
        gauge = self._gauge
        for level in gauge.levels(frame):
            if gauge.missing_blocks:
                self._taker.missing(gauge.missing_blocks)
                gauge.missing_blocks = 0
            told = self._taker.block(gauge.end_ms, level, gauge.floor)
            if told:
                self._pass_on(told)

    def audible(self, audible: bool) -> None:
        """Whether the person hears the agent now."""
        self._pass_on(self._taker.audible(audible))

    def said(self, text: str) -> None:
        """The agent is saying this: its own words coming back from the line are no caller."""
        self._taker.said(text)

    def understood(self, text: str, *, final: bool) -> None:
        """What the recogniser makes of the speech so far; "" and final: nothing.

        Of the speech that began last: never of a turn whose SpeechStopped was followed by more.
        """
        self._pass_on(self._taker.understood(text, final=final))

    def take(self) -> list[AudioFrame]:
        """The frames of the utterance under way that were not taken yet, from 300 ms before its
        first sound on; [] when there is none. What is left after its end may be taken until
        the next one begins.
        """
        frames = [*self._kept]
        self._kept.clear()
        self._kept_ms = 0
        return frames

    def end(self) -> None:
        """No more frames come: what is being said ends here."""
        self._pass_on(self._taker.end())

    def _pass_on(self, told: Sequence[Told]) -> None:
        """Tell one after the other, also when a listener calls back in the middle of it."""
        self._untold.extend(told)
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                self._tell_one(self._untold.popleft())
        finally:
            self._telling = False

    def _tell_one(self, told: Told) -> None:
        if isinstance(told, VoiceAsked):
            self._ask(told)
            return
        if isinstance(told, SpeechSuspected | SpeechStarted) and not self._under_way:
            self._open(told.start_ms)
        elif isinstance(told, SpeechDismissed | SpeechStopped):
            self._under_way = False
        self._tell(told)

    def _open(self, start_ms: int) -> None:
        if start_ms != self._started_ms:  # else: what was dismissed was a turn after all
            self._kept.clear()
            self._kept_ms = 0
        self._under_way, self._started_ms = True, start_ms
        for frame in self._back_to(start_ms - LEAD_IN_MS, most=self._fresh):
            self._keep(frame)
        self._fresh = 0

    def _keep(self, frame: AudioFrame) -> None:
        self._kept.append(frame)
        self._kept_ms += frame.duration_ms
        while self._kept_ms > KEPT_MOST_MS:
            self._kept_ms -= self._kept.popleft().duration_ms

    def _back_to(self, media_ms: int, *, most: int) -> list[AudioFrame]:
        """The newest frames, from this time on; where time began anew, from there on."""
        found: list[AudioFrame] = []
        for frame in islice(reversed(self._recent), most):
            later = not found or frame.start_ms < found[-1].start_ms
            if not later or frame.start_ms + frame.duration_ms <= media_ms:
                break
            found.append(frame)
        return found[::-1]

    def _ask(self, asked: VoiceAsked) -> None:
        def answered(probability: float | None) -> None:
            self._pass_on(self._taker.judged(asked.number, probability))

        frames = self._back_to(asked.since_ms, most=_RECENT_FRAMES)
        sound = b"".join(frame.data for frame in frames)
        if self._judge is None or not self._judge.ask(sound, self._format, answered):
            answered(None)
