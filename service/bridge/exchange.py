"""The live calls of this process: opens a bridge for a call, finds it again, lets it go.

What reaches a live call from outside, by the API or from another instance, comes through
`deliver`.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from providers.base import Provider
from service.agents import Agent, AgentBook
from service.ai.base import Engine
from service.bridge.bridge import Bridge
from service.bridge.shared import Shared
from service.bridge.tape import TapedEngine
from service.cassettes.recorder import Recorder
from service.core.calls import Call, CallId
from service.core.errors import ConfigError
from service.core.events import ControlEvent, HangUpRequested, TakenOver
from service.core.turns import PastTurn

log = structlog.get_logger()


class Exchange:
    """The bridges of this process, each under its call's id."""

    def __init__(
        self,
        shared: Shared,
        *,
        agents: AgentBook,
        engines: Mapping[str, Engine],
        recorder: Recorder | None = None,
    ) -> None:
        self.shared = shared
        self.recorder = recorder
        self._agents = agents
        self._engines = engines
        self._bridges: dict[CallId, Bridge] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        shared.metrics.calls_live.set_function(lambda: len(self.live_ids()))

    def live_ids(self) -> list[CallId]:
        """The calls that go on here."""
        return [call_id for call_id, bridge in self._bridges.items() if not bridge.is_over]

    def held_ids(self) -> list[CallId]:
        """Those, and the calls whose end is still being written down here."""
        return [*self._bridges]

    def find(self, call_id: CallId) -> Bridge | None:
        """The call's bridge, if it is here."""
        return self._bridges.get(call_id)

    def open(self, call: Call, provider: Provider, history: Sequence[PastTurn]) -> Bridge:
        """A bridge for a call that has none here."""
        agent = self._agent(call)
        engines = [self._engines[name] for name in agent.engines]
        recording = self.recorder.recording(call) if self.recorder is not None else None
        if recording is not None:
            engines = [TapedEngine(engine, recording) for engine in engines]
        bridge = Bridge(call, agent, provider, engines, self.shared, history=history)
        self._bridges[call.call_id] = bridge
        self._empty.clear()
        self._hold(asyncio.create_task(self._keep(call.call_id, bridge), name="bridge"))
        return bridge

    def _agent(self, call: Call) -> Agent:
        agent = self._agents.get(call.agent) or self._agents.choose(asked=None, dialled=None)[0]
        try:
            return agent.overridden(call.overrides) if call.overrides else agent
        except ConfigError as refused:  # kept by a version that knew other keys
            log.warning("Overrides cannot be used", call_id=call.call_id, code=refused.code)
            return agent

    def _hold(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def deliver(self, call_id: CallId, event: ControlEvent | TakenOver) -> None:
        """Tell a live call something; nothing when it is not here any more."""
        bridge = self._bridges.get(call_id)
        if bridge is None:
            return
        if isinstance(event, TakenOver):
            self._hold(asyncio.create_task(bridge.release(), name="release"))
        else:
            bridge.take(event)

    async def drain(self, seconds: float) -> None:
        """Wait for the live calls to end, then hang up those that still talk."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            for bridge in [*self._bridges.values()]:
                bridge.take(HangUpRequested("shutdown", "bridge"))
        if self._tasks:
            await asyncio.wait({*self._tasks}, timeout=10)

    async def _keep(self, call_id: CallId, bridge: Bridge) -> None:
        try:
            await bridge.run()
        finally:
            if self._bridges.get(call_id) is bridge:
                del self._bridges[call_id]
            if not self._bridges:
                self._empty.set()
