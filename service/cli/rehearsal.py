"""A sentence spoken by the offline engine and understood by itself: does its voice work here?

What it takes is in native libraries, whose absence shows only when they are used. No telephone line
is involved: sound goes from one side of the engine to the other.
"""

import asyncio

from providers.base import Finding
from service.agents import Agent
from service.ai.base import Brief, Engine
from service.ai.offline.engine import OfflineEngine
from service.ai.offline.workers import Workers
from service.clock import Clock, Ids
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, Party
from service.core.calls import CallId
from service.core.commands import Hear
from service.core.errors import EngineError
from service.core.events import EngineEvent, EngineFailed, Transcribed
from service.media.convert import Converter
from service.media.frames import Framer

SENTENCE = "what are your opening hours"
DEADLINE_S = 30.0  # the libraries read a dictionary first
SILENCE_MS = 2000
"""After the sentence, for the engine to notice its end."""

AGENT = {
    "name": "rehearsal",
    "engine": "offline",
    "greeting": "Hello.",
    "replies": [{"hears": [SENTENCE], "says": "We are open."}],
}


async def rehearse() -> list[Finding]:
    """Whether the offline engine speaks and understands."""
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            OfflineEngine(Ids(Clock()).new, staff=Workers(1)) as engine,
        ):
            spoken = await engine.synthesise(SENTENCE)
            heard = await understood(engine, _on_a_line(spoken.pcm))
    except EngineError as error:
        what = f"the offline engine does not work here ({error.code})"
        return [
            Finding("fail", what, "install callbridge anew: espeak-ng or pocketsphinx is amiss")
        ]
    except TimeoutError:
        what = f"the offline engine understood nothing in {DEADLINE_S:.0f} s"
        return [Finding("fail", what, "see whether this machine is overloaded")]
    return [_verdict(heard)]


async def understood(engine: Engine, frames: list[AudioFrame]) -> str:
    """What the engine makes of the sound. EngineError when it fails."""
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def emit(event: EngineEvent) -> None:
        if heard.done():
            return
        if isinstance(event, Transcribed) and event.final:
            heard.set_result(event.text)
        elif isinstance(event, EngineFailed):
            heard.set_exception(EngineError(event.code, event.detail))

    brief = Brief(
        call_id=CallId("call_rehearsal"),
        agent=Agent.model_validate(AGENT),
        hears=PCMU_8K,
        speaks=PCMU_8K,
    )
    async with engine.open(brief, emit) as talk:
        for frame in frames:
            talk.do(Hear(frame), frame.start_ms)
        return await heard


def _on_a_line(pcm: bytes) -> list[AudioFrame]:
    """The sound as a telephone line brings it, and silence after it."""
    converter = Converter(PCM16_8K, PCMU_8K)
    framer = Framer(PCMU_8K, Party.REMOTE)
    silence = bytes(SILENCE_MS * 16)  # 8 samples of 2 bytes a millisecond
    sound = converter.convert(pcm + silence) + converter.flush()
    return [*framer.push(sound), *framer.flush()]


def _verdict(heard: str) -> Finding:
    if heard.lower().strip(" .?") == SENTENCE:
        return Finding("ok", "the offline engine speaks and understands itself")
    return Finding("fail", "the offline engine misunderstands its own voice", "install it anew")
