"""Plays one cassette: what the carrier did then, it does again, at its time, to a service of today.

Signatures are made anew and marks come back when today's sound has been played; all else is as it
was recorded. What the bridge does is written down in the shape of a cassette and judged elsewhere.
"""

import asyncio
import base64
import contextlib
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlencode

import httpx
import msgspec
from msgspec.structs import replace

from service.cassettes.cassette import (
    Cassette,
    Close,
    JsonObject,
    Line,
    Open,
    Refused,
    Request,
    Response,
    Signature,
)
from service.core.audio import FRAME_MS
from service.replay.names import Names
from service.replay.record import AFTERWARDS_S, events_of, store_lines
from service.twin.playback import Echo, Playback
from service.twin.socket import Dial, Socket, SocketGone, UpgradeRefused

PATIENCE_S = 0.5
"""How long the carrier waits for an answer that stood here when the call was recorded."""
SETTLE_S = 1e-6
"""A moment: on virtual time it passes when nothing else is left to happen."""
NO_ANSWER = 0

_ROUNDING = 1e-4
_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z")
_MAIL_MOMENT = re.compile(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000")

T = TypeVar("T")


class Hand(Protocol):
    """How a carrier signs what it sends, and how its marks look."""

    def webhook(self, url: str, request: Request) -> tuple[dict[str, str], bytes]:
        """Headers, signature included, and body."""

    def upgrade(self, url: str, token: str, signing: Signature) -> dict[str, str]:
        """The headers of a media socket's upgrade."""

    def mark(self, start: JsonObject, name: str) -> JsonObject:
        """A mark that comes back on the stream that began with `start`."""


class Player:
    """One run of one cassette; `lines` is what the bridge did."""

    def __init__(
        self,
        cassette: Cassette,
        hand: Hand,
        *,
        http: httpx.AsyncClient,
        dial: Dial,
        public_url: str,
    ) -> None:
        self.lines: list[Line] = []
        self._cassette = cassette
        self._hand = hand
        self._http = http
        self._dial = dial
        self._public_url = public_url
        self._names = Names(cassette.lines)
        self._began_s = self._last_s = 0.0
        self._began_at = datetime.now(UTC)
        self._shift = timedelta()
        self._news = asyncio.Event()
        self._done = 0  # answers and commands of the bridge so far
        self._given_up = 0  # and those that were waited for in vain
        self._line: _MediaLine | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def play(self, utc: Callable[[], datetime]) -> None:
        """From the first line to the last, and a while longer."""
        self._began_s = asyncio.get_running_loop().time()
        self._began_at = utc()
        self._shift = self._began_at - (self._cassette.header.began_at or self._began_at)
        if self._cassette.header.order is not None:
            self._start(self._place(self._cassette.header.order))
        due = 0
        for line in self._cassette.lines:
            if _is_answer(line):
                due += 1
            elif line.from_ in ("carrier", "user") and line.lane != "rest":
                await self._sleep_until(line.at_ms)
                if self._done + self._given_up < due:
                    await self._catch_up(due)
                await self._perform(line)
        await self._sleep_until(self._cassette.length_ms)
        await asyncio.sleep(AFTERWARDS_S)
        await self._finish()

    def commanded(self, request: Request) -> None:
        """The bridge has sent the carrier a command."""
        self._names.learn(request)
        self._log("rest", request=request)

    def told_engine(self, line: Line) -> None:
        """The bridge has told its engine this."""
        self._log("engine", event=line.event)

    # The carrier's side ------------------------------------------------------------------------

    async def _sleep_until(self, at_ms: int) -> None:
        """Until then and a moment, in which all that is due at the same time happens first.

        The next line of the same millisecond comes a moment later: on virtual time what one line
        brings about is over before the next, in however many steps of the loop it happens.
        """
        due_s = max(self._began_s + at_ms / 1000, self._last_s) + SETTLE_S
        self._last_s = due_s
        wait_s = due_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _catch_up(self, due: int) -> None:
        """What the carrier does next may follow from what the bridge said: let it say it first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while self._done + self._given_up < due:
                    self._news.clear()
                    await self._news.wait()
        self._given_up = max(self._given_up, due - self._done)
        await asyncio.sleep(SETTLE_S)

    async def _perform(self, line: Line) -> None:
        if line.request is not None and line.lane == "api":
            self._start(self._ask(self._today(line.request)))
        elif line.request is not None:
            self._start(self._send_webhook(self._asking(self._today(line.request))))
        elif line.open is not None:
            await self._open(line.open)
        elif self._line is None:
            return  # the socket that this went through was never opened
        elif line.close is not None:
            await self._line.leave(line.close.code)
        elif line.message is not None:
            await self._line.send(line.message, self._today_text(line.message))
        elif line.binary is not None:
            await self._line.send_raw(base64.b64decode(line.binary))
        else:
            await self._line.send_raw(line.text or "")

    def _asking(self, request: Request) -> Request:
        """By name for the agent that answered then: stand-in numbers have none."""
        header = self._cassette.header
        _, there, query = request.path.partition("?")
        if not header.redacted or header.order is not None or "agent" in parse_qs(query):
            return request
        further = urlencode({"agent": header.agent})
        return replace(request, path=f"{request.path}{'&' if there else '?'}{further}")

    def _today(self, recorded: T) -> T:
        """In the names and the time of this run."""
        return msgspec.json.decode(self._today_text(recorded), type=type(recorded))

    def _today_text(self, recorded: Any) -> str:
        text = self._names.translate(msgspec.json.encode(recorded).decode())
        if not self._shift:
            return text
        return _MAIL_MOMENT.sub(self._mail_later, _MOMENT.sub(self._later, text))

    def _later(self, match: re.Match[str]) -> str:
        moment = datetime.fromisoformat(match[0]) + self._shift
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _mail_later(self, match: re.Match[str]) -> str:
        whole_s = timedelta(seconds=round(self._shift.total_seconds()))  # it is told to the second
        return format_datetime(parsedate_to_datetime(match[0]) + whole_s)

    async def _place(self, order: JsonObject) -> None:
        answer = await self._http.post("/v1/calls", json=order)
        self._names.learn(answer.text)

    async def _ask(self, request: Request) -> None:
        try:
            answer = await self._http.request(request.method, request.path, json=request.json)
            response = Response(answer.status_code, answer.text)
        except httpx.TransportError:
            response = Response(NO_ANSWER, "")
        self._log("api", response=response)

    async def _send_webhook(self, request: Request) -> None:
        url = self._public_url + request.path
        headers, body = self._hand.webhook(url, request)
        try:
            answer = await self._http.request(
                request.method, request.path, headers=request.headers | headers, content=body
            )
            response = Response(answer.status_code, answer.text)
        except httpx.TransportError:
            response = Response(NO_ANSWER, "")
        self._names.learn(response.body)
        self._log("webhook", response=response)

    async def _open(self, recorded: Open) -> None:
        url = self._names.stream_url
        if not self._names.is_given(recorded.path):
            path = self._names.translate(recorded.path)
            url = re.sub("^http", "ws", self._public_url) + path
        if not url:
            self._log("stream", refused=Refused(NO_ANSWER))
            return
        headers = self._hand.upgrade(url, url.rpartition("/")[2], recorded.signature)
        try:
            socket = await self._dial(url, headers)
        except UpgradeRefused as refused:
            self._line = None
            self._log("stream", refused=Refused(refused.status))
            return
        self._line = _MediaLine(socket, self._hand, now_ms=self._now_ms, log=self._log)
        self._start(self._line.read())
        self._start(self._line.keep_time())

    async def _finish(self) -> None:
        if self._line is not None:
            await self._line.leave(1000)
        call_id = self._names.current.get("call") or await self._call_of_socket()
        if call_id is not None:
            self.lines += store_lines(await events_of(self._http, call_id), self._began_at)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call_of_socket(self) -> str | None:
        """The call of a socket that nobody announced: the bridge has not told its name."""
        if self._line is None or self._line.provider_call_id is None:
            return None
        answer = await self._http.get("/v1/calls")
        named = self._line.provider_call_id
        calls = answer.json()["calls"]
        return next((call["call_id"] for call in calls if call["provider_call_id"] == named), None)

    # What is written down ----------------------------------------------------------------------

    def _now_ms(self) -> float:
        return (asyncio.get_running_loop().time() - self._began_s) * 1000

    def _log(self, lane: Any, **what: Any) -> None:
        line = Line(at_ms=round(self._now_ms()), lane=lane, from_="bridge", **what)
        self.lines.append(line)
        self._done += _is_answer(line)
        self._news.set()

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name="replay")
        self._tasks.add(task)


class _MediaLine:
    """One media socket: recorded messages out, the bridge's sound into a playback, marks back."""

    def __init__(
        self,
        socket: Socket,
        hand: Hand,
        *,
        now_ms: Callable[[], float],
        log: Callable[..., None],
    ) -> None:
        self._socket = socket
        self._hand = hand
        self._now_ms = now_ms
        self._log = log
        self._start: JsonObject = {}
        self._began_ms = now_ms()
        self._playback = Playback(self._began_ms)
        self._played = asyncio.Event()  # up to a mark
        self._timer: asyncio.TimerHandle | None = None
        self._left = False

    @property
    def provider_call_id(self) -> str | None:
        """The carrier's name of the call, as the stream's start has it."""
        told: JsonObject = self._start.get("start", {})
        return told.get("callSid") or told.get("call_control_id")

    async def send(self, message: JsonObject, today: str) -> None:
        """Send what the carrier sent; of its marks today's in place of those of then."""
        match message.get("event"):
            case "mark":
                return
            case "start":
                self._start = message
            case _:
                pass
        await self.send_raw(today)

    async def send_raw(self, message: str | bytes) -> None:
        """Send this; lost when the bridge has closed the socket."""
        with contextlib.suppress(SocketGone):
            await self._socket.send(message)

    async def leave(self, code: int | None) -> None:
        """Close the socket, or cut it where it was cut."""
        if self._left:
            return
        self._left = True
        self._played.set()
        if code in (None, 1006):
            await self._socket.abort()
        else:
            await self._socket.close(code)

    async def keep_time(self) -> None:
        """Return marks as their sound has been played."""
        while not self._left:
            await self._played.wait()
            self._played.clear()
            await self._return(self._playback.advance(self._now_ms()))
            self._wait_for_mark()

    def _wait_for_mark(self) -> None:
        """A carrier looks for marks that were reached as often as it sends a frame."""
        if self._timer is not None:
            self._timer.cancel()
        due_ms = self._playback.next_mark_ms
        if due_ms is None or self._left:
            return
        frames = math.ceil((due_ms - self._began_ms) / FRAME_MS - _ROUNDING)
        wait_ms = self._began_ms + frames * FRAME_MS - self._now_ms()
        self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._played.set)

    async def read(self) -> None:
        """Take down what the bridge says until it closes, and play it."""
        async for message in self._socket:
            if isinstance(message, bytes):
                self._log("stream", binary=base64.b64encode(message).decode())
                continue
            try:
                said = msgspec.json.decode(message, type=dict[str, Any])
            except msgspec.DecodeError:
                self._log("stream", text=message)
                continue
            self._log("stream", message=said)
            await self._obey(said)
        if not self._left:
            self._log("stream", close=Close(self._socket.close_code))

    async def _obey(self, said: JsonObject) -> None:
        now_ms = self._now_ms()
        match said:
            case {"event": "media", "media": {"payload": str(payload)}}:
                await self._return(self._playback.queue(base64.b64decode(payload), now_ms))
            case {"event": "mark", "mark": {"name": str(name)}}:
                await self._return(self._playback.mark(name, now_ms))
                self._wait_for_mark()
            case {"event": "clear"}:
                await self._return(self._playback.clear(now_ms))
                self._wait_for_mark()
            case _:
                pass

    async def _return(self, echoes: list[Echo]) -> None:
        for echo in echoes:
            mark = self._hand.mark(self._start, echo.name)
            await self.send_raw(msgspec.json.encode(mark).decode())


def _is_answer(line: Line) -> bool:
    """What the others wait for: an answer to a webhook or to a user, or a command."""
    return line.from_ == "bridge" and line.lane in ("webhook", "rest", "api")
