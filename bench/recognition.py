"""`python -m bench.recognition`: how often the offline recogniser understands, and is fooled.

Says the shipped agents' phrases, and sentences beside them, in many espeak-ng voices; cuts them as
a call does, after µ-law or A-law, at several levels, with line noise; counts. With Debian's
`asterisk-core-sounds-en-wav` installed also recordings of a person. No espeak-ng voice is one that
the thresholds were chosen with (`--tuning` takes those); the phrases, some of the sentences and
recorded words, and the recorded person are.
"""

import time
import wave
import zlib
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np
from msgspec import Struct

from service.agents import AgentBook
from service.agents.words import plain
from service.ai.offline import speech
from service.ai.offline.espeak import Espeak
from service.ai.offline.pronounce import guess
from service.ai.offline.recogniser import Recogniser
from service.ai.utterance import Utterances
from service.core.audio import PCM16_8K, PCMA_8K, PCMU_8K, MediaFormat, Party
from service.core.events import SpeechStopped
from service.media.convert import Converter
from service.media.frames import Framer

T = TypeVar("T")
AGENTS = Path(__file__).parents[1] / "agents"
SOUNDS = Path("/usr/share/asterisk/sounds/en")
ACCENTS = (
    "en",
    "en-us",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)
VARIANTS = ("", *(f"+m{n}" for n in range(1, 8)), *(f"+f{n}" for n in range(1, 6)))
LINES = (
    (PCMU_8K, 0, None),
    (PCMU_8K, 0, -45),
    (PCMU_8K, -6, -45),
    (PCMU_8K, -12, -45),
    (PCMU_8K, -12, None),
    (PCMA_8K, -6, -50),
)
"""Format, level of the speech in dB, noise in dBFS."""
BESIDE = (
    "can you tell me the weather for tomorrow",
    "i lost my keys on the bus this morning",
    "my internet connection has stopped working again",
    "please transfer three hundred dollars to my savings account",
    "which platform does the train to boston leave from",
    "could you repeat the order number for me",
    "i would like a large pizza with mushrooms",
    "is there parking near your building",
    "my insurance company told me to call you",
    "are the test results back yet",
    "sorry i was talking to my wife",
    "just a second there is somebody at the door",
    "how old are you",
    "do you accept credit cards",
    "is this a recording or a real human being",
    "actually never mind about it",
)
BEFORE = ("hi, ", "hello, ", "um, ", "")
AFTER = (" please", " thank you", " thanks")
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
NOT_BESIDE = ("beep", "tone", "goodbye", "thank", "monkeys")
"""Recordings that are no speech, or are in the script."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Case(Struct, frozen=True):
    """Something said while an agent listens for `phrases`."""

    kind: str
    pcm: bytes
    phrases: tuple[str, ...]
    pronounce: dict[str, str] = {}
    truth: str = ""


def main() -> None:
    """Measure, and print a table."""
    parser = ArgumentParser(prog="python -m bench.recognition", description=__doc__)
    parser.add_argument("--tuning", action="store_true", help="the voices used for tuning")
    parser.add_argument("--size", type=int, default=300, help="phrases said")
    given = parser.parse_args()
    espeak = Espeak()
    recogniser = Recogniser(lambda word: guess(espeak, word))
    counts, took_s = defaultdict[str, Counter[str]](Counter), 0.0
    for case in cases(given.size, tuning=given.tuning):
        began_s = time.thread_time()
        found = recogniser.recognise(case.pcm, case.phrases, case.pronounce)
        took_s += time.thread_time() - began_s
        counts[case.kind]["right" if found == case.truth else "wrong" if found else "refused"] += 1
    total = sum(count.total() for count in counts.values())
    for kind, count in counts.items():
        shares = ", ".join(f"{v} {k} ({v / count.total():.1%})" for k, v in sorted(count.items()))
        print(f"{kind}: {count.total()} said, {shares}")
    print(f"{1000 * took_s / total:.0f} ms of processor time each")


def cases(size: int, *, tuning: bool) -> Iterator[Case]:
    """All that is said, the same in every run."""
    espeak, random = Espeak(), Random(7)
    voices = [accent + variant for accent in ACCENTS for variant in VARIANTS]
    Random(11).shuffle(voices)
    voices = voices[not tuning :: 2]
    steps = list(_steps())
    pool = [(phrase, step) for step in steps for phrase in step[0]]

    def said(text: str) -> list[bytes]:
        voice, speed = random.choice(voices), random.randint(120, 190)
        pitch = random.choice((25, 40, 50, 60, 75))
        spoken = speech.say(espeak, text, voice=voice, words_per_minute=speed, pitch=pitch)
        return cut(spoken.pcm, *random.choice(LINES))

    for phrase, (phrases, pronounce) in _around(pool, size, random):
        yield Case("scripted", b"".join(said(phrase)), phrases, pronounce, phrase)
    long = [entry for entry in pool if len(entry[0].split()) > 2]
    for phrase, (phrases, pronounce) in _around(long, size // 5, random):
        text = random.choice(BEFORE) + phrase + random.choice(AFTER)
        yield Case("scripted, politely", b"".join(said(text)), phrases, pronounce, phrase)
    for text in _around(BESIDE, size // 2, random):
        phrases, pronounce = random.choice(steps)
        yield from (Case("beside the script", pcm, phrases, pronounce) for pcm in said(text))
    yield from _recorded(steps, random, tuning=tuning)


def cut(pcm: bytes, form: MediaFormat, level_db: float, noise_dbfs: float | None) -> list[bytes]:
    """What the detector takes for utterances, with silence before and after, as PCM16."""
    samples = np.frombuffer(pcm, "<i2") * 10 ** (level_db / 20)
    samples = np.concatenate((np.zeros(4000), samples, np.zeros(8000)))
    if noise_dbfs is not None:
        rms = 32768 * 10 ** (noise_dbfs / 20)
        samples = samples + np.random.default_rng(samples.size).normal(0, rms, samples.size)
    clipped = np.clip(samples, -32768, 32767).astype("<i2").tobytes()
    framer = Framer(form, Party.REMOTE, start_ms=0, frame_ms=20)
    heard = Utterances(form, most_ms=15_000)
    found = []
    for frame in [*framer.push(Converter(PCM16_8K, form).convert(clipped)), *framer.flush()]:
        if isinstance(heard.hear(frame), SpeechStopped):
            converter = Converter(form, PCM16_8K)
            data = converter.convert(b"".join(part.data for part in heard.frames))
            found.append(data + converter.flush())
    return found


def _steps() -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    book = AgentBook(AGENTS)
    book.load()
    for agent in (book.get("receptionist"), book.get("keypad")):
        if agent is None:
            raise SystemExit(f"{AGENTS}: an agent is missing")
        for step in dict.fromkeys(reply.when for reply in agent.replies):
            heard = (h.phrase for h in agent.heard if h.reply.when in (step, None))
            yield tuple(dict.fromkeys((*heard, *map(plain, agent.again)))), agent.pronounce


def _around(entries: Sequence[T], size: int, random: Random) -> Iterator[T]:
    while size > 0:
        shuffled = random.sample(entries, len(entries))
        yield from shuffled[:size]
        size -= len(shuffled)


def _recorded(
    steps: list[tuple[tuple[str, ...], dict[str, str]]], random: Random, *, tuning: bool
) -> Iterator[Case]:
    for words, name in ((DAYS, "digits/day-{}"), (DIGITS, "digits/{}")):
        for number, word in enumerate(words):
            for line in LINES:
                if pcm := _recording(name.format(number)):
                    yield Case("recorded words", b"".join(cut(pcm, *line)), words, {}, word)
    for path in sorted(SOUNDS.glob("*.wav")):
        in_tuning = zlib.crc32(path.stem.encode()) % 2 == 0
        if in_tuning == tuning and not any(part in path.stem for part in NOT_BESIDE):
            for pcm in cut(_recording(path.stem), *random.choice(LINES)):
                yield Case("recorded, beside the script", pcm, *random.choice(steps))


def _recording(name: str) -> bytes:
    path = SOUNDS / f"{name}.wav"
    if not path.is_file():
        return b""
    with wave.open(str(path)) as file:
        pcm: bytes = file.readframes(file.getnframes())
        return pcm


if __name__ == "__main__":
    main()
