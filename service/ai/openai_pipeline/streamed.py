"""Recognition while the caller speaks: a transcription session of the Realtime API.

The sound goes over one socket that is there for the whole call, in the line's own format where the
API knows that; we say where utterances end.
https://platform.openai.com/docs/guides/realtime-transcription
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

import structlog
from openai.types.realtime import RealtimeTranscriptionSessionCreateRequestParam

from service.ai.base import Brief
from service.ai.openai import orders
from service.ai.openai.caller import Caller, Utterance
from service.ai.openai.errors import OpenAIFault, named_error
from service.ai.openai.events import (
    Committed,
    Complained,
    ServerEvent,
    Understanding,
    Understood,
)
from service.ai.openai.line import Dial, Line
from service.ai.openai.orders import Order
from service.ai.openai.session import FORMATS, format_for
from service.ai.openai_pipeline.recognition import House
from service.core.errors import EngineError

HOPELESS = ("openai.bad_key", "openai.no_quota", "openai.unknown_model")

log = structlog.get_logger()


class StreamedRecogniser:
    """`dial` opens a socket with `intent=transcription`."""

    def __init__(self, brief: Brief, dial: Dial, house: House) -> None:
        self._brief = brief
        self._house = house
        self._line = Line(dial, self, call_id=brief.call_id)
        self._caller = Caller(brief.hears, format_for(brief.hears), self._send, keeps=True)
        self._closed: list[Utterance] = []  # of turns that are over, their text still to come
        self._opened: asyncio.Future[None] | None = None
        self._job: asyncio.Task[None] | None = None
        self.forget_doubtful = self._caller.forget_doubtful
        self.dismiss = self._caller.dismiss
        self.take_back = self._caller.take_back
        self.cut = self._caller.commit
        self.say = self._caller.say
        self.is_open = self._caller.is_open
        self.give_up = self._caller.give_up

    async def open(self) -> None:
        """Have a session; OpenAIFault when there is none in time."""
        loop = asyncio.get_running_loop()
        self._opened = loop.create_future()
        self._job = loop.create_task(self._line.carry())
        self._job.add_done_callback(self._line_done)
        await self._opened

    async def aclose(self) -> None:
        """Leave no task and no socket behind."""
        if self._job is not None:
            self._job.cancel()
            with suppress(asyncio.CancelledError, EngineError):
                await self._job

    def rest(self) -> None:
        """Nobody speaks: a session that is old gives way to a new one."""
        if self._line.is_old:
            self._line.renew()

    def close(self) -> list[Utterance]:
        """The turn is over, and cut: what it is made of."""
        turn = self._caller.close()
        self._closed = [u for u in (*self._closed, *turn) if u.text is None]
        return turn

    @property
    def words(self) -> str:
        """What is known of the turn, or of what was dismissed last."""
        return self._caller.words

    @property
    def understood_all(self) -> bool:
        """Whether all of that has its text."""
        return self._caller.understood_all

    # The line ----------------------------------------------------------------------------------

    def session(self) -> Order:
        """What the session is to be like."""
        settings = self._brief.agent.pipeline.recognition
        transcription = {"model": settings.model}
        if self._brief.agent.language:
            transcription["language"] = self._brief.agent.language
        if settings.prompt:
            transcription["prompt"] = settings.prompt
        heard: dict[str, Any] = {
            "format": FORMATS[format_for(self._brief.hears)],
            "transcription": transcription,
            "turn_detection": None,
        }
        session = {"type": "transcription", "audio": {"input": heard}}
        typed = cast("RealtimeTranscriptionSessionCreateRequestParam", session)
        return {"type": "session.update", "event_id": "update", "session": typed}

    def seeds(self) -> Iterable[Order | str]:
        """What a new session must be told to be where the old one was."""
        return filter(_is_for_ears, self._caller.resume(self._closed))

    def take(self, event: ServerEvent) -> None:
        """The server says this."""
        match event:
            case Committed(item_id):
                self._caller.committed(item_id)
            case Understanding(item_id, text):
                self._tell(self._caller.understanding(item_id, text))
            case Understood(item_id, text):
                self._tell(self._caller.understood(item_id, text))
            case Complained():
                self._complained(event)
            case _:
                pass  # of answers there are none

    def lost(self) -> None:
        """There is no session for now."""
        self._caller.holds = True

    def found(self) -> None:
        """There is one, for the first time or again."""
        self._caller.holds = False
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _send(self, order: Order | str) -> None:
        if _is_for_ears(order):
            self._line.send(order)

    def _tell(self, utterance: Utterance | None) -> None:
        if utterance is not None:
            self._house.understood(utterance)

    def _complained(self, event: Complained) -> None:
        fault = named_error(event.code, event.kind, "recognition")
        if orders.is_forgiven(event.event_id):
            return
        if orders.wish_of(event.event_id) == "commit":
            self._tell(self._caller.refused())
        elif fault.code == "openai.session_lost":
            self._line.renew()
        else:
            self._house.failed(fault, fatal=fault.code in HOPELESS)

    def _line_done(self, job: "asyncio.Task[None]") -> None:
        if job.cancelled() or (fault := job.exception()) is None:
            return
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(fault)
        elif isinstance(fault, OpenAIFault):
            self._house.failed(fault, fatal=True)
        else:
            log.error("Engine crashed", call_id=self._brief.call_id, exc_info=fault)
            crash = OpenAIFault("engine.crashed", type(fault).__name__)
            self._house.failed(crash, fatal=True)


def _is_for_ears(order: Order | str) -> bool:
    """A session for transcription holds no conversation: nothing is put in or taken out of one."""
    return isinstance(order, str) or not order["type"].startswith("conversation.")
