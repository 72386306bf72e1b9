"""What a failed test leaves behind: its calls as the service recorded them, and as sound."""

import re
from pathlib import Path

from msgspec.structs import replace

from service.cassettes.cassette import Cassette
from service.cassettes.files import write
from service.replay.wav import write_wav
from service.testing.scripted_call import ScriptedCall


def save(call: ScriptedCall, folder: Path, name: str) -> list[Path]:
    """Write a call that is over as `name.wav`, and as `name.jsonl` when the service had it."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
    sound = folder / f"{stem}.wav"
    write_wav(sound, call.record)
    recorded = call.recorded()
    if recorded is None:
        return [sound]
    cassette = folder / f"{stem}.jsonl"
    write(cassette, Cassette(replace(recorded.header, title=name), recorded.lines))
    return [cassette, sound]
