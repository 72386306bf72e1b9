"""When to ask the judge of voices, and when to do without it.

One question at a time, sparingly: at once when something begins, ever more seldom while the same
noise goes on. Time is media time.
"""

from typing import Final

from service.core.turn_taking import VoiceAsked

JUDGE_MOST_MS: Final = 60
"""A judge that takes longer is done without."""
SURELY_VOICE: Final = 0.9
"""Of a sound that has just begun, this probability proves that it is a voice ..."""
VOICE: Final = 0.75
"""... this one must come twice: half of all coughs have it once ..."""
NO_VOICE: Final = 0.1
"""... and below this one it surely is none."""
SOUND_MOST_MS: Final = 320
_BEFORE_MS: Final = 70  # a judge needs some of the quiet before a sound, too
_AGAIN_MS: Final = (20, 20, 20, 20, 20, 20, 60, 60, 120, 240)
"""From one answer that helped nothing to the next question; the last for ever."""


class Asking:
    """The questions about one stream."""

    def __init__(self) -> None:
        self.alone = False  # the judge did not answer: loudness decides until things settle
        self._number = 0
        self._asked_ms: int | None = None
        self._from_ms: int | None = None
        self._tries = 0
        self.half_sure = False  # an answer made a voice likely

    def afresh(self) -> None:
        """Something else begins: an answer that is still to come is about what is past."""
        self.alone = False
        self._asked_ms = self._from_ms = None
        self._tries = 0
        self.half_sure = False

    def ask(self, now_ms: int, sound_ms: int) -> list[VoiceAsked]:
        """A question, when it is time for one, about a sound that began so long ago."""
        waits = self._from_ms is not None and now_ms < self._from_ms
        if self.alone or waits or self._asked_ms is not None:
            return []
        self._number += 1
        self._asked_ms = now_ms
        self._tries += 1
        return [VoiceAsked(self._number, now_ms - min(sound_ms + _BEFORE_MS, SOUND_MOST_MS))]

    def answered(self, number: int) -> bool:
        """Take an answer; False when nobody waits for it any more."""
        if self._asked_ms is None or number != self._number:
            return False
        self._asked_ms = None
        return True

    def proves_voice(self, probability: float) -> bool:
        """Whether this answer, with those before it, proves that a voice has begun."""
        likely = probability >= VOICE
        proven = probability >= SURELY_VOICE or (likely and self.half_sure)
        self.half_sure = self.half_sure or likely
        return proven

    def again(self, now_ms: int) -> None:
        """The answer settled nothing: ask again later."""
        self._from_ms = now_ms + _AGAIN_MS[min(self._tries, len(_AGAIN_MS)) - 1]

    def give_up_if_late(self, now_ms: int) -> None:
        """Do without the judge when it has taken too long."""
        if self._asked_ms is not None and now_ms - self._asked_ms >= JUDGE_MOST_MS:
            self._asked_ms = None
            self.alone = True

    @property
    def first(self) -> bool:
        """Whether the first answer is still to come."""
        return self._asked_ms is not None and self._tries == 1
