"""Keys pressed to the line: by the carrier, or as tones in the sound where it wants that.

Which keys is in no log and no error.
"""

import asyncio

from service.bridge.pacer import Pacer
from service.bridge.record import Record
from service.bridge.shared import Shared
from service.core.audio import MediaFormat
from service.core.calls import Call
from service.core.commands import Note, PlayAudio
from service.core.errors import RestError
from service.core.events import TurnId
from service.media.tones import dial_tones

DIGITS = TurnId("digits")


class Keypad:
    """Presses keys to one call's line, without the call waiting for the carrier's answer."""

    def __init__(self, shared: Shared, record: Record, pacer: Pacer) -> None:
        self._shared = shared
        self._record = record
        self._pacer = pacer
        self._pressing: set[asyncio.Task[None]] = set()

    def press(self, call: Call, digits: str, speaks: MediaFormat) -> None:
        """These keys; `speaks` is what tones are made in."""
        task = asyncio.create_task(self._press(call, digits, speaks), name="send digits")
        self._pressing.add(task)
        task.add_done_callback(self._pressing.discard)

    def leave(self) -> None:
        """The line is gone."""
        for task in self._pressing:
            task.cancel()

    async def _press(self, call: Call, digits: str, speaks: MediaFormat) -> None:
        try:
            pressed = await self._shared.control.send_digits(call, digits)
        except RestError as error:
            self._record.note(Note("fault", {"code": error.code, "detail": error.detail}))
            return
        if not pressed:
            self._pacer.play_first(
                [PlayAudio(frame, DIGITS) for frame in dial_tones(digits, speaks)]
            )
