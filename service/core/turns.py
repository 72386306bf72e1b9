"""What one side said: text against sound, what was heard of it, and how long each step took."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from service.core.events import TurnId

REMEMBERED_MOST = 200

UNTOLD_MOST = 16
"""Utterances remembered whose text has not come: an engine that never tells it."""


class PastTurn(Struct, frozen=True):
    """What was said earlier in a call, by "agent" or "caller", as far as it was heard."""

    who: str
    text: str


class Memory:
    """What was said in a call, as far as it was heard, for an engine that has to carry it on."""

    def __init__(self, past: Iterable[PastTurn] = ()) -> None:
        self._turns = deque(past, maxlen=REMEMBERED_MOST)

    def add(self, who: str, text: str) -> None:
        """One side said this; an empty text is nothing."""
        if text:
            self._turns.append(PastTurn(who, text))

    @property
    def turns(self) -> tuple[PastTurn, ...]:
        """All of it, the oldest first."""
        return tuple(self._turns)


class Piece(Struct, frozen=True):
    """Some text and where in its turn's sound it begins."""

    text: str
    start_ms: int


class Answered(Struct):
    """The caller's turn that an agent's turn answers: when each step of it was done."""

    stopped_ms: int  # the caller's last sound
    decided_ms: int  # the turn was taken as over
    understood_ms: int | None = None  # its text was there: with speech to speech, often too late


class AgentTurn(Struct):
    """Something the agent says."""

    turn_id: TurnId
    answers: Answered | None = None
    pieces: list[Piece] = []
    made_ms: int = 0
    made: bool = False
    began_ms: int = 0  # when its first token was there
    asked_text: str | None = None  # what the engine was told to say; None: its own words
    first_audio_ms: int | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(piece.text for piece in self.pieces)

    def add_text(self, text: str, start_ms: int) -> None:
        """The text of the sound from `start_ms` on."""
        self.pieces.append(Piece(text, start_ms))

    def heard_text(self, heard_ms: int) -> str:
        """The words that were heard whole; all of the text only when all the sound was."""
        if heard_ms >= self.made_ms and self.made:
            return self.text
        heard = ""
        for at, piece in enumerate(self.pieces):
            last = at + 1 == len(self.pieces)
            end_ms = self.made_ms if last else self.pieces[at + 1].start_ms
            if heard_ms < end_ms or (last and not self.made):
                return heard + _spoken_part(piece, heard_ms, end_ms)
            heard += piece.text
        return heard

    def record(
        self, heard_ms: int, now_ms: int, *, first_sent_ms: int | None, first_mark_ms: int | None
    ) -> dict[str, Any]:
        """The data of `turn.agent`. Times in `_ago_ms` are for whoever knows the time of day."""
        interrupted = not (self.made and heard_ms >= self.made_ms)
        began_ms = now_ms if first_sent_ms is None else first_sent_ms
        data: dict[str, Any] = {
            "turn_id": self.turn_id,
            "text": self.text,
            "heard_text": self.heard_text(heard_ms),
            "heard_ms": min(heard_ms, self.made_ms),
            "made_ms": self.made_ms,
            "interrupted": interrupted,
            "began_ago_ms": now_ms - began_ms,
            "latency": self._latency(first_sent_ms),
        }
        if first_mark_ms is not None:
            data["first_mark_ms"] = first_mark_ms - began_ms
        return data

    def _latency(self, first_sent_ms: int | None) -> dict[str, int]:
        """The gap between the caller's last sound and the agent's first, in parts that add up."""
        if self.answers is None or self.first_audio_ms is None or first_sent_ms is None:
            return {}
        steps = self.answers
        known_ms = steps.understood_ms
        if known_ms is None or known_ms > self.began_ms:  # the model did not wait for the text
            known_ms = steps.decided_ms
        return {
            "end_of_turn_ms": steps.decided_ms - steps.stopped_ms,
            "recognition_ms": known_ms - steps.decided_ms,
            "first_token_ms": self.began_ms - known_ms,
            "first_audio_ms": self.first_audio_ms - self.began_ms,
            "first_frame_ms": first_sent_ms - self.first_audio_ms,
            "response_ms": first_sent_ms - steps.stopped_ms,
        }


