"""One live call: a carrier's socket on one side, an engine on the other, the dialog between.

Nothing here decides what is said: events go into the dialog, its commands are carried out. The
bridge outlives its sockets, since a carrier may dial again; it ends when the dialog says so, when
the carrier's stream stops, or when no socket comes back in time. Deciding is synchronous, so that
a frame needs no queue and no task between the socket and the engine.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import cycle, islice

import structlog
from msgspec.structs import replace

from providers.base import Provider, Wire
from service.agents import Agent
from service.ai.base import Brief, Engine
from service.ai.spoken import Spoken, Word, turn_of
from service.bridge.conversation import Conversation
from service.bridge.farewell import announce_end, await_carriers_word, is_held_elsewhere
from service.bridge.keypad import Keypad
from service.bridge.line import Line
from service.bridge.link import Link
from service.bridge.manners import known_variables, manners
from service.bridge.pacer import Pacer
from service.bridge.record import Record
from service.bridge.shared import Shared
from service.core.audio import PCMU_8K
from service.core.calls import (
    Call,
    CallEnd,
    CallEnded,
    CallTransferred,
    MediaAttached,
    MediaLost,
    MediaStopped,
    Outcome,
)
from service.core.commands import (
    Apologise,
    CarrierCommand,
    ChangeEngine,
    ClearAudio,
    Command,
    EndCall,
    Hear,
    Instruct,
    Interrupt,
    MarkEnd,
    Note,
    PauseAudio,
    PlaceMark,
    PlayAudio,
    PlayFiller,
    ResumeAudio,
    SendDigits,
    ShowText,
    StartTurn,
    TellAudible,
    TellDigit,
    Transfer,
)
from service.core.dialog import APOLOGY, Dialog
from service.core.errors import RestError
from service.core.events import (
    GreetingKnown,
    LiveEvent,
    SpeechStopped,
    StreamLost,
    StreamStarted,
    StreamStopped,
    Transcribed,
    TransferFailed,
    TurnId,
)
from service.core.playout import Playout
from service.core.turns import PastTurn

log = structlog.get_logger()

SOCKET_LOST = "socket_lost"

BRIDGE_FAILED = CallEnd(Outcome.OUR_FAULT, "bridge_failed", "bridge")
CALLER_LEFT = CallEnd(Outcome.COMPLETED, "hangup", "caller")
HANDED_OVER = CallEnd(Outcome.COMPLETED, "transferred", "agent")
"""The conversation's end, not the call's."""


class Bridge:
    """One live call, from its stream's start to its end."""

    def __init__(
        self,
        call: Call,
        agent: Agent,
        provider: Provider,
        engines: Sequence[Engine],
        shared: Shared,
        *,
        history: Sequence[PastTurn] = (),
    ) -> None:
        self.call = call
        self._agent = agent
        self._provider = provider
        self._engines = engines
        self._shared = shared
        self._variables = known_variables(call)
        self._resumed = call.stream_started_at is not None
        self._unanswered = bool(history) and history[-1].who == "caller"
        self._playout = Playout()
        self._pacer = Pacer(self._playout, shared.lead_ms)
        self._dialog = Dialog(
            manners(call, agent, shared, self._variables, fallbacks=len(engines) - 1),
            self._playout,
            resumed=self._resumed,
            history=history,
        )
        self._conversation = Conversation(engines, shared.clock)
        self._record = Record(call.call_id, provider.name, shared)
        self._keypad = Keypad(shared, self._record, self._pacer)
        self._inbox: deque[LiveEvent] = deque()
        self._deciding = False
        self._line: Line | None = None
        self._lost_ms: int | None = None
        self._hears = self._speaks = PCMU_8K
        self._started = asyncio.Event()
        self._over = asyncio.Event()
        self._end: CallEnd | None = None
        self._stopped_at: datetime | None = None
        self._hears_out = False
        self._released = False
        self._handing_over: asyncio.Task[None] | None = None
        self._fillers = cycle(agent.filler.says)

    @property
    def is_over(self) -> bool:
        """The call has come to its end; what follows is tidying up."""
        return self._end is not None

    # The call's whole life ---------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation until the call ends, and tell how it did. Never raises."""
        self._shared.ticker.add(self)
        try:
            await self._converse()
        except Exception:
            log.exception("Bridge failed", call_id=self.call.call_id)
        finally:
            self._shared.ticker.remove(self)
        if not self._released:
            await self._wind_up(self._end or BRIDGE_FAILED)

    async def _converse(self) -> None:
        await self._started.wait()
        if self._agent.lookups:
            await self._look_up()
        making = self._shared.sentences.make(self._engines[0], self._agent, self._variables)
        kept = asyncio.create_task(making, name="sentences")
        try:
            await self._conversation.hold(self._brief, self.take, self._ended)
            await self._over.wait()  # an engine that failed is apologised for first
        finally:
            kept.cancel()

    async def _look_up(self) -> None:
        """What is to be known of the caller before they are greeted."""
        found = await self._shared.tools.look_up(self._agent, self._variables)
        for fault in found.faults:
            self._record.note(Note("fault", {"code": fault.code, "detail": fault.detail}))
        self._variables |= found.variables
        if not self._resumed:
            self.take(GreetingKnown(self._agent.fill(self._agent.greeting, self._variables)))

    def _brief(self) -> Brief:
        return Brief(
            call_id=self.call.call_id,
            agent=self._agent,
            hears=self._hears,
            speaks=self._speaks,
            variables=self._variables,
            history=self._dialog.memory.turns,
            instructions=tuple(self._dialog.instructions),
            unanswered=self._unanswered,
        )

    async def _ended(self) -> None:
        """Until the call is over, and what the caller said before it was has been told."""
        await self._over.wait()
        if self._end is not None and self._end.ended_by in ("caller", "carrier"):
            self._hears_out = True
            await self._conversation.hear_out()
            self._hears_out = False

    async def _wind_up(self, end: CallEnd) -> None:
        """Leave nothing behind: the line hung up, the socket closed, the record complete."""
        if end is HANDED_OVER:
            await self._let_go()
            return
        if end.cause == SOCKET_LOST and await is_held_elsewhere(self.call, self._shared):
            return
        now_ms = self._shared.clock.now_ms()
        self._carry_out(self._dialog.cut(now_ms), now_ms)
        if self._stopped_at is None:
            await announce_end(self.call, end, self._shared, self._record)
        if self._line is not None:
            await self._line.close()
        self._keypad.leave()
        ended_at = self._stopped_at or self._shared.clock.utc()
        self._record.write(MediaStopped, at=ended_at, owner=self._shared.instance)
        if self._stopped_at is not None and self._provider.tells_end:
            await await_carriers_word(self.call, self._shared)
        self._record.write(CallEnded, at=ended_at, end=end)

    async def _let_go(self) -> None:
        """The carrier has the call now, and tells how it ends."""
        if self._line is not None:
            await self._line.close()
        self._keypad.leave()
        at = self._stopped_at or self._shared.clock.utc()
        self._record.write(CallTransferred, at=at, owner=self._shared.instance)

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
            await line.carry(self._process, self._record.complain)
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
        self._record.write(MediaLost, owner=self._shared.instance)
        self._finish(BRIDGE_FAILED)
        if self._line is not None:
            await self._line.close()

    def _attach(self, link: Link, wire: Wire, started: StreamStarted) -> Line:
        self._lost_ms = None
        self.call = replace(self.call, provider_call_id=started.provider_call_id)
        if not self._started.is_set():
            self._hears, self._speaks = started.format, started.send_format or started.format
            self._started.set()
        self._record.write(
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
        self._record.write(MediaLost, owner=self._shared.instance)

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
            self._write_last_words(event)
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
                    if self._handing_over is None:  # else the carrier's answer tells which it was
                        self._finish(CALLER_LEFT)
        finally:
            self._deciding = False

    def _write_last_words(self, event: LiveEvent) -> None:
        """What was said before the end belongs to the record; nothing else does any more."""
        if not self._hears_out or not isinstance(event, SpeechStopped | Transcribed):
            return
        for command in self._dialog.handle(event, self._shared.clock.now_ms()):
            if isinstance(command, Note):
                self._record.note(command, at=self._stopped_at)

    def _carry_out(self, commands: list[Command], now_ms: int) -> None:
        for command in commands:
            match command:
                case Hear() | TellAudible() | TellDigit() | StartTurn() | Instruct() | Interrupt():
                    self._conversation.do(command, now_ms)
                case PlayAudio():
                    self._pacer.play(command)
                case MarkEnd():
                    self._pacer.mark_end(command)
                case ClearAudio():
                    self._pacer.clear()
                    self._post(command, now_ms)
                case PauseAudio():
                    self._pacer.pause(now_ms)
                    self._post(ClearAudio(), now_ms)
                case ResumeAudio():
                    self._pacer.resume()
                case ShowText() | PlaceMark():
                    self._post(command, now_ms)
                case Note():
                    self._record.note(command)
                case SendDigits():
                    self._keypad.press(self.call, command.digits, self._speaks)
                case ChangeEngine():
                    self._unanswered = command.unanswered
                    self._conversation.change()
                case PlayFiller():
                    text = command.text or next(self._fillers, "")
                    self._say_kept(command.turn_id, text)
                case Apologise():
                    self._say_kept(APOLOGY, self._agent.last_resort.says)
                case Transfer():
                    transfer = self._transfer(command.to)
                    self._handing_over = asyncio.create_task(transfer, name="transfer")
                case EndCall():
                    self._finish(command.end)

    def _post(self, command: CarrierCommand, now_ms: int) -> None:
        if self._line is not None:
            self._line.post(command, now_ms)

    def _finish(self, end: CallEnd) -> None:
        if self._end is None:
            self._end = end
            self._over.set()
            self._conversation.give_up()

    def _say_kept(self, turn_id: TurnId, text: str) -> None:
        """As if the engine said it; nothing but the turn's end when the sound is not ready."""
        text = self._agent.fill(text, self._variables)
        spoken = self._shared.sentences.ready(self._agent, text) or Spoken(b"")
        if spoken.pcm and not spoken.words:  # a voice that does not say when which word comes
            spoken = Spoken(spoken.pcm, (Word(text, 0),))
        events = turn_of(spoken, turn_id, self._speaks)
        for event in islice(events, 1, None):  # the dialog has opened the turn
            self.take(event)

    async def _transfer(self, to: str) -> None:
        """Hand the call over; where that fails the conversation goes on."""
        try:
            await self._shared.control.transfer(self.call, to)
        except RestError as error:
            self._handing_over = None
            if self._stopped_at is not None:
                self._finish(CALLER_LEFT)
            else:
                self.take(TransferFailed(error.code, error.detail))
            return
        self._finish(HANDED_OVER)
