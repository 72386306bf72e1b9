"""The person on the line: what it does takes time on the virtual loop.

Carried out by a carrier's twin, step by step; what became of it is read from the service then.
A wait for what never comes ends, after a patience, in an error that says what came instead.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Literal

from msgspec import structs

from service.core.audio import FRAME_MS
from service.replay.stage import EPOCH, PUBLIC_URL, Stage, stage_time
from service.testing.readings import Event, Reply, Turn, events_of, reply_of, turns_of
from service.testing.sound import BYTES_PER_MS, first_loud_ms, last_loud_ms, samples_of
from service.twin.behaviour import Outcome
from service.twin.caller import HangUp, Press, Say, Silence, Step
from service.twin.record import CallRecord
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin

Provider = Literal["twilio", "telnyx"]

DIALLED = "+14155550123"
PATIENCE_MS = 10_000
LONGEST_TURN_MS = 120_000
QUIET_MS = 700
KEY_MS = 200
LOOK_MS = 100  # how often the service is asked for news
ENTRIES_MS = 5000
"""How long after a call its last entries may still be written."""


class AgentSilent(AssertionError):
    """What the caller waited for did not come."""


class CallOver(AssertionError):
    """There is nobody on the line any more."""


class CallMisused(Exception):
    """The test asks for what cannot be."""


class _LiveSteps:
    """The person's steps, handed over as the call goes on; in between the person is silent."""

    def __init__(self) -> None:
        self._next: deque[Step] = deque()
        self.idle = False

    def put(self, step: Step) -> None:
        self._next.append(step)
        self.idle = False

    def __iter__(self) -> Iterator[Step]:
        while True:
            self.idle = not self._next
            yield self._next.popleft() if self._next else Silence(FRAME_MS)


