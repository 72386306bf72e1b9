"""What came to the stand-in and what became of it, for tests to look at."""

from typing import Any, Literal

from msgspec import Struct

from service.standin.script import Stage
from service.standin.sound import Made

End = Literal["", "complete", "refused", "left", "cut"]
"""Of an answer: under way, sent to its end, an error, the client went first, cut on purpose."""


class Request(Struct):
    """One HTTP request, or the upgrade of a Realtime socket."""

    at: Stage
    number: int  # of its stage, from 1
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in small letters; without the key
    body: Any = None  # parsed: JSON, or the fields of a form
    made: Made | None = None  # what was spoken, with the place of each word
    audio: bytes = b""  # PCM16 at 8 kHz, of a transcription
    came_s: float = 0.0  # by the loop's clock
    status: int = 0
    end: End = ""
