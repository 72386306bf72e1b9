"""The stand-in OpenAI server as an ASGI app: what it hears, says and does wrong is a script.

As strict as the API where a client could be wrong; what it refuses is kept, and so is all that
was asked of it. It knows no clock but the event loop's, so it runs on virtual time.
"""

import random

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from service.standin.desk import Desk, Watch
from service.standin.faults import Faults
from service.standin.http import (
    Entrance,
    complete_chat,
    list_models,
    speak,
    transcribe,
    unknown_url,
)
from service.standin.realtime.endpoint import RealtimeEntrance
from service.standin.realtime.session import Session
from service.standin.record import Request
from service.standin.refusals import Refused
from service.standin.script import Script
from service.standin.voice import Voice

KEY = "sk-standin"


class Standin:
    """One server; `aclose` ends its voice, unless that is shared.

    `key` None: none is needed. `chance` makes the sizes of what comes in pieces. `watch` is told
    of each request, and of what is refused.
    """

    def __init__(
        self,
        script: Script,
        *,
        key: str | None = KEY,
        chance: random.Random | None = None,
        voice: Voice | None = None,
        watch: Watch = lambda _what: None,
    ) -> None:
        self._voice = voice or Voice()
        self._shares_voice = voice is not None
        chance = chance or random.Random(0)
        self._desk = Desk(script, key=key, chance=chance, voice=self._voice, watch=watch)
        self._realtime = RealtimeEntrance(self._desk)
        self.app: ASGIApp = Starlette(
            routes=[WebSocketRoute("/v1/realtime", self._realtime), *_routes(self._desk)],
            exception_handlers={HTTPException: unknown_url},
        )

    @property
    def requests(self) -> list[Request]:
        """All that came, in order: HTTP requests and the upgrades of sockets."""
        return self._desk.requests

    @property
    def refused(self) -> list[Refused]:
        """What broke the API's rules; faults of the script are not among it."""
        return self._desk.refused

    @property
    def sessions(self) -> list[Session]:
        """All Realtime sessions, in order: what was sent there, the conversation, the memory."""
        return self._realtime.sessions

    @property
    def heard(self) -> list[str]:
        """What was understood, utterance by utterance."""
        return self._desk.hearing.heard

    @property
    def faults(self) -> Faults:
        """What goes wrong next; more may be added."""
        return self._desk.faults

    async def aclose(self) -> None:
        """End the worker process that speaks, if one was started here."""
        if not self._shares_voice:
            await self._voice.aclose()


def _routes(desk: Desk) -> list[Route]:
    return [
        Route("/v1/models", Entrance(desk, "models", list_models), methods=["GET"]),
        Route("/v1/chat/completions", Entrance(desk, "chat", complete_chat), methods=["POST"]),
        Route("/v1/audio/speech", Entrance(desk, "speech", speak), methods=["POST"]),
        Route(
            "/v1/audio/transcriptions",
            Entrance(desk, "transcription", transcribe),
            methods=["POST"],
        ),
    ]
