"""Writes one cassette as its lines come, in the order of time, compressed; runs off the event loop.

The file has another name until it is whole: what a process that died leaves behind ends in `.part`
and is no cassette. Lines wait for three seconds, so that one that comes late still finds its place.
"""

import heapq
import os
from collections.abc import Callable
from pathlib import Path

import zstandard
from msgspec import Struct

from service.cassettes.cassette import CassetteError, Header, Line, encode
from service.cassettes.files import FILE_MOST_BYTES, LINE_MOST_BYTES
from service.cassettes.redaction import Redactor

HELD_MS = 3000
"""How late a line may come: a webhook is known to be this call's when it has been answered, and a
call's end is written down when the carrier has had its word."""

HELD_LINES = 2000
"""And how many lines wait at most: several times as many as so much of a call has."""

WINDOW_LOG = 17
"""128 KiB of history: base64 of sound does not repeat, and each call under way holds this."""

TABLE_LOG = 14

Order = tuple[int, int]
"""When, in ms of the service's clock, and which of those at the same time."""

Make = Callable[[int], Line | list[Line]]
"""Makes lines, given the milliseconds since the cassette began."""


class Sheet(Struct, frozen=True):
    """What a cassette is to be: its name without suffix, and its header, given when it began."""

    name: str
    header: Callable[[int], Header]


class Writer:
    """One cassette in the making. OSError, CassetteError when it cannot be written."""

    def __init__(self, folder: Path, sheet: Sheet, redactor: Redactor) -> None:
        self._folder = folder
        self._sheet = sheet
        self._redactor = redactor
        self._held: list[tuple[Order, Make]] = []
        self._zero_ms: int | None = None
        self._last_ms = 0
        self._size_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._part = folder / f"{sheet.name}.{os.getpid()}.part"
        parameters = zstandard.ZstdCompressionParameters.from_level(
            3, window_log=WINDOW_LOG, hash_log=TABLE_LOG, chain_log=TABLE_LOG, write_checksum=True
        )
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        self._pack = compressor.compressobj()
        self._file = self._part.open("xb")

    def add(self, order: Order, make: Make) -> None:
        """Something to be written in its place."""
        heapq.heappush(self._held, (order, make))

    def write(self, now_ms: int) -> None:
        """Write what no late line can come before any more."""
        while self._held and self._is_ripe(now_ms):
            self._write_first()

    def finish(self) -> Path:
        """Write the rest; from then on it is a cassette, under the name that is returned."""
        while self._held:
            self._write_first()
        self._file.write(self._pack.flush())
        self._file.close()
        return self._publish()

    def abandon(self) -> None:
        """Write no more: it stays what it is, a part."""
        self._held.clear()
        self._file.close()

    def _is_ripe(self, now_ms: int) -> bool:
        return self._held[0][0][0] <= now_ms - HELD_MS or len(self._held) > HELD_LINES

    def _write_first(self) -> None:
        (now_ms, _), make = heapq.heappop(self._held)
        if self._zero_ms is None:
            self._zero_ms = now_ms
            self._write_row(self._redactor.header(self._sheet.header(now_ms)))
        self._last_ms = max(self._last_ms, now_ms - self._zero_ms)
        made = make(self._last_ms)
        for line in made if isinstance(made, list) else [made]:
            self._write_row(self._redactor.line(line))

    def _write_row(self, row: Header | Line) -> None:
        encoded = encode(row)
        self._size_bytes += len(encoded)
        if len(encoded) > LINE_MOST_BYTES or self._size_bytes > FILE_MOST_BYTES:
            raise CassetteError("cassette.too_long", "longer than a cassette may be")
        self._file.write(self._pack.compress(encoded))

    def _publish(self) -> Path:
        """Another instance, or an earlier part of this call, may have the name already."""
        number = 1
        while not self._take_name(path := self._path(number)):
            number += 1
        self._part.unlink()
        return path

    def _path(self, number: int) -> Path:
        suffix = "" if number == 1 else f".{number}"
        return self._folder / f"{self._sheet.name}{suffix}.jsonl.zst"

    def _take_name(self, path: Path) -> bool:
        try:
            os.link(self._part, path)
        except FileExistsError:
            return False
        return True
