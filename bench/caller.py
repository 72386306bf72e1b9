"""One caller: Twilio's side of a media socket, with its playback clock.

Sends `connected`, `start`, frames, `stop`; plays what comes at 8000 bytes a second, and so returns
marks when the sound before them has been played, or at once after a `clear`. It keeps the time of
every frame both ways; a returned frame has come when its last byte has. Its socket is a Cython one
(picows), so that the generator needs less of its core than the server of the other.
"""

import asyncio
import secrets
from base64 import b64encode
from time import perf_counter

import msgspec
from msgspec import Struct
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.speech import FRAME_BYTES, RATE_HZ, SILENCE

CONNECTED = b'{"event":"connected","protocol":"Call","version":"1.0.0"}'


class Media(Struct, gc=False):
    """What is in a `media` message."""

    payload: bytes


class Mark(Struct, gc=False):
    """What is in a `mark` message."""

    name: str


class Message(Struct, gc=False):
    """What the bridge sends."""

    event: str
    media: Media | None = None
    mark: Mark | None = None


_decode = msgspec.json.Decoder(Message).decode


class Script(Struct, frozen=True):
    """Frames to say again and again, with their messages' payloads made beforehand."""

    frames: list[bytes]
    payloads: list[bytes]

    @classmethod
    def of(cls, frames: list[bytes]) -> "Script":
        """A script that says these frames."""
        return cls(frames, [b64encode(frame) for frame in frames])


SAY_NOTHING = Script.of([SILENCE])


class Caller(WSListener):
    """A call's socket, seen from the carrier."""

    def __init__(
        self, script: Script = SAY_NOTHING, *, offset: int = 0, agent: str | None = None
    ) -> None:
        self.script = script
        self.call_sid = "CA" + secrets.token_hex(16)
        self.stream_sid = "MZ" + secrets.token_hex(16)
        self.started_at = 0.0
        self.sent_at: list[float] = []
        self.came_at: list[float] = []
        self.cleared_at: list[float] = []
        self.marks = 0
        self.wrong = 0
        self.closed = False
        self._parameters = {} if agent is None else {"agent": agent}
        self._offset = offset
        self._got_bytes = 0
        self._plays_until = 0.0
        self._pending: dict[str, asyncio.TimerHandle] = {}
        self._transport: WSTransport

    async def connect(self, url: str, headers: list[tuple[str, str]]) -> None:
        """Open the socket and start the stream."""
        await ws_connect(lambda: self, url, extra_headers=headers, use_aiofastnet=False)
        self._send(CONNECTED)
        start = {
            "event": "start",
            "sequenceNumber": "1",
            "start": {
                "accountSid": "AC" + "0" * 32,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": self._parameters,
            },
            "streamSid": self.stream_sid,
        }
        self.started_at = perf_counter()
        self._send(msgspec.json.encode(start))

    def say(self) -> None:
        """Send the next frame of the script."""
        n = len(self.sent_at)
        payloads = self.script.payloads
        message = (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b"},"streamSid":"%b"}'
        ) % (
            n + 2,
            n + 1,
            155 + 20 * n,
            payloads[(self._offset + n) % len(payloads)],
            self.stream_sid.encode(),
        )
        self.sent_at.append(perf_counter())
        self._send(message)

    def change(self, script: Script) -> None:
        """Say this from its beginning, from the next frame on."""
        self.script = script
        self._offset = -len(self.sent_at)

    def stop(self) -> None:
        """Hang up."""
        if self.closed:
            return
        seq = len(self.sent_at) + 2
        self._send(
            msgspec.json.encode(
                {
                    "event": "stop",
                    "sequenceNumber": str(seq),
                    "streamSid": self.stream_sid,
                    "stop": {"accountSid": "AC" + "0" * 32, "callSid": self.call_sid},
                }
            )
        )
        self.closed = True
        self._transport.send_close()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The socket is open."""
        self._transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        """The socket is closed: by us, or the call was lost."""
        self.closed = True
        for handle in self._pending.values():
            handle.cancel()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A message from the bridge, or the socket's own."""
        now = perf_counter()
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        if frame.msg_type != WSMsgType.TEXT:
            return
        message = _decode(frame.get_payload_as_bytes())
        if message.media is not None:
            self._play(message.media.payload, now)
        elif message.mark is not None:
            self._owe(message.mark.name, now)
        elif message.event == "clear":
            self._clear(now)

    def _play(self, sound: bytes, now: float) -> None:
        self._plays_until = max(self._plays_until, now) + len(sound) / RATE_HZ
        if len(sound) == FRAME_BYTES:
            frames = self.script.frames
            if sound != frames[(self._offset + len(self.came_at)) % len(frames)]:
                self.wrong += 1
        self._got_bytes += len(sound)
        while len(self.came_at) < self._got_bytes // FRAME_BYTES:
            self.came_at.append(now)

    def _owe(self, name: str, now: float) -> None:
        self.marks += 1
        wait_s = self._plays_until - now
        if wait_s <= 0:
            self._return(name)
        else:
            loop = asyncio.get_running_loop()
            self._pending[name] = loop.call_later(wait_s, self._return, name)

    def _clear(self, now: float) -> None:
        self.cleared_at.append(now)
        self._plays_until = now
        for name, handle in [*self._pending.items()]:
            handle.cancel()
            self._return(name)

    def _return(self, name: str) -> None:
        self._pending.pop(name, None)
        seq = len(self.sent_at) + 2
        self._send(
            msgspec.json.encode(
                {
                    "event": "mark",
                    "sequenceNumber": str(seq),
                    "streamSid": self.stream_sid,
                    "mark": {"name": name},
                }
            )
        )

    def _send(self, message: bytes) -> None:
        if not self.closed:
            self._transport.send(WSMsgType.TEXT, message)
