"""`make demo`: two phone calls to the shipped receptionist, one by each carrier, offline.

The whole service and both carriers' twins run in one process; the caller is synthetic speech. By
default on virtual time, which stands still while a machine recognises or speaks. Exits with 1
when something that belongs to the conversation did not happen.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from msgspec import Struct

from service.replay import virtual
from service.replay.chat import Chat, Style
from service.replay.stage import Stage, only_errors_logged, open_stage
from service.replay.voice import CallerVoice
from service.replay.wav import write_wav
from service.twin.caller import HangUp, InterruptAfter, Press, Say, Silence, Step, WaitForAgent
from service.twin.record import CallRecord

AGENTS = Path("agents")
AGENT = "receptionist"
DIALLED, CALLING = "+14155550123", "+14155550100"
EVERY_S = 0.1  # how often the call's record is read

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Line(Struct, frozen=True):
    """What the caller does next. `interrupts_ms`: while the agent has been speaking for so long."""

    says: str = ""
    presses: str = ""
    interrupts_ms: int | None = None


class Scene(Struct, frozen=True, kw_only=True):
    """One call: what the caller does, and what must come of it."""

    carrier: str
    title: str
    lines: tuple[Line, ...]
    hangs_up: bool  # the caller, in the middle of the agent's last sentence; else the agent ends it
    answers: tuple[str, ...]  # sentences the agent must have begun, in this order
    interruptions: int


SCENES = (
    Scene(
        carrier="twilio",
        title="Booking an appointment, with a question put in between",
        lines=(
            Line("what are your opening hours"),
            Line("where are you", interrupts_ms=1300),
            Line("i would like to book an appointment"),
            Line("on tuesday"),
            Line("in the morning"),
            Line("yes"),
            Line("no thank you"),
        ),
        hangs_up=False,
        answers=(
            "Hello, Acme Dental.",
            "We are open from nine to five",
            "We are at twelve Main Street",
            "Certainly. Which day suits you?",
            "Tuesday is fine.",
            "I can offer Tuesday at ten.",
            "You are booked for Tuesday.",
            "Thank you for calling Acme Dental. Goodbye.",
        ),
        interruptions=1,
    ),
    Scene(
        carrier="telnyx",
        title="In a hurry: cuts the greeting short, presses a key, hangs up in mid-sentence",
        lines=(
            Line("how much is a cleaning", interrupts_ms=700),
            Line("book an appointment on friday"),
            Line("in the afternoon"),
            Line("yes"),
            Line(presses="0"),
        ),
        hangs_up=True,
        answers=(
            "Hello, Acme Dental.",
            "A cleaning is ninety dollars.",
            "Friday is fine.",
            "I can offer Friday at three.",
            "You are booked for Friday.",
            "A colleague will call you back",
        ),
        interruptions=2,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """0: all went as it should, 1: not so, 2: called wrongly."""
    arguments = _parse(argv)
    voice = CallerVoice()
    steps = {scene.carrier: _steps(scene, voice) for scene in SCENES}
    style = Style(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    faults = []
    for scene in SCENES:
        began_s = time.perf_counter()
        chat = Chat(style)
        chat.title(scene.carrier, scene.title)
        loop = asyncio.SelectorEventLoop if arguments.real_time else _TimedLoop
        with only_errors_logged(), asyncio.Runner(loop_factory=loop) as runner:
            record = runner.run(_play(scene, steps[scene.carrier], chat))
        chat.ended(record, real_s=time.perf_counter() - began_s)
        if arguments.wav is not None:
            path = arguments.wav / f"{scene.carrier}.wav"
            write_wav(path, record)
            print(f"  {path}: the caller left, the agent right")
        faults += [f"{scene.carrier}: {fault}" for fault in _faults(scene, chat.events, record)]
    for fault in faults:
        print(style.bad(f"did not happen: {fault}"), file=sys.stderr)
    return 1 if faults else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.replay.demo", description=__doc__)
    parser.add_argument("--wav", type=_folder, metavar="DIR", help="write both calls as stereo WAV")
    parser.add_argument(
        "--real-time", action="store_true", help="at the speed of speech, with true latencies"
    )
    return parser.parse_args(argv)


def _folder(text: str) -> Path:
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from None
    return folder


def _steps(scene: Scene, voice: CallerVoice) -> list[Step]:
    steps: list[Step] = []
    for line in scene.lines:
        if line.interrupts_ms is not None:
            pcmu = voice.say(line.says)
            steps.append(InterruptAfter(line.interrupts_ms, pcmu, line.says))
            continue
        steps.append(WaitForAgent())
        steps.append(Press(line.presses) if line.presses else Say(voice.say(line.says), line.says))
    if scene.hangs_up:
        steps += [InterruptAfter(1500, b""), HangUp()]
    return [*steps, Silence(20_000), HangUp()]  # in vain when the agent has hung up


async def _play(scene: Scene, steps: Sequence[Step], chat: Chat) -> CallRecord:
    async with open_stage(agents=AGENTS, agent=AGENT) as stage:
        twin = stage.twilio if scene.carrier == "twilio" else stage.telnyx
        telling = asyncio.create_task(_tell(stage, chat))
        record = await twin.call(DIALLED, CALLING, steps)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(telling, 5)
        return record


async def _tell(stage: Stage, chat: Chat) -> None:
    """Follow the call's record, as it is written, to its end."""
    loop = asyncio.get_running_loop()
    while not chat.over:
        await asyncio.sleep(EVERY_S)
        calls: list[dict[str, Any]] = (await stage.http.get("/v1/calls")).json()["calls"]
        if calls:
            told = await stage.http.get(f"/v1/calls/{calls[0]['call_id']}/events")
            worked_ms = loop.worked_ms if isinstance(loop, _TimedLoop) else None
            chat.tell(told.json()["events"], worked_ms)


