"""What every entrance of the stand-in needs: who comes in, what was asked, what goes wrong next."""

import asyncio
import itertools
import random
import secrets
from collections import Counter
from collections.abc import Callable

from starlette.requests import HTTPConnection

from service.core.audio import MediaFormat
from service.standin.catalog import MODELS, Kind
from service.standin.faults import Faults
from service.standin.hearing import Hearing
from service.standin.record import Request
from service.standin.refusals import Refusal, Refused, unknown_model
from service.standin.script import Script, Stage
from service.standin.sound import Made
from service.standin.voice import Voice

Watch = Callable[[Request | Refused], None]

_RECORDED_MOST = 10_000
_PACE_LEAST, _PACE_MOST = 80, 450
"""Words per minute that espeak-ng can be asked for."""


class Desk:
    """One per stand-in."""

    def __init__(
        self,
        script: Script,
        *,
        key: str | None,
        chance: random.Random,
        voice: Voice,
        watch: Watch,
    ) -> None:
        self.script = script
        self.chance = chance
        self.faults = Faults(script.faults)
        self.hearing = Hearing(script, voice)
        self.requests: list[Request] = []
        self.refused: list[Refused] = []
        self._watch = watch
        self._voice = voice
        self._key = key
        self._counts: Counter[Stage] = Counter()
        self._ids = itertools.count(1)

    def new_id(self, prefix: str) -> str:
        """A fresh id, in the order of their making; chance is for sizes alone."""
        return f"{prefix}_{next(self._ids):018d}"

    def enter(self, at: Stage, connection: HTTPConnection) -> Request:
        """Write down that somebody came."""
        self._counts[at] += 1
        headers = {name.lower(): value for name, value in connection.headers.items()}
        headers.pop("authorization", None)
        request = Request(
            at=at,
            number=self._counts[at],
            path=connection.url.path,
            query=dict(connection.query_params),
            headers=headers,
            came_s=asyncio.get_running_loop().time(),
        )
        self._watch(request)
        if len(self.requests) < _RECORDED_MOST:
            self.requests.append(request)
        return request

    def admit(self, connection: HTTPConnection) -> None:
        """Refusal when they do not bring the key; without one, everybody comes in."""
        if self._key is None:
            return
        kind, _, key = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not key:
            message = "You didn't provide an API key. Use an Authorization header: Bearer KEY."
            raise Refusal(message, status=401)
        if not secrets.compare_digest(key.encode(), self._key.encode()):
            message = "Incorrect API key provided."
            raise Refusal(message, status=401, code="invalid_api_key")

    def check_model(self, kind: Kind, model: str) -> None:
        """Refusal when there is no such model for this."""
        if model not in MODELS[kind] and model not in self.script.models:
            raise unknown_model(model)

    def refuse(self, at: str, refusal: Refusal) -> None:
        """Write down what was not done."""
        refused = Refused(at, refusal.code, refusal.param, refusal.message)
        self._watch(refused)
        if len(self.refused) < _RECORDED_MOST:
            self.refused.append(refused)

    async def speak(
        self, text: str, audio_format: MediaFormat, *, voice: str, speed: float = 1.0
    ) -> Made:
        """The sound of a text; EngineError when it cannot be made."""
        if not text.strip():
            return Made(text, b"", audio_format, ())
        pace = round(self.script.sound.words_per_minute * speed)
        pace = min(max(pace, _PACE_LEAST), _PACE_MOST)
        return await self._voice.make(text, voice, pace, audio_format)
