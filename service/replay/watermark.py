"""Sound that says of each of its milliseconds which turn it belongs to, and where in it.

Put in place of an engine's sound when a call is tried with faults: whatever the bridge does with
it, the caller's end can tell what was truly heard. Pure. It works through everything that passes
samples on unchanged; after a conversion it is gone, and what was said is only known as sound.
"""

from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from service.core.audio import AudioFrame, Encoding, MediaFormat

_MAGIC = b"\xc5\x3a\x91"
_CELL_BYTES = 8  # a millisecond of G.711
_WRAPS_MS = 1 << 24
_BLOCK_MS = 256
BLOCKS_KEPT = 2048
"""Two kilobytes each; every run of a matrix has the same turns."""
MOST_TURNS = 255
_MARKABLE = {Encoding.PCMU, Encoding.PCMA}


class Stretch(Struct, frozen=True):
    """Adjoining sound of one turn, from byte `at` on."""

    at: int
    turn: int
    from_ms: int
    length_ms: int


def can_mark(format_: MediaFormat) -> bool:
    """Whether a millisecond of this format can be told from another."""
    return format_.encoding in _MARKABLE and format_.sample_rate_hz == 8000


def marked(frame: AudioFrame, turn: int, position: int) -> AudioFrame:
    """The frame with a watermark for its sound; `position`: bytes of the turn before it."""
    if not can_mark(frame.format) or not 0 < turn <= MOST_TURNS:
        return frame
    first = position // _CELL_BYTES
    last = (position + len(frame.data)) // _CELL_BYTES
    blocks = range(first // _BLOCK_MS, last // _BLOCK_MS + 1)
    cells = b"".join(_block(turn, number) for number in blocks)
    skipped = position - blocks[0] * _BLOCK_MS * _CELL_BYTES
    data = cells[skipped : skipped + len(frame.data)]
    return AudioFrame(data, frame.format, frame.start_ms, frame.duration_ms, frame.party)


def stretches(data: bytes) -> Iterator[Stretch]:
    """The turns in a piece of sound; what lies between them belongs to none."""
    at = 0
    while (found := data.find(_MAGIC, at)) >= 0:
        cell = data[found : found + _CELL_BYTES]
        if not _is_cell(cell):
            at = found + 1
            continue
        turn, ms = cell[3], int.from_bytes(cell[4:7], "big")
        length_ms = _in_a_row(data, found, turn, ms)
        yield Stretch(found, turn, ms, length_ms)
        at = found + length_ms * _CELL_BYTES


def _in_a_row(data: bytes, at: int, turn: int, ms: int) -> int:
    """How many milliseconds follow each other from this one on: a block at once where it can be."""
    count = 1
    while True:
        begin = at + count * _CELL_BYTES
        block, cell = divmod(ms + count, _BLOCK_MS)
        expected = _block(turn, block)[cell * _CELL_BYTES :]
        there = data[begin : begin + len(expected)]
        whole = len(there) // _CELL_BYTES
        if whole and expected.startswith(there[: whole * _CELL_BYTES]):
            count += whole
        elif whole and expected.startswith(there[:_CELL_BYTES]):
            count += 1
        else:
            return count


@lru_cache(maxsize=BLOCKS_KEPT)
def _block(turn: int, number: int) -> bytes:
    first_ms = number * _BLOCK_MS
    return b"".join(_cell(turn, ms) for ms in range(first_ms, first_ms + _BLOCK_MS))


def _cell(turn: int, ms: int) -> bytes:
    said = bytes([turn]) + (ms % _WRAPS_MS).to_bytes(3, "big")
    return _MAGIC + said + bytes([sum(said) % 251])


def _is_cell(cell: bytes) -> bool:
    return len(cell) == _CELL_BYTES and cell[7] == sum(cell[3:7]) % 251
