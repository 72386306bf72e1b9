"""One answer of the model's, from being asked for to what the caller heard of it.

Server events in, the turn's own events out. An answer that is held is made and not told: whether
the caller's turn is over is not certain yet. It sends nothing and knows no clock.
"""

from collections.abc import Iterator

from msgspec import Struct

from service.ai.captions import Captions
from service.ai.openai import orders
from service.ai.openai.events import ToolAsked
from service.ai.openai.orders import Order
from service.ai.spoken import FRAME_MS, Word
from service.core.audio import FRAME_MS as LEAST_MS
from service.core.audio import SILENCE_BYTE, AudioFrame, MediaFormat, Party
from service.core.events import EngineEvent, TurnAudio, TurnEnded, TurnId, TurnStarted, TurnText
from service.media.convert import Converter
from service.media.frames import frame_bytes


class Item(Struct):
    """A part of the answer with sound, and its place in the turn."""

    item_id: str
    captions: Captions
    begin_ms: int
    received_bytes: int = 0
    complete: bool = False


class Reply:
    """What the model says as one turn. `exact` is what it was told to say word for word."""

    def __init__(
        self,
        turn_id: TurnId,
        theirs: MediaFormat,
        line: MediaFormat,
        *,
        weight_ms: float,
        exact: str = "",
        held: bool = False,
        with_tools: bool = True,
    ) -> None:
        self.turn_id = turn_id
        self.exact = exact
        self.held = held
        self.with_tools = with_tools
        self.elsewhere = False  # the session that made it is gone
        self.response_id: str | None = None
        self.tools: list[ToolAsked] = []
        self.remote = 0  # tools of it that the server calls itself
        self.tools_run = False
        self.over = False
        self.began = False  # something of it is there
        self.cut_ms: int | None = None  # the caller heard no more of it
        self.first_audio_s: float | None = None  # loop time at which it was told
        self.weight_ms = weight_ms
        self._theirs = theirs
        self._cutter = Cutter(theirs, line)
        self._items: dict[str, Item] = {}
        self._others: dict[str, None] = {}  # items without sound, in order
        self._line = line

    @property
    def order(self) -> Order:
        """What asks for it."""
        if self.exact:
            return orders.say(self.turn_id, self.exact)
        return orders.answer(self.turn_id, with_tools=self.with_tools)

    @property
    def text(self) -> str:
        """Its words so far."""
        return " ".join(t for item in self._items.values() if (t := item.captions.text.strip()))

    @property
    def made_ms(self) -> int:
        """How much sound of it there is."""
        return self._cutter.made_ms

    def again(self) -> "Reply":
        """The same, to be asked for once more."""
        return Reply(
            self.turn_id,
            self._theirs,
            self._line,
            weight_ms=self.weight_ms,
            exact=self.exact,
            held=self.held,
            with_tools=self.with_tools,
        )

    # What comes of it --------------------------------------------------------------------------

    def add(self, item_id: str) -> None:
        """The answer has this item."""
        if item_id not in self._items:
            self._others[item_id] = None

    def sound(self, item_id: str, data: bytes) -> list[EngineEvent]:
        """More sound."""
        item = self._item(item_id)
        frames = self._cutter.push(data)
        item.received_bytes += len(data)
        for frame in frames:
            item.captions.hear(frame.data)
        return [*self._begin(), *(TurnAudio(self.turn_id, frame) for frame in frames)]

    def words(self, item_id: str, text: str) -> list[EngineEvent]:
        """More text."""
        self._item(item_id).captions.read(text)
        return self._begin()

    def complete(self, item_id: str, *, broken: bool = False) -> list[EngineEvent]:
        """All of the item's sound is there; `broken`: though more was to come."""
        item = self._items.get(item_id)
        if item is None or item.complete:
            return []
        item.complete = True
        frames = self._cutter.flush()
        for frame in frames:
            item.captions.hear(frame.data)
        words = item.captions.break_off() if broken else item.captions.complete()
        self.weight_ms = item.captions.weight_ms
        return [*self._texts(words), *(TurnAudio(self.turn_id, frame) for frame in frames)]

    def due(self, played_ms: int) -> list[EngineEvent]:
        """Text whose sound may be heard soon."""
        events: list[EngineEvent] = []
        for item in self._items.values():
            if not item.complete:
                events += self._texts(item.captions.due(played_ms))
        return events

    def finish(self, *, broken: bool = False) -> list[EngineEvent]:
        """Nothing more comes; `broken`: though it was not all."""
        self.over = True
        events = [e for item_id in [*self._items] for e in self.complete(item_id, broken=broken)]
        return [*events, TurnEnded(self.turn_id)] if self.began else []

    # What the caller heard of it -----------------------------------------------------------------

    def cut(self) -> Iterator[Order]:
        """The model's memory of this answer ends where `cut_ms` says."""
        for item in self._items.values():
            heard_ms = (self.cut_ms or 0) - item.begin_ms
            if heard_ms <= 0:
                yield orders.delete(item.item_id)
            elif heard_ms < self._theirs.duration_ms(item.received_bytes):
                yield orders.truncate(item.item_id, heard_ms)
        asked = {tool.item_id for tool in self.tools}
        for item_id in self._others:
            if (item_id in asked and not self.tools_run) or not (item_id in asked or self.cut_ms):
                yield orders.delete(item_id)

    def _item(self, item_id: str) -> Item:
        item = self._items.get(item_id)
        if item is None:
            self._others.pop(item_id, None)
            begin_ms = self._cutter.made_ms
            captions = Captions(self._line, begin_ms=begin_ms, weight_ms=self.weight_ms)
            item = self._items[item_id] = Item(item_id, captions, begin_ms)
        return item

    def _begin(self) -> list[EngineEvent]:
        if self.began:
            return []
        self.began = True
        return [TurnStarted(self.turn_id)]

    def _texts(self, words: list[Word]) -> list[EngineEvent]:
        return [TurnText(self.turn_id, word.text, word.start_ms) for word in words]


