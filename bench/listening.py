"""`python -m bench.listening`: what listening for speech costs, from the gate to the judge.

Callers who talk and listen in turn are heard on virtual time by the gate alone, by the listener of
the engines without its judge of voices, and by the whole; processor time of all threads is counted
and that of handing out the frames taken off. Then the judge by itself, at 1, 16 and 64 questions
at once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from bench import report, speech
from service.agents.turn_taking import TurnTaking
from service.ai.listening import Listener
from service.core.audio import FRAME_MS, PCMU_8K, AudioFrame, MediaFormat, Party
from service.media.vad import Detector
from service.media.voice import Answered, Judge, Voices
from service.replay.virtual import run

ROUNDS: Final = 5
CALLS: Final = (1, 16, 64)
SECONDS: Final = 40
TALKS_FRAMES: Final = 200
LISTENS_FRAMES: Final = 300
SPREAD: Final = 10  # calls are spread over a frame's length, as on a server
CHUNKS: Final = 5  # in a question about an onset

Hear = Callable[[AudioFrame], object]
Make = Callable[[Judge], Hear]


class Counted:
    """A judge, and how much it was asked."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.asked = 0

    def ask(self, sound: bytes, audio_format: MediaFormat, answered: Answered) -> bool:
        self.asked += 1
        return self._judge.ask(sound, audio_format, answered)


class Cost(Struct, frozen=True):
    cpu_ms: float  # per call-second
    asked: float  # questions per call-second


def nothing(_: Judge) -> Hear:
    return lambda _: None


def gate(_: Judge) -> Hear:
    return Detector(PCMU_8K).hear


def without_judge(_: Judge) -> Hear:
    return Listener(PCMU_8K, TurnTaking(), lambda _: None, judge=None).hear


def whole(judge: Judge) -> Hear:
    return Listener(PCMU_8K, TurnTaking(), lambda _: None, judge=judge).hear


def whole_over_agent(judge: Judge) -> Hear:
    listener = Listener(PCMU_8K, TurnTaking(), lambda _: None, judge=judge)
    listener.audible(True)
    return listener.hear


WAYS: Final[dict[str, Make]] = {
    "the gate alone (`Detector`)": gate,
    "the listener without a judge": without_judge,
    "the listener": whole,
    "the listener while the agent is heard": whole_over_agent,
}


def main() -> None:
    """Measure, and print two tables in Markdown."""
    print(f"{report.machine()}\ncallers say {speech.source()}\n")
    frames = _conversation()
    print("| what listens | calls | CPU ms/call-s | to the gate | questions/call-s |")
    print("| --- | --: | --: | --: | --: |")
    for calls in CALLS:
        costs = _costs(frames, calls)
        for way, cost in costs.items():
            ratio = cost.cpu_ms / costs[next(iter(WAYS))].cpu_ms
            print(f"| {way} | {calls} | {cost.cpu_ms:.3f} | {ratio:.1f} | {cost.asked:.2f} |")
    print("\n| questions at once | µs a chunk of 32 ms | µs a question |\n| --: | --: | --: |")
    for calls in CALLS:
        each_us = asyncio.run(_question_us(frames, calls))
        print(f"| {calls} | {each_us / CHUNKS:.0f} | {each_us:.0f} |")


def _costs(frames: Sequence[AudioFrame], calls: int) -> dict[str, Cost]:
    """Of each way, without what it takes to hand out the frames: the best of all rounds."""
    bare = float("inf")
    best: dict[str, Cost] = {}
    for _ in range(ROUNDS):  # all ways in turn: what drifts on the machine hits each of them
        bare = min(bare, run(_cost(nothing, frames, calls)).cpu_ms)
        for way, make in WAYS.items():
            cost = run(_cost(make, frames, calls))
            if way not in best or cost.cpu_ms < best[way].cpu_ms:
                best[way] = cost
    return {way: Cost(cost.cpu_ms - bare, cost.asked) for way, cost in best.items()}


async def _cost(make: Make, frames: Sequence[AudioFrame], calls: int) -> Cost:
    voices = Voices()
    await voices.open()
    judge = Counted(voices)
    ears = [make(judge) for _ in range(calls)]
    starts = [len(frames) * call // calls for call in range(calls)]
    steps = SECONDS * 1000 // FRAME_MS
    began = time.process_time()
    for step in range(steps):
        for part in range(SPREAD):
            for call in range(part, calls, SPREAD):
                frame = frames[(starts[call] + step) % len(frames)]
                data, start_ms = frame.data, step * FRAME_MS
                ears[call](AudioFrame(data, PCMU_8K, start_ms, FRAME_MS, Party.REMOTE))
            await asyncio.sleep(FRAME_MS / 1000 / SPREAD)
    spent_ms = (time.process_time() - began) * 1000
    await voices.aclose()
    call_seconds = calls * SECONDS
    return Cost(spent_ms / call_seconds, judge.asked / call_seconds)


async def _question_us(frames: Sequence[AudioFrame], questions: int) -> float:
    """Processor time of one question when so many are asked at once."""
    voices = Voices()
    await voices.open()
    talk = b"".join(frame.data for frame in frames)
    sounds = [talk[n * 999 : n * 999 + CHUNKS * 256] for n in range(questions)]
    loop = asyncio.get_running_loop()
    best = float("inf")
    for _ in range(max(20, 400 // questions)):
        answers = [loop.create_future() for _ in sounds]
        began = time.process_time()
        for sound, answer in zip(sounds, answers, strict=True):
            voices.ask(sound, PCMU_8K, answer.set_result)
        await asyncio.gather(*answers)
        best = min(best, time.process_time() - began)
    await voices.aclose()
    return best * 1e6 / questions


def _conversation() -> list[AudioFrame]:
    """Talk of 4 s and silence of 6 s in turn."""
    talk = speech.talk()
    datas: list[bytes] = []
    for begin in range(0, len(talk), TALKS_FRAMES):
        datas += talk[begin : begin + TALKS_FRAMES]
        datas += [speech.SILENCE] * LISTENS_FRAMES
    return [AudioFrame(data, PCMU_8K, 0, FRAME_MS, Party.REMOTE) for data in datas]


if __name__ == "__main__":
    main()
