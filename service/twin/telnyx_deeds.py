"""What commands have a Telnyx leg do beside its media stream: voices, files, keys, recordings.

Nothing of it is heard: a voice lasts as long as its words would, a file two seconds. What matters
to a bridge are the events, and that they come when they should.
Telnyx documentation, "Sending Commands for Programmable Voice", "Voice API Webhooks".
"""

import asyncio
import random
from collections.abc import Callable

from service.twin.telnyx_events import Events, new_uuid
from service.twin.telnyx_params import Body

_MS_PER_CHAR = 60
_FILE_MS = 2000
_MAX_DIGITS = 128
_GATHER_MS = 60_000
_NEXT_DIGIT_MS = 5000


class Deeds:
    """One leg's; `press` is told each key, `hang_up` that the call is over."""

    def __init__(self, events: Events, chance: random.Random) -> None:
        self._events = events
        self._chance = chance
        self._sounding: set[asyncio.Task[None]] = set()
        self._gather: _Gather | None = None
        self._recording = False

    def do(self, action: str, body: Body) -> None:
        """Carry out a command whose body and state have been checked; unknown ones do nothing."""
        match action:
            case "speak":
                self._speak(body)
            case "playback_start":
                self._play(body)
            case "playback_stop":
                self._silence("cancelled")
            case "gather":
                self._collect(body)
            case "gather_using_speak":
                self._speak(body)
                self._collect(body)
            case "gather_using_audio":
                self._play(body)
                self._collect(body)
            case "gather_stop":
                self._end_gather("cancelled")
            case "record_start":
                self._recording = True
            case "record_stop":
                self._save_recording()
            case _:
                return

    def press(self, digit: str) -> None:
        """A key of the person's."""
        if self._gather is not None:
            self._gather.press(digit)

    def hang_up(self) -> None:
        """The call is over: what is under way says so, and a recording is kept."""
        self._silence("call_hangup")
        self._end_gather("call_hangup")
        if self._recording:
            self._save_recording()

    def _speak(self, body: Body) -> None:
        about = {"speak_id": new_uuid(self._chance)}
        self._events.post("call.speak.started", **about)
        lasts_ms = len(body["payload"]) * _MS_PER_CHAR
        self._sound("call.speak.ended", about, lasts_ms=lasts_ms)

    def _play(self, body: Body) -> None:
        about = {
            "media_url": body.get("audio_url", ""),
            "media_name": body.get("media_name", ""),
            "overlay": body.get("overlay", False),
        }
        self._events.post("call.playback.started", **about)
        loop = body.get("loop", 1)
        lasts_ms = None if loop == "infinity" else loop * _FILE_MS
        self._sound("call.playback.ended", about, lasts_ms=lasts_ms)

    def _sound(self, ended: str, about: Body, *, lasts_ms: int | None) -> None:
        task = asyncio.create_task(self._last(ended, about, lasts_ms), name="twin sound")
        self._sounding.add(task)
        task.add_done_callback(self._sounding.discard)

    async def _last(self, ended: str, about: Body, lasts_ms: int | None) -> None:
        """Sound until it has been played, or somebody says why it is over."""
        status = "completed"
        try:
            await (asyncio.Event().wait() if lasts_ms is None else asyncio.sleep(lasts_ms / 1000))
        except asyncio.CancelledError as why:
            if not why.args:
                raise
            status = str(why.args[0])
            if status == "cancelled" and ended == "call.speak.ended":
                status = "completed"  # a voice has no word for it
        self._events.post(ended, **about, status=status)

    def _silence(self, why: str) -> None:
        for task in self._sounding:
            task.cancel(why)

    def _collect(self, body: Body) -> None:
        self._end_gather("cancelled")
        self._gather = _Gather(body, self._gathered)

    def _gathered(self, digits: str, status: str) -> None:
        self._gather = None
        self._events.post("call.gather.ended", digits=digits, status=status)

    def _end_gather(self, status: str) -> None:
        if self._gather is not None:
            self._gather.end(status)

    def _save_recording(self) -> None:
        self._recording = False
        self._events.post_recorded()


class _Gather:
    """Keys until there are enough of them, the last one says so, or none comes any more."""

    def __init__(self, body: Body, done: Callable[[str, str], None]) -> None:
        self._least = body.get("minimum_digits", 1)
        self._most = body.get("maximum_digits", _MAX_DIGITS)
        self._last = body.get("terminating_digit", "#")
        self._valid = body.get("valid_digits", "0123456789#*")
        self._next_ms = body.get("inter_digit_timeout_millis", _NEXT_DIGIT_MS)
        self._digits = ""
        self._done = done
        whole_ms: int = body.get("timeout_millis", _GATHER_MS)
        first_ms: int = body.get("initial_timeout_millis", whole_ms)
        self._timer = self._in(first_ms)

    def press(self, digit: str) -> None:
        self._timer.cancel()
        if digit == self._last:
            return self.end("valid" if len(self._digits) >= self._least else "invalid")
        self._digits += digit
        if digit not in self._valid:
            return self.end("invalid")
        if len(self._digits) >= self._most:
            return self.end("valid")
        self._timer = self._in(self._next_ms)
        return None

    def end(self, status: str) -> None:
        self._timer.cancel()
        self._done(self._digits, status)

    def _in(self, ms: int) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(ms / 1000, self._time_out)

    def _time_out(self) -> None:
        self.end("valid" if len(self._digits) >= self._least else "timeout")