class Cutter:
    """Sound of any length as frames for the line: at once, in pieces of 20 to 60 ms.

    Where both formats are the same the bytes go through untouched.
    """

    def __init__(self, theirs: MediaFormat, line: MediaFormat) -> None:
        self.made_ms = 0
        self._theirs = theirs
        self._line = line
        self._converter = Converter(theirs, line)
        self._odd = b""  # half a sample: servers cut where they like
        self._rest = b""

    def push(self, data: bytes) -> list[AudioFrame]:
        """What can be sent now."""
        if not self._converter.identity:
            data = self._odd + data
            end = len(data) - len(data) % 2
            data, self._odd = data[:end], data[end:]
            data = self._converter.convert(data)
        return self._cut(self._rest + data)

    def flush(self) -> list[AudioFrame]:
        """The rest, filled up with silence; what comes next begins anew."""
        data = self._rest + self._converter.flush()
        missing = -len(data) % frame_bytes(self._line, LEAST_MS)
        self._converter = Converter(self._theirs, self._line)
        self._odd = b""
        return self._cut(data + SILENCE_BYTE.get(self._line.encoding, b"\x00") * missing)

    def _cut(self, data: bytes) -> list[AudioFrame]:
        frames: list[AudioFrame] = []
        most, least = (frame_bytes(self._line, ms) for ms in (FRAME_MS, LEAST_MS))
        at = 0
        while len(data) - at >= least:
            size = min(most, (len(data) - at) // least * least)
            duration_ms = size * LEAST_MS // least
            piece = data[at : at + size]
            frames.append(AudioFrame(piece, self._line, self.made_ms, duration_ms, Party.AGENT))
            self.made_ms += duration_ms
            at += size
        self._rest = data[at:]
        return frames
