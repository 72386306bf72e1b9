"""One live call: a carrier's socket on one side, an engine on the other, the dialog between.

Nothing here decides what is said: events go into the dialog, its commands are carried out. The
bridge outlives its sockets, since a carrier may dial again; it ends when the dialog says so, when
the carrier's stream stops, or when no socket comes back in time. Deciding is synchronous, so that
a frame needs no queue and no task between the socket and the engine.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from providers.base import Provider, Wire
from service.agents import Agent
from service.ai.base import Brief, Engine, Talk
from service.bridge.line import Line
from service.bridge.link import Link
from service.bridge.pacer import Pacer, Ticker
from service.calls.control import Control
from service.calls.journal import Journal
from service.calls.metrics import Metrics
from service.calls.store import CallStore
from service.clock import Clock, Ids
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, Party
from service.core.calls import (
    Call,
    CallEnd,
    CallEnded,
    CallEnding,
    CallEvent,
    CallState,
    MediaAttached,
    MediaLost,
    MediaStopped,
    Noted,
    Outcome,
)
from service.core.commands import (
    Apologise,
    CarrierCommand,
    ClearAudio,
    Command,
    EndCall,
    EngineCommand,
    Hear,
    Interrupt,
    MarkEnd,
    Note,
    PlaceMark,
    PlayAudio,
    SendDigits,
    ShowText,
    StartTurn,
    TellDigit,
)
from service.core.dialog import APOLOGY, Dialog, Manners
from service.core.errors import BridgeError, ProtocolError, RestError
from service.core.events import (
    EngineFailed,
    LiveEvent,
    StreamLost,
    StreamStarted,
    StreamStopped,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnText,
)
from service.core.playout import Playout
from service.core.turns import PastTurn
from service.media.convert import Converter
from service.media.tones import dial_tones

log = structlog.get_logger()

HEARD_BEFORE_OPEN = 250
"""Frames kept while the engine is still being opened: five seconds of the caller's first words."""

END_GRACE_S = 1.5
"""After the stream's stop, how long the carrier's own word on how the call ended is waited for."""

NOTED_S = 0.5
"""How long a hang-up waits for its reason to be written down: a line costs money meanwhile."""

SOCKET_LOST = "socket_lost"

BRIDGE_FAILED = CallEnd(Outcome.OUR_FAULT, "bridge_failed", "bridge")

DIGITS = TurnId("digits")


class Apology(Struct, frozen=True):
    """The sentence kept ready for when the engine fails: its text, and its sound as PCM16."""

    text: str = ""
    pcm16_8k: bytes = b""


class Shared(Struct, frozen=True, kw_only=True):
    """What all bridges of a process share."""

    instance: str
    clock: Clock
    ids: Ids
    ticker: Ticker
    store: CallStore
    journal: Journal
    control: Control
    metrics: Metrics
    lead_ms: int
    reattach_ms: int
    max_call_ms: int


