"""Has somebody begun to speak, as far as loudness tells? And how loud is the agent's own echo?

Takes the loudness of blocks of 20 ms, one after the other; says when to look closer, and what to
think when nobody can. Loudness is the RMS of 16 bit samples.
"""

from typing import Final

BLOCK_MS: Final = 20

_WINDOW_MASK: Final = (1 << 10) - 1  # 200 ms of blocks, the newest in the lowest bit
_NEWEST_MASK: Final = (1 << 6) - 1
_PROPOSED_BLOCKS: Final = 4  # 80 ms loud among the newest 120: a voice may have begun
_STANDING_BLOCKS: Final = 3
_PLAIN_BLOCKS: Final = 6  # 120 ms of them loud: a click of 80 ms touches five at most
_MOVING_BLOCKS: Final = 3  # a step from silence to steady noise moves two at most
_MOVING_RATIO: Final = 1.35  # steady noise varies by 8 % from block to block (one sigma)
_SURELY_SPEECH: Final = 1500  # -27 dBFS: comfort noise is never so loud
_MAX_GAP_BLOCKS: Final = 64

_LOUD_RATIO: Final = 2.5  # 8 dB above the floor is loud


class Onset:
    """The pattern of the last loud blocks while nobody speaks."""

    def __init__(self) -> None:
        self._loud = 0  # one bit a block
        self._moving = 0
        self._level = 0

    def hear(self, level: int, least: float) -> bool:
        """Take a block that is loud from `least` on. Whether any of the window is."""
        before, self._level = self._level, level
        if level < least:
            if self._loud:
                self._loud = self._loud << 1 & _WINDOW_MASK
                self._moving = self._moving << 1 & _WINDOW_MASK
            return self._loud != 0
        moving = level > before * _MOVING_RATIO or before > level * _MOVING_RATIO
        self._loud = (self._loud << 1 | 1) & _WINDOW_MASK
        self._moving = (self._moving << 1 | moving) & _WINDOW_MASK
        return True

    def skip(self, blocks: int) -> None:
        """What was not heard was not loud."""
        shift = min(blocks, _MAX_GAP_BLOCKS)
        self._loud = self._loud << shift & _WINDOW_MASK
        self._moving = self._moving << shift & _WINDOW_MASK

    def forget(self) -> None:
        """Begin anew."""
        self._loud = self._moving = 0

    @property
    def proposed(self) -> bool:
        """A closer look is worth it, and the sound is there still."""
        return bool(self._loud & 1) and self._count() >= _PROPOSED_BLOCKS

    @property
    def standing(self) -> bool:
        """What was proposed has not gone meanwhile."""
        return self._loud & 0b11 != 0 and self._count() >= _STANDING_BLOCKS

    @property
    def plain(self) -> bool:
        """Speech, as far as loudness alone can tell."""
        moves = self._level >= _SURELY_SPEECH or self._moving.bit_count() >= _MOVING_BLOCKS
        return moves and bool(self._loud & 1) and self._loud.bit_count() >= _PLAIN_BLOCKS

    @property
    def blocks(self) -> int:
        """From the first loud block of the window until now."""
        return self._loud.bit_length()

    def _count(self) -> int:
        return (self._loud & _NEWEST_MASK).bit_count()


_ECHO_RATIO: Final = 1.4  # 3 dB above the loudest echo is somebody else
_ECHO_ASSUMED: Final = 1300  # with that ratio -25 dBFS: louder than most echoes, not than callers
_ECHO_MOST: Final = 4000  # -18 dBFS: who is louder than 3 dB above is never taken for it
_ECHO_BLOCKS: Final = 100  # the echo is the most loudness of the last 2 to 4 s of the agent's voice
_TAIL_BLOCKS: Final = 15  # 300 ms: the way to the person and back
_UNKNOWN_BLOCKS: Final = 60


class EchoFloor:
    """How loud the agent's own voice comes back from the line, learnt while it is heard.

    Until it was heard for 1.2 s, it is taken for as loud as a bad line makes it.
    """

    def __init__(self, *, on: bool) -> None:
        self.level = 0  # of the echo that is to be expected now; 0: none
        self._on = on
        self._audible = False
        self._tail = 0
        self._most_before, self._most = _ECHO_ASSUMED, 0
        self._blocks = _ECHO_BLOCKS - _UNKNOWN_BLOCKS
        self._unknown = _UNKNOWN_BLOCKS

    @property
    def unknown(self) -> bool:
        """Whether the agent was not heard for long enough to know its echo."""
        return self._on and self._unknown > 0

    def audible(self, audible: bool) -> None:
        """Whether the person hears the agent now."""
        if self._audible and not audible:
            self._tail = _TAIL_BLOCKS
        self._audible = audible
        self._expect()

    def least(self, floor: float) -> float:
        """From which loudness on a block is somebody's voice."""
        return max(floor * _LOUD_RATIO, self.level * _ECHO_RATIO)

    def hear(self, level: int) -> None:
        """A block while an echo is to be expected; 0 for one with a person's voice."""
        if not self._audible:
            self._tail -= 1
            if not self._tail:
                self._expect()
            return
        self._most = max(self._most, min(level, _ECHO_MOST))
        self._unknown -= self._unknown > 0
        self._blocks += 1
        if self._blocks == _ECHO_BLOCKS:
            self._most_before, self._most, self._blocks = self._most, 0, 0
        self._expect()

    def learn(self, level: int) -> None:
        """What was just heard so loud was the echo."""
        self._most = max(self._most, min(level, _ECHO_MOST))
        self._expect()

    def _expect(self) -> None:
        expected = self._on and (self._audible or self._tail > 0)
        self.level = max(self._most, self._most_before) if expected else 0
