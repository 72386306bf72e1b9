"""Sound that says of each of its milliseconds which turn it belongs to, and where in it.

Put in place of an engine's sound when a call is tried with faults: whatever the bridge does with
it, the caller's end can tell what was truly heard. Pure. It works through everything that passes
samples on unchanged; after a conversion it is gone, and what was said is only known as sound.
"""

from collections.abc import Iterator

from msgspec import Struct

from service.core.audio import AudioFrame, Encoding, MediaFormat

_MAGIC = b"\xc5\x3a\x91"
_CELL_BYTES = 8  # a millisecond of G.711
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
    cells = b"".join(_cell(turn, ms) for ms in range(first, last + 1))
    skipped = position - first * _CELL_BYTES
    data = cells[skipped : skipped + len(frame.data)]
    return AudioFrame(data, frame.format, frame.start_ms, frame.duration_ms, frame.party)


def stretches(data: bytes) -> Iterator[Stretch]:
    """The turns in a piece of sound; what lies between them belongs to none."""
    at = 0
    open_: Stretch | None = None
    while True:
        found = data.find(_MAGIC, at)
        cell = data[found : found + _CELL_BYTES] if found >= 0 else b""
        if found >= 0 and not _is_cell(cell):
            at = found + 1
            continue
        end = found if found >= 0 else len(data)
        behind = open_ is not None and end == open_.at + open_.length_ms * _CELL_BYTES
        if open_ is not None and (found < 0 or not behind or not _goes_on(open_, cell)):
            yield open_
            open_ = None
        if found < 0:
            return
        turn, ms = cell[3], int.from_bytes(cell[4:7], "big")
        if open_ is None:
            open_ = Stretch(found, turn, ms, 1)
        else:
            open_ = Stretch(open_.at, turn, open_.from_ms, open_.length_ms + 1)
        at = found + _CELL_BYTES


def _goes_on(stretch: Stretch, cell: bytes) -> bool:
    ms = int.from_bytes(cell[4:7], "big")
    return cell[3] == stretch.turn and ms == stretch.from_ms + stretch.length_ms


def _cell(turn: int, ms: int) -> bytes:
    said = bytes([turn]) + ms.to_bytes(3, "big")
    return _MAGIC + said + bytes([sum(said) % 251])


def _is_cell(cell: bytes) -> bool:
    return len(cell) == _CELL_BYTES and cell[7] == sum(cell[3:7]) % 251