class Person:
    """Who calls, or is called, under `number`; good for one call."""

    def __init__(self, stage: Stage, *, number: str, provider: Provider) -> None:
        self.stage = stage
        self.provider = provider
        self.agent = ""
        self.began_at = EPOCH  # the time of day of 0 ms
        self.begun: CallRecord | None = None
        self.call: dict[str, Any] = {}  # as the API shows it
        self.events: tuple[Event, ...] = ()
        self.turns: tuple[Turn, ...] = ()
        self._number = number
        self._steps = _LiveSteps()
        self._calling: asyncio.Task[CallRecord] | None = None
        self._listened_ms = 0  # up to here the test knows what the agent said

    @property
    def record(self) -> CallRecord:
        """All that the carrier saw. CallMisused before there is a call."""
        if self.begun is None:
            raise CallMisused("nobody has called yet: begin with dial() or ring()")
        return self.begun

    @property
    def end(self) -> dict[str, Any]:
        """How the call ended; empty while it goes on."""
        return self.call.get("end") or {}

    async def dial(self, agent: str, to: str) -> None:
        """Call the agent; until the line is open or the call was refused."""
        await self._introduce(agent)
        asked = f"?agent={agent}" if agent else ""
        twin = self._twin()
        known = len(twin.records)
        if isinstance(twin, TwilioTwin):
            url = f"{PUBLIC_URL}/twilio/voice{asked}"
            calling = twin.call(to, self._number, self._steps, voice_url=url)
        else:
            url = f"{PUBLIC_URL}/telnyx/webhook{asked}"
            calling = twin.call(to, self._number, self._steps, webhook_url=url)
        self._calling = asyncio.create_task(calling, name="scripted call")
        await asyncio.sleep(0)
        await self._begin(twin.records[known])

    async def ring(self, agent: str, outcome: Outcome, order: dict[str, Any]) -> None:
        """Be called by the agent; until the line is open, or for nothing."""
        await self._introduce(agent)
        twin = self._twin()
        twin.outcomes[self._number] = structs.replace(outcome, steps=self._steps)
        named = {"agent": agent} if agent else {}
        about = {"provider": self.provider, "to": self._number, "from": DIALLED}
        answer = await self.stage.http.post("/v1/calls", json={**about, **named, **order})
        if not answer.is_success:
            raise CallMisused(f"the call was not placed: {answer.status_code} {answer.text}")
        await self._begin(twin.calls[answer.json()["provider_call_id"]].record)

    async def _introduce(self, agent: str) -> None:
        if self.begun is not None:
            raise CallMisused("this call has begun already: `bridge.dial()` makes another")
        agents = (await self.stage.http.get("/v1/agents")).json()["agents"]
        names = [str(known["name"]) for known in agents]
        if agent and agent not in names:
            raise CallMisused(f"no agent is called {agent!r}; there are: {', '.join(names)}")
        self.agent = agent

    async def _begin(self, record: CallRecord) -> None:
        self.begun = record
        self.began_at = stage_time() - timedelta(milliseconds=record.now_ms())
        if not await self._until(lambda: bool(record.streams), LONGEST_TURN_MS):
            raise AgentSilent("the call was neither answered nor refused")

    async def say(self, step: Say, interrupt_after_ms: int | None) -> None:
        """Speak, at once or when the agent has been speaking for so long; to the end."""
        self._must_be_live()
        if interrupt_after_ms is not None:
            await self._until_spoken_for(interrupt_after_ms)
        self._must_be_live()
        length_ms = len(step.pcmu) // BYTES_PER_MS
        await self._do(step, takes_ms=length_ms)
        silence_ms = length_ms - last_loud_ms(step.pcmu)
        self._listened_ms = self.record.at_ms() - silence_ms

    async def press(self, keys: str) -> None:
        """Press keys, one after the other."""
        self._must_be_live()
        self._listened_ms = self.record.at_ms()
        await self._do(Press(keys, KEY_MS), takes_ms=len(keys) * KEY_MS)

    async def _do(self, step: Step, *, takes_ms: int = 0) -> None:
        self._steps.put(step)
        await self._until(lambda: self._steps.idle, takes_ms + PATIENCE_MS)

    async def _until_spoken_for(self, ms: int) -> None:
        since_ms = self.record.at_ms()

        def spoken() -> bool:
            spans = self.record.spans()
            speaks = bool(spans) and spans[-1].end_ms >= since_ms - FRAME_MS
            return speaks and spans[-1].end_ms - spans[-1].start_ms >= ms

        if not await self._until(spoken, PATIENCE_MS + ms):
            raise AgentSilent(f"the agent did not speak for {ms} ms: it cannot be interrupted")

    async def listen(self, patience_ms: int, quiet_ms: int) -> Reply:
        """Be quiet until the agent has finished; what it said."""
        record, from_ms = self.record, self._listened_ms
        if self._ended() and not self._spoken_since(from_ms):
            self._must_be_live()
        if not await self._until(lambda: self._spoken_since(from_ms), patience_ms):
            last = self.events[-1].type if self.events else "none"
            for_s = patience_ms / 1000
            raise AgentSilent(f"the agent said nothing for {for_s:g} s; last event: {last}")
        if not self._spoken_since(from_ms):
            raise AgentSilent(f"the call ended before the agent said anything: {await self._end()}")

        def quiet() -> bool:
            return record.at_ms() - record.spans()[-1].end_ms >= quiet_ms

        if not await self._until(quiet, LONGEST_TURN_MS):
            raise AgentSilent(f"the agent has been speaking for {LONGEST_TURN_MS // 1000} s")
        if self._ended():
            await self._settle()
        await self.read()
        self._listened_ms = record.at_ms()
        return self._reply(from_ms)

    def _reply(self, from_ms: int) -> Reply:
        said = [turn for turn in self.turns if turn.who == "agent" and turn.ended_ms > from_ms]
        turns = [turn for turn in said if turn.started_ms >= from_ms or not turn.interrupted]
        origin_ms = self.record.streams[0].started_at_ms
        since_ms = max(0, from_ms - origin_ms)
        heard = self.record.heard_pcmu()[since_ms * BYTES_PER_MS :]
        latency_ms = first_loud_ms(heard) or 0
        end_ms = round(self.record.spans()[-1].end_ms) - origin_ms - since_ms
        audio = samples_of(heard[latency_ms * BYTES_PER_MS : end_ms * BYTES_PER_MS])
        return reply_of(turns, latency_ms=latency_ms, audio=audio)

    def _spoken_since(self, from_ms: int) -> bool:
        spans = self.record.spans()
        return bool(spans) and spans[-1].end_ms > from_ms + FRAME_MS

    async def wait(self, ms: int) -> None:
        """Be quiet for so long."""
        await self._until(lambda: False, ms)

    async def wait_for(self, event: str, patience_ms: int) -> Event:
        """Be quiet until an event of this type is in the record."""
        deadline_ms = self.record.at_ms() + patience_ms
        while self.record.at_ms() < deadline_ms:
            await self.read()
            found = [entry for entry in self.events if entry.type == event]
            if found:
                return found[-1]
            if self._ended() and self.events and self.events[-1].type == "call.ended":
                break
            await asyncio.sleep(LOOK_MS / 1000)
        there = ", ".join(entry.type for entry in self.events) or "none"
        raise AgentSilent(f"no event {event} within {patience_ms / 1000:g} s; events: {there}")

    async def wait_until_ended(self, patience_ms: int) -> None:
        """Be quiet until somebody else has ended the call."""
        if not await self._until(self._ended, patience_ms):
            raise AgentSilent(f"nobody ended the call within {patience_ms / 1000:g} s")
        await self._settle()

    async def hang_up(self) -> None:
        """Put the phone down; until the last event is written."""
        if not self._ended():
            await self._do(HangUp())
            await self._until(self._ended, ENTRIES_MS)
        await self._settle()

    async def leave(self) -> None:
        """End the call if it is still on; nothing of it stays with the twin, which stays."""
        record = self.record
        await self.hang_up()
        twin = self._twin()
        twin.calls.pop(record.call_id, None)
        twin.records[:] = [other for other in twin.records if other is not record]

    def _twin(self) -> TwilioTwin | TelnyxTwin:
        return self.stage.twilio if self.provider == "twilio" else self.stage.telnyx

    async def _settle(self) -> None:
        """Until the call's last event is written and the carrier has said all."""
        if self._calling is not None:
            await self._calling
        for _ in range(ENTRIES_MS // LOOK_MS):
            if await self._read_call() and self.end:
                return
            await asyncio.sleep(LOOK_MS / 1000)

    async def _end(self) -> str:
        await self._settle()
        return f"{self.end.get('outcome', 'unknown')} ({self.end.get('cause', '')})"

    async def _until(self, come: Callable[[], bool], patience_ms: int) -> bool:
        """Wait for this or the end of the call; False when neither comes."""
        for _ in range(patience_ms // FRAME_MS + 1):
            if come() or self._ended():
                return True
            if self._calling is not None and self._calling.done():
                self._calling.result()
            await asyncio.sleep(FRAME_MS / 1000)
        return False

    def _ended(self) -> bool:
        return self.record.ended_at_ms is not None

    def _must_be_live(self) -> None:
        if self._ended():
            raise CallOver(f"the call is over, ended by the {self.end.get('ended_by', 'carrier')}")

    async def read(self) -> None:
        """What the service says of the call."""
        if not await self._read_call():
            return
        path, http = f"/v1/calls/{self.call['call_id']}", self.stage.http
        told = (await http.get(f"{path}/events")).json()["events"]
        said = (await http.get(f"{path}/transcript")).json()["turns"]
        self.events = events_of(told, self.began_at)
        self.turns = turns_of(said, self.began_at)

    async def _read_call(self) -> bool:
        """Whether the service knows of the call; if so, how it is."""
        if self.begun is None:
            return False
        http = self.stage.http
        if self.call:
            self.call = (await http.get(f"/v1/calls/{self.call['call_id']}")).json()
        else:
            calls = (await http.get("/v1/calls", params={"limit": 100})).json()["calls"]
            mine = [call for call in calls if call["provider_call_id"] == self.begun.call_id]
            self.call = mine[0] if mine else {}
        self.agent = self.call.get("agent", self.agent)
        return bool(self.call)
