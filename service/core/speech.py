"""What a person is saying, or was taken for saying: its sound so far, and what was understood.

Holds no rule about turns; `TurnTaker` has those. Times are media time.
"""

from typing import Final

from msgspec import Struct

from service.core.onset import BLOCK_MS
from service.core.wording import Pace, pace_of, words_of

_STILL_LOUD_RATIO: Final = 1.8  # 5 dB above the floor are enough to go on speaking
_RECENT_MASK: Final = (1 << 6) - 1  # 120 ms of blocks, the newest in the lowest bit
_CHECK_BURST_MS: Final = 160
_CHECK_TURN_MS: Final = 1000  # unbroken: speech pauses sooner, music and engines do not
_SHORT_MS: Final = 700
_SPELLS_FROM: Final = 2


class Speech(Struct):
    """From its first loud block on."""

    start_ms: int
    voiced_end_ms: int
    suspected: bool
    run_ms: int  # where the sound since the last sign of an end began
    checked_ms: int  # since when the judge need not be asked again
    recent: int = _RECENT_MASK  # one bit a block
    trusted: bool = True  # loudness is taken for voice
    signed: bool = False  # the first sign of its end was told
    short_runs: int = 0  # so many short sounds in a row, with pauses between
    peak: int = 0  # loudness of its loudest block
    text: str = ""
    text_ms: int = -1
    pace: Pace = Pace.USUAL
    due_ms: int | None = None  # when it counts after all, though it was dismissed

    @classmethod
    def begun(cls, start_ms: int, now_ms: int, *, suspected: bool) -> "Speech":
        """Speech that was just noticed."""
        return cls(start_ms, now_ms, suspected, start_ms, now_ms)

    @staticmethod
    def least(floor: float) -> float:
        """The loudness that a block of it has at least."""
        return floor * _STILL_LOUD_RATIO

    def hear(self, level: int, least: float, now_ms: int) -> bool:
        """Take a block; whether the sound goes on with it. One loud block alone is a click."""
        voiced = level >= least
        self.recent = (self.recent << 1 | voiced) & _RECENT_MASK
        if not voiced and not self.suspected:
            self.checked_ms = now_ms
        return voiced and (self.recent & 0b111).bit_count() >= 2

    def voice(self, level: int, now_ms: int) -> None:
        """The block just heard is part of it."""
        self.voiced_end_ms = now_ms
        self.peak = max(self.peak, level)

    def check_due(self, now_ms: int) -> bool:
        """Whether it is time to ask if all this loudness is a voice; said once."""
        every_ms = _CHECK_BURST_MS if self.suspected else _CHECK_TURN_MS
        if now_ms - self.checked_ms < every_ms:
            return False
        self.checked_ms = now_ms
        return True

    @property
    def proposed(self) -> bool:
        """It may be going on: worth a closer look."""
        return (self.recent & 0b11111).bit_count() >= 3

    @property
    def plain(self) -> bool:
        """It goes on, as far as loudness alone can tell."""
        return self.recent.bit_count() >= 4

    @property
    def resumed_ms(self) -> int:
        """How long ago the loudness that may be more of it began."""
        return self.recent.bit_length() * BLOCK_MS

    def sign(self) -> None:
        """The first sign of its end was told: further loudness must prove to be a voice."""
        self.signed = True
        self.trusted = False
        self.recent = 0

    def resume(self, now_ms: int) -> bool:
        """It goes on; whether a sign of its end had been told."""
        signed, self.signed = self.signed, False
        if signed:
            short = self.voiced_end_ms - self.run_ms <= _SHORT_MS
            self.short_runs = self.short_runs + 1 if short else 0
            self.run_ms = now_ms
        self.trusted = True
        self.voiced_end_ms = self.checked_ms = now_ms
        return signed

    def understood(self, text: str, now_ms: int) -> None:
        """What it says so far."""
        if words_of(text):
            self.text, self.text_ms, self.pace = text, now_ms, pace_of(text)

    @property
    def length_ms(self) -> int:
        """Up to its last voice."""
        return self.voiced_end_ms - self.start_ms

    @property
    def complete(self) -> bool:
        """Its words sound complete, and it was silent since they came."""
        return self.pace is Pace.QUICK and self.text_ms >= self.voiced_end_ms

    @property
    def patient(self) -> bool:
        """It plainly goes on: by its words, else by a rhythm like that of spelling."""
        if self.text:
            return self.pace is Pace.PATIENT
        return self.short_runs >= _SPELLS_FROM

    def shift(self, by_ms: int) -> None:
        """Time begins anew."""
        self.start_ms += by_ms
        self.voiced_end_ms += by_ms
        self.run_ms += by_ms
        self.checked_ms += by_ms
        self.text_ms += by_ms
        if self.due_ms is not None:
            self.due_ms += by_ms
