"""Two replays are the same to the last byte, whatever happened before and whatever the hash seed.

Each process here plays with another hash seed, and other calls before it.
"""

import os
import subprocess
import sys
from pathlib import Path

from service.ai.offline.espeak import Espeak
from tests.replay.fixtures import INTERRUPTS, ROOT, TALKED

_PLAY = """
import hashlib, pathlib, sys
import msgspec
from service.cassettes import files
from service.replay import playing
for path in map(pathlib.Path, sys.argv[1:]):
    lines = playing.play_inside(files.read(path), agents=pathlib.Path("agents"))
    print(path.parent.name, path.stem, hashlib.sha256(msgspec.json.encode(lines)).hexdigest())
"""


def test_every_replay_in_every_process_gives_the_same_bytes() -> None:
    played = [_play("1", TALKED, INTERRUPTS), _play("4000", INTERRUPTS, TALKED)]
    digests = [process.communicate(timeout=60)[0].splitlines() for process in played]
    assert [process.returncode for process in played] == [0, 0]
    assert len(digests[0]) + len(digests[1]) == 4
    assert len({*digests[0], *digests[1]}) == 2


def test_a_sentence_sounds_the_same_whatever_was_said_before() -> None:
    def say(espeak: Espeak, text: str) -> bytes:
        return espeak.say(text, voice="en-us", words_per_minute=165, pitch=45).pcm

    fresh, used = Espeak(), Espeak()
    say(used, "Something else, said before.")
    assert say(used, "We are open.") == say(used, "We are open.") == say(fresh, "We are open.")


def _play(hash_seed: str, *paths: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _PLAY, *map(str, paths)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        text=True,
    )