class _Utterance(Struct):
    """One stretch of the caller's speech, from its begin to the text of it."""

    turn_id: TurnId
    began_ms: int
    end_ms: int  # media time
    steps: Answered


class CallerTurn:
    """What the person on the line is saying, and how far it has come."""

    def __init__(self) -> None:
        self.media_ms = 0  # media time heard so far
        self._count = 0
        self._began_ms: int | None = None
        self._untold: list[_Utterance] = []  # over, and their text is not there yet
        self._answered: Answered | None = None

    @property
    def turn_id(self) -> TurnId:
        """The turn that is spoken now, or was last."""
        return TurnId(f"caller-{self._count}")

    def begin(self, start_ms: int, now_ms: int) -> None:
        """Speech has begun at media time `start_ms`."""
        self._count += 1
        self._began_ms = now_ms - max(0, self.media_ms - start_ms)
        self._answered = None

    @property
    def is_untold(self) -> bool:
        """Whether something was said whose text is not there."""
        return bool(self._untold)

    def stop(self, end_ms: int, now_ms: int) -> int:
        """Speech has ended at media time `end_ms`, as was decided now; returns when that was."""
        stopped_ms = now_ms - max(0, self.media_ms - end_ms)
        self._answered = Answered(stopped_ms, now_ms)
        began_ms = stopped_ms if self._began_ms is None else self._began_ms
        self._untold.append(_Utterance(self.turn_id, began_ms, end_ms, self._answered))
        del self._untold[:-UNTOLD_MOST]
        self._began_ms = None
        return stopped_ms

    def spoken(self, text: str, now_ms: int, *, end_ms: int | None = None) -> dict[str, Any]:
        """The data of `turn.user`, now that the text of all speech up to `end_ms` is there."""
        told = self._take(end_ms) or self._unnoticed(now_ms)
        told.steps.understood_ms = now_ms
        return {
            "turn_id": told.turn_id,
            "text": text,
            "began_ago_ms": now_ms - told.began_ms,
            "ended_ago_ms": now_ms - told.steps.stopped_ms,
        }

    def answered_by(self) -> Answered | None:
        """The turn that an agent's turn beginning now answers; each is answered once."""
        answered, self._answered = self._answered, None
        return answered

    def _take(self, end_ms: int | None) -> _Utterance | None:
        """The last utterance that the text belongs to; those before it are told with it."""
        told = [each for each in self._untold if end_ms is None or each.end_ms <= end_ms]
        self._untold = self._untold[len(told) :]
        return told[-1] if told else None

    def _unnoticed(self, now_ms: int) -> _Utterance:
        """Of an engine that does not say when speech begins, or when it ends."""
        if self._began_ms is None:
            self._count += 1
        began_ms = now_ms if self._began_ms is None else self._began_ms
        self._began_ms = None
        self._answered = Answered(now_ms, now_ms)
        return _Utterance(self.turn_id, began_ms, self.media_ms, self._answered)


def _spoken_part(piece: Piece, heard_ms: int, end_ms: int) -> str:
    """The whole words of a piece that fit into the heard part of its sound, by their length."""
    length_ms = end_ms - piece.start_ms
    if heard_ms <= piece.start_ms or length_ms <= 0:
        return ""
    reach = len(piece.text) * (heard_ms - piece.start_ms) // length_ms
    if reach >= len(piece.text):
        reach = len(piece.text) - 1  # not all of it was heard, whatever the rounding says
    cut = piece.text.rfind(" ", 0, reach + 1)
    return piece.text[:cut] if cut > 0 else ""