class _TimedLoop(virtual.VirtualLoop):
    """Virtual time, and for how long it stood still: what recognition and speech really took."""

    worked_ms = 0.0

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        began_s = time.perf_counter()
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: self._worked((time.perf_counter() - began_s) * 1000))
        return future

    def _worked(self, ms: float) -> None:
        self.worked_ms += ms


# What must have happened -------------------------------------------------------------------------


def _faults(scene: Scene, events: Sequence[dict[str, Any]], record: CallRecord) -> list[str]:
    told = {kind: [e["data"] for e in events if e["type"] == kind] for kind in _TOLD}
    faults = []
    understood = [turn["text"] for turn in told["turn.user"]]
    if understood != (said := [line.says for line in scene.lines if line.says]):
        faults.append(f"every sentence understood: {understood} instead of {said}")
    pressed = "".join(press["digit"] for press in told["dtmf.received"])
    if pressed != (wanted := "".join(line.presses for line in scene.lines)):
        faults.append(f"keys pressed: {pressed!r} instead of {wanted!r}")
    agent = [turn["text"] for turn in told["turn.agent"]]
    if len(agent) != len(scene.answers) or not all(map(_begins, agent, scene.answers)):
        faults.append(f"the agent's answers: {agent}")
    cut = [t for t in told["turn.agent"] if t["interrupted"] and t["heard_text"] != t["text"]]
    if len(cut) != scene.interruptions:
        faults.append(f"{scene.interruptions} sentences cut short, but {len(cut)} were")
    end = [(e["outcome"], e["ended_by"]) for e in told["call.ended"]]
    if end != [("completed", "caller" if scene.hangs_up else "agent")]:
        faults.append(f"the call's end: {end}")
    faults += [f"no trouble: {fault['code']}" for fault in told["fault"]]
    faults += [f"nothing the carrier refuses: {w.code} {w.detail}" for w in record.warnings]
    return faults


def _begins(text: str, beginning: str) -> bool:
    return text.casefold().startswith(beginning.casefold())


_TOLD = ("turn.user", "turn.agent", "dtmf.received", "call.ended", "fault")

if __name__ == "__main__":
    sys.exit(main())
