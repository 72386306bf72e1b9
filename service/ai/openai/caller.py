"""What the person on the line says, as the server gets it and as it comes back in words.

Sound goes to the server in pieces of 60 ms and more; a commit makes an utterance of it, an item
whose text comes later. One turn may have several utterances. Sound is kept until its text is
there, so that a new session can be given it again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from service.ai.openai import orders
from service.ai.openai.orders import Order
from service.core.audio import SILENCE_BYTE, AudioFrame, MediaFormat
from service.media.convert import Converter
from service.media.frames import frame_bytes

PIECE_MS = 60
"""Of sound in one message: 20 ms ones cost three times as much, longer ones come late."""
COMMIT_LEAST_MS = 100
"""OpenAI refuses to make an item of less."""
KEPT_MOST_MS = 60_000
HELD_MOST_MS = 6000
"""A new session is there by then, or the conversation goes on elsewhere."""


class Utterance:
    """Some speech that is, or will be, one item of the conversation."""

    def __init__(self, sound: bytes = b"") -> None:
        self.sound = sound
        self.item_id: str | None = None
        self.text: str | None = None  # None until it is known
        self.partial = ""
        self.unwanted = False

    @property
    def words(self) -> str:
        """What is known of its text."""
        return self.partial.strip() if self.text is None else self.text


class Caller:
    """One call's person. `send` takes orders and sound for the server."""

    def __init__(
        self,
        hears: MediaFormat,
        theirs: MediaFormat,
        send: Callable[[Order | str], None],
        *,
        keeps: bool,
    ) -> None:
        self._send = send
        self._theirs = theirs
        self._converter = Converter(hears, theirs)
        self._keeps = keeps  # False where the server makes the utterances, from all sound
        self._piece = bytearray()
        self._piece_bytes = frame_bytes(theirs, PIECE_MS)
        self._open = bytearray()  # sent, and in no utterance yet
        self._open_bytes = 0
        self._commits = 0
        self._unnamed: deque[Utterance] = deque()  # committed, the server has not said as what
        self._named: dict[str, Utterance] = {}  # whose text is not there
        self.turn: list[Utterance] = []  # what is being said now
        self._doubtful: list[Utterance] = []  # what was dismissed last
        self._streamed_bytes = 0
        self.holds = False  # there is no session: what the server would make utterances of waits

    # Sound -------------------------------------------------------------------------------------

    def say(self, frames: list[AudioFrame]) -> None:
        """More of what the person says."""
        for frame in frames:
            self._piece += self._converter.convert(frame.data)
        if self.holds and not self._keeps:
            del self._piece[: -frame_bytes(self._theirs, HELD_MOST_MS)]
        elif len(self._piece) >= self._piece_bytes:
            self.flush()

    def flush(self) -> None:
        """Send what waits for more."""
        piece = bytes(self._piece)
        self._piece.clear()
        if not piece:
            return
        self._open_bytes += len(piece)
        self._streamed_bytes += len(piece)
        if self._keeps:
            self._open += piece
            del self._open[: -frame_bytes(self._theirs, KEPT_MOST_MS)]
        self._send(orders.hear(piece))

    def commit(self) -> None:
        """What was said so far is an utterance; nothing happens when there is no sound."""
        self.flush()
        if not self._open_bytes:
            return
        missing = frame_bytes(self._theirs, COMMIT_LEAST_MS) - self._open_bytes
        if missing > 0:
            self._piece += SILENCE_BYTE[self._theirs.encoding] * missing
            self.flush()
        utterance = Utterance(bytes(self._open))
        self._forget_open()
        self._commits += 1
        self._unnamed.append(utterance)
        self.turn.append(utterance)
        self._send(orders.commit(self._commits))

    def dismiss(self) -> None:
        """What is being said was not meant for the agent; it may yet turn out that it was."""
        self.forget_doubtful()
        self._piece.clear()
        if self._open_bytes and self._keeps:
            self._send(orders.clear())
        self._forget_open()
        self._doubtful, self.turn = self.turn, []

    def take_back(self) -> None:
        """What was dismissed last was meant for the agent after all."""
        self.turn, self._doubtful = [*self._doubtful, *self.turn], []

    def forget_doubtful(self) -> None:
        """The model is not to remember what was dismissed."""
        for utterance in self._doubtful:
            utterance.unwanted = True
            if utterance.item_id is not None:
                self._send(orders.delete(utterance.item_id))
        self._doubtful = []

    def close(self) -> list[Utterance]:
        """The turn is over; all of it is committed. Gives what it is made of."""
        turn, self.turn = self.turn, []
        return turn

    # Words -------------------------------------------------------------------------------------

    @property
    def streamed_ms(self) -> int:
        """How much sound this session has been, or will soon have been, sent."""
        return self._theirs.duration_ms(self._streamed_bytes + len(self._piece))

    @property
    def words(self) -> str:
        """What is known of the turn, or of what was dismissed last."""
        spoken = self.turn or self._doubtful
        return " ".join(utterance.words for utterance in spoken if utterance.words)

    def is_open(self, utterance: Utterance) -> bool:
        """Whether what is decided about the speaker depends on its text."""
        return utterance in self.turn or utterance in self._doubtful

    @property
    def understood_all(self) -> bool:
        """All of that has its text."""
        return all(u.text is not None for u in self.turn or self._doubtful)

    def committed(self, item_id: str) -> None:
        """The server has made an item of the oldest commit, or of its own accord."""
        if self._unnamed:
            utterance = self._unnamed.popleft()
        else:
            utterance = Utterance()
            self.turn.append(utterance)
        utterance.item_id = item_id
        self._named[item_id] = utterance
        if utterance.unwanted:
            self._send(orders.delete(item_id))

    def refused(self) -> Utterance | None:
        """The server made nothing of the oldest commit."""
        if not self._unnamed:
            return None
        utterance = self._unnamed.popleft()
        utterance.text = ""
        return utterance

    def understanding(self, item_id: str, text: str) -> Utterance | None:
        """A piece of an item's text."""
        utterance = self._named.get(item_id)
        if utterance is not None:
            utterance.partial += text
        return utterance

    def understood(self, item_id: str, text: str) -> Utterance | None:
        """All of an item's text."""
        utterance = self._named.pop(item_id, None)
        if utterance is not None:
            utterance.text = text
            utterance.sound = b""
        return utterance

    def give_up(self) -> None:
        """The texts that are still to come will not."""
        for utterance in (*self._unnamed, *self._named.values()):
            utterance.text = utterance.partial.strip()
        self._named.clear()

    # A new session -----------------------------------------------------------------------------

    def resume(self, earlier: Iterable[Utterance]) -> Iterator[Order | str]:
        """What a new session must be told to be where the old one was.

        `earlier`: of turns that are over, and whose text is not all there.
        """
        self._named.clear()
        self._unnamed.clear()
        for utterance in (*earlier, *self._doubtful, *self.turn):
            self._commits += 1
            if utterance.text:
                utterance.item_id = f"said_{self._commits}"
                yield orders.caller_said(utterance.text, utterance.item_id)
            elif utterance.text is None and utterance.sound:
                self._unnamed.append(utterance)
                yield orders.hear(utterance.sound)
                yield orders.commit(self._commits)
        self._streamed_bytes = 0
        if self._open:
            yield orders.hear(bytes(self._open))
        elif not self._keeps:
            self._open_bytes = 0

    def _forget_open(self) -> None:
        self._open.clear()
        self._open_bytes = 0
