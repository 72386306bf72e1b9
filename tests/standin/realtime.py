"""A Realtime client on the stand-in, in this process; every event it gets is checked.

Checked means: against the class that the openai package has for it, with no field that the class
does not know.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, get_args

from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel

from service.standin import Standin, connect
from service.standin.realtime.session import Session
from tests.standin.client import Place
from tests.voices import silence

_CLASSES: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(RealtimeServerEvent)[0])
}
_BARE = ("session.created", "session.updated")  # the package has the request's class for them
PCMU: dict[str, Any] = {"type": "audio/pcmu"}
SECOND = b"\xff" * 8000


class Caller:
    """One session's client."""

    def __init__(self, connection: AsyncRealtimeConnection, session: Session) -> None:
        self.connection = connection
        self.session = session
        self.events: list[dict[str, Any]] = []

    async def send(self, kind: str, **fields: Any) -> None:
        event: Any = {"type": kind, **fields}
        await self.connection.send(event)

    async def next(self) -> dict[str, Any]:
        event = await self.connection.recv()
        found = event.to_dict()
        check_event(found)
        self.events.append(found)
        return found

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this kind, and all before it are taken."""
        while True:
            event = await self.next()
            if event["type"] == kind:
                return event

    async def refused(self) -> tuple[str | None, str | None]:
        """Code and place of the next error."""
        error = (await self.until("error"))["error"]
        return error["code"], error["param"]

    async def configure(self, **session: Any) -> dict[str, Any]:
        """PCMU both ways and no turn detection, unless said otherwise."""
        audio = {
            "input": {"format": PCMU, "turn_detection": None} | session.pop("input", {}),
            "output": {"format": PCMU} | session.pop("output", {}),
        }
        await self.send("session.update", session={"type": "realtime", "audio": audio, **session})
        return await self.until("session.updated")

    async def hear(self, sound: bytes = SECOND) -> None:
        for begin in range(0, len(sound), 800):
            audio = base64.b64encode(sound[begin : begin + 800]).decode()
            await self.send("input_audio_buffer.append", audio=audio)

    async def say(self, sound: bytes = SECOND) -> str:
        """The person says something; its item."""
        await self.hear(sound)
        await self.send("input_audio_buffer.commit")
        committed = await self.until("input_audio_buffer.committed")
        await self.until("conversation.item.done")
        return str(committed["item_id"])

    async def ask(self, **response: Any) -> dict[str, Any]:
        """An answer, from its request to its end."""
        await self.send("response.create", response=response)
        done: dict[str, Any] = (await self.until("response.done"))["response"]
        return done

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def sound(self) -> bytes:
        return b"".join(
            base64.b64decode(e["delta"]) for e in self.of("response.output_audio.delta")
        )

    @property
    def text(self) -> str:
        return "".join(e["delta"] for e in self.of("response.output_audio_transcript.delta"))


@asynccontextmanager
async def calling(
    server: Standin, query: Mapping[str, str] | None = None, **place: str
) -> AsyncIterator[Caller]:
    """A session that has been created."""
    query = query or {"model": "gpt-realtime"}
    async with connect(server.app)(Place(**place), query) as connection:
        first = await connection.recv()
        assert first.type == "session.created"
        yield Caller(connection, server.sessions[-1])


def check_event(event: Mapping[str, Any]) -> None:
    kind = _CLASSES[event["type"]]
    made = kind.model_validate(dict(event))
    if event["type"] not in _BARE:
        assert not extras(made), extras(made)


def extras(made: Any) -> list[str]:
    """Fields nobody knows, however deep."""
    if isinstance(made, list):
        return [name for part in made for name in extras(part)]
    if not isinstance(made, BaseModel):
        return []
    own = [f"{type(made).__name__}.{name}" for name in made.model_extra or {}]
    inner = (extras(getattr(made, name)) for name in type(made).model_fields)
    return own + [name for names in inner for name in names]


def pcmu_silence(ms: int) -> bytes:
    return b"\xff" * (len(silence(ms)) // 2)


async def soon() -> None:
    """Let all that is due now happen."""
    await asyncio.sleep(1e-6)