class Bridge:
    """One live call, from its stream's start to its end."""

    def __init__(
        self,
        call: Call,
        agent: Agent,
        provider: Provider,
        engine: Engine,
        shared: Shared,
        *,
        history: Sequence[PastTurn] = (),
        apology: Apology,
    ) -> None:
        self.call = call
        self._apology = apology
        self._agent = agent
        self._provider = provider
        self._engine = engine
        self._shared = shared
        self._history = tuple(history)
        self._playout = Playout()
        self._pacer = Pacer(self._playout, shared.lead_ms)
        self._dialog = Dialog(
            _manners(call, agent, shared), self._playout, resumed=call.stream_started_at is not None
        )
        self._inbox: deque[LiveEvent] = deque()
        self._deciding = False
        self._line: Line | None = None
        self._lost_ms: int | None = None
        self._talk: Talk | None = None
        self._before_open: deque[EngineCommand] = deque(maxlen=HEARD_BEFORE_OPEN)
        self._hears = self._speaks = PCMU_8K
        self._started = asyncio.Event()
        self._over = asyncio.Event()
        self._end: CallEnd | None = None
        self._stopped_at: datetime | None = None
        self._released = False
        self._malformed = 0
        self._errands: set[asyncio.Task[None]] = set()

    @property
    def is_over(self) -> bool:
        """The call has come to its end; what follows is tidying up."""
        return self._end is not None

    # The call's whole life ---------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation until the call ends, and tell how it did. Never raises."""
        self._shared.ticker.add(self)
        try:
            await self._converse_or_apologise()
        except Exception:
            log.exception("Bridge failed", call_id=self.call.call_id)
        finally:
            self._shared.ticker.remove(self)
        if not self._released:
            await self._wind_up(self._end or BRIDGE_FAILED)

    async def _converse_or_apologise(self) -> None:
        try:
            await self._converse()
        except BridgeError as fault:
            self.take(EngineFailed(fault.code, fault.detail))
        except Exception as fault:
            log.exception("Engine crashed", call_id=self.call.call_id)
            self.take(EngineFailed("engine.crashed", type(fault).__name__))
        await self._over.wait()

    async def _converse(self) -> None:
        await self._started.wait()
        brief = Brief(
            call_id=self.call.call_id,
            agent=self._agent,
            hears=self._hears,
            speaks=self._speaks,
            variables=self.call.variables,
            history=self._history,
        )
        async with self._engine.open(brief, self.take) as talk:
            self._talk = talk
            try:
                while self._before_open:
                    talk.do(self._before_open.popleft(), self._shared.clock.now_ms())
                await self._over.wait()
            finally:
                self._talk = None

    async def _wind_up(self, end: CallEnd) -> None:
        """Leave nothing behind: the line hung up, the socket closed, the record complete."""
        if end.cause == SOCKET_LOST and await self._is_held_elsewhere():
            return
        now_ms = self._shared.clock.now_ms()
        self._carry_out(self._dialog.cut(now_ms), now_ms)
        if self._stopped_at is None:
            self._journal(CallEnding, end=end)
            await self._await_journal()
            if end.ended_by != "carrier" or end.outcome is Outcome.CARRIER_FAILED:
                await self._hang_up()
        if self._line is not None:
            await self._line.close()
        for errand in self._errands:
            errand.cancel()
        ended_at = self._stopped_at or self._shared.clock.utc()
        self._journal(MediaStopped, at=ended_at, owner=self._shared.instance)
        if self._stopped_at is not None and self._provider.tells_end:
            await self._await_carriers_word()
        self._journal(CallEnded, at=ended_at, end=end)

    async def _await_journal(self) -> None:
        """Why we hang up is to be known before the carrier tells us that somebody did."""
        with suppress(TimeoutError):
            async with asyncio.timeout(NOTED_S):
                await self._shared.journal.flush()

    async def _is_held_elsewhere(self) -> bool:
        """The carrier may have opened its next socket to another instance."""
        try:
            call = await self._shared.store.get(self.call.call_id)
        except BridgeError:
            return False
        return call is not None and call.owner not in (None, self._shared.instance)

    async def _await_carriers_word(self) -> None:
        """The carrier's webhook knows better how the call ended than the stream's stop does."""
        await asyncio.sleep(END_GRACE_S)
        try:
            call = await self._shared.store.get(self.call.call_id)
        except BridgeError:
            return
        if call is not None and call.state is not CallState.ENDED:
            await self._hang_up()

    async def _hang_up(self) -> None:
        try:
            await self._shared.control.hang_up(self.call)
        except RestError as error:
            log.warning("Hang-up refused", call_id=self.call.call_id, code=error.code)

    # Sockets -----------------------------------------------------------------------------------

    async def serve(self, link: Link, wire: Wire, started: StreamStarted) -> None:
        """Carry this socket until it closes, or another one takes its place."""
        if self._end is not None:
            return
        previous, self._line = self._line, self._attach(link, wire, started)
        line = self._line
        if previous is not None:
            self._lose("replaced")
            await previous.close()
        self._process(started)
        try:
            await line.carry(self._process, self._note_malformed)
        finally:
            self._detach(line)

    def fail(self) -> None:
        """A fault of ours on the way from the socket: the call cannot go on."""
        self._finish(BRIDGE_FAILED)

    async def release(self) -> None:
        """Another instance carries the call on: let go of it without a word."""
        self._released = True
        now_ms = self._shared.clock.now_ms()
        self._carry_out(self._dialog.cut(now_ms), now_ms)
        self._finish(BRIDGE_FAILED)
        if self._line is not None:
            await self._line.close()

    def _attach(self, link: Link, wire: Wire, started: StreamStarted) -> Line:
        self._lost_ms = None
        self.call = replace(self.call, provider_call_id=started.provider_call_id)
        if not self._started.is_set():
            self._hears, self._speaks = started.format, started.send_format or started.format
            self._started.set()
        self._journal(
            MediaAttached,
            owner=self._shared.instance,
            stream_id=started.stream_id,
            provider_call_id=started.provider_call_id,
        )
        return Line(
            link,
            wire,
            started,
            pacer=self._pacer,
            clock=self._shared.clock,
            hears=self._hears,
            speaks=self._speaks,
            from_ms=self._dialog.media_ms,
        )

    def _detach(self, line: Line) -> None:
        if self._line is not line:
            return
        self._line = None
        if self._end is not None:
            return
        self._lost_ms = self._shared.clock.now_ms()
        self._lose("socket_closed")
        self._journal(MediaLost, owner=self._shared.instance)

    def _lose(self, cause: str) -> None:
        """What waited for the old socket is not for the next: its turns are closed as unheard."""
        self._pacer.clear()
        self._process(StreamLost(cause))

    # Time --------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """20 ms have gone by. A fault here ends this call, and no other."""
        try:
            self._tick(now_ms)
        except Exception:
            log.exception("Bridge failed", call_id=self.call.call_id)
            self.fail()

    def _tick(self, now_ms: int) -> None:
        if self._end is not None:
            return
        if self._dialog.is_due(now_ms):
            self._carry_out(self._dialog.wake(now_ms), now_ms)
        line = self._line
        if line is not None:
            self._look_after(line, now_ms)
        elif self._lost_ms is not None and now_ms - self._lost_ms >= self._shared.reattach_ms:
            self._finish(CallEnd(Outcome.CARRIER_FAILED, SOCKET_LOST, "carrier"))

    def _look_after(self, line: Line, now_ms: int) -> None:
        if line.has_due(now_ms):
            line.hurry()
        if line.is_dead(now_ms):
            log.warning("Socket is dead", call_id=self.call.call_id)
            line.abandon()

    # Deciding ----------------------------------------------------------------------------------

    def take(self, event: LiveEvent) -> None:
        """Something happened, not on the socket: the engine or somebody outside says so."""
        self._process(event)
        if self._line is not None and self._line.has_due(self._shared.clock.now_ms()):
            self._line.hurry()

    def _process(self, event: LiveEvent) -> None:
        """Decide on an event and all that it brings about, one after the other."""
        if self._end is not None:
            return
        self._inbox.append(event)
        if self._deciding:
            return
        self._deciding = True
        try:
            while self._inbox:
                now_ms = self._shared.clock.now_ms()
                event = self._inbox.popleft()
                self._carry_out(self._dialog.handle(event, now_ms), now_ms)
                if isinstance(event, StreamStopped):
                    self._stopped_at = self._shared.clock.utc()
                    self._finish(CallEnd(Outcome.COMPLETED, "hangup", "caller"))
        finally:
            self._deciding = False

    def _carry_out(self, commands: list[Command], now_ms: int) -> None:
        for command in commands:
            match command:
                case Hear() | TellDigit() | StartTurn() | Interrupt():
                    self._tell_engine(command, now_ms)
                case PlayAudio():
                    self._pacer.play(command)
                case MarkEnd():
                    self._pacer.mark_end(command)
                case ClearAudio():
                    self._pacer.clear()
                    self._post(command, now_ms)
                case ShowText() | PlaceMark():
                    self._post(command, now_ms)
                case Note():
                    self._note(command)
                case SendDigits():
                    self._send_digits(command.digits)
                case Apologise():
                    self._apologise()
                case EndCall():
                    self._finish(command.end)

    def _tell_engine(self, command: EngineCommand, now_ms: int) -> None:
        if self._talk is None:
            self._before_open.append(command)
        else:
            self._talk.do(command, now_ms)

    def _post(self, command: CarrierCommand, now_ms: int) -> None:
        if self._line is not None:
            self._line.post(command, now_ms)

    def _finish(self, end: CallEnd) -> None:
        if self._end is None:
            self._end = end
            self._over.set()

    def _apologise(self) -> None:
        """Play the sentence kept ready; it does not need the engine."""
        apology = self._apology
        if apology.pcm16_8k:
            data = Converter(PCM16_8K, self._speaks).convert(apology.pcm16_8k)
            length_ms = self._speaks.duration_ms(len(data))
            sound = AudioFrame(data, self._speaks, 0, length_ms, Party.AGENT)
            self.take(TurnText(APOLOGY, apology.text, 0))
            self.take(TurnAudio(APOLOGY, sound))
        self.take(TurnEnded(APOLOGY))

    def _send_digits(self, digits: str) -> None:
        task = asyncio.create_task(self._press(digits), name="send digits")
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _press(self, digits: str) -> None:
        """Keys to the line: by the carrier, or as tones in the sound where it wants that."""
        try:
            pressed = await self._shared.control.send_digits(self.call, digits)
        except RestError as error:
            self._note(Note("fault", {"code": error.code, "detail": error.detail}))
            return
        if not pressed:
            tones = [PlayAudio(frame, DIGITS) for frame in dial_tones(digits, self._speaks)]
            self._pacer.play_first(tones)

    # The record --------------------------------------------------------------------------------

    def _note(self, note: Note) -> None:
        self._journal(Noted, type=note.type, data=_dated(note.data, self._shared.clock.utc()))

    def _journal(
        self, kind: Callable[..., CallEvent], *, at: datetime | None = None, **fields: Any
    ) -> None:
        event = kind(
            event_id=self._shared.ids.new("evt"),
            occurred_at=at or self._shared.clock.utc(),
            **fields,
        )
        self._shared.journal.note(self.call.call_id, event)

    def _note_malformed(self, error: ProtocolError) -> None:
        self._malformed += 1
        self._shared.metrics.malformed_messages.labels(self._provider.name).inc()
        if self._malformed == 1:
            log.warning(
                "Malformed message", call_id=self.call.call_id, code=error.code, detail=error.detail
            )


def _manners(call: Call, agent: Agent, shared: Shared) -> Manners:
    asked_ms = (call.max_duration_s or 0) * 1000
    limit_ms = min(asked_ms or shared.max_call_ms, shared.max_call_ms)
    talked = shared.clock.utc() - (call.answered_at or shared.clock.utc())
    return Manners(
        greeting=agent.fill(agent.greeting, call.variables),
        interruptible=agent.interruptible,
        max_duration_ms=max(0, limit_ms - talked // timedelta(milliseconds=1)),
    )


def _dated(data: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The dialog counts back in milliseconds; the record wants times of day."""
    dated = {}
    for key, value in data.items():
        if key in ("began_ago_ms", "ended_ago_ms"):
            name = "started_at" if key == "began_ago_ms" else "ended_at"
            dated[name] = now - timedelta(milliseconds=value)
        else:
            dated[key] = value
    if "started_at" in dated:
        dated.setdefault("ended_at", now)
    return dated
