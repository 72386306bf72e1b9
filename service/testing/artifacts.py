"""What a failed test leaves behind: its calls as cassettes, and as sound of both sides."""

import re
from itertools import accumulate
from pathlib import Path

import msgspec

from service.cassettes.cassette import VERSION, Cassette, Happening, Header, Line
from service.cassettes.files import write
from service.replay.wav import write_wav
from service.testing.scripted_call import ScriptedCall


def save(call: ScriptedCall, folder: Path, name: str) -> list[Path]:
    """Write a call that is over as `name.jsonl` and `name.wav`."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
    cassette, sound = folder / f"{stem}.jsonl", folder / f"{stem}.wav"
    write(cassette, cassette_of(call, name))
    write_wav(sound, call.record)
    return [cassette, sound]


def cassette_of(call: ScriptedCall, title: str) -> Cassette:
    """The call as a cassette. Its numbers and voices are made up, so nothing has to be redacted."""
    lines = [*msgspec.convert(call.record.lines, list[Line]), *_store_lines(call)]
    header = Header(
        cassette=VERSION,
        provider=call.provider,
        title=title,
        agent=call.agent,
        redacted=True,
        began_at=call.began_at,
        order=call.order,
    )
    return Cassette(header, tuple(sorted(lines, key=lambda line: line.at_ms)))


def _store_lines(call: ScriptedCall) -> list[Line]:
    """In the order of the store, whatever their times say."""
    times_ms = accumulate((max(0, event.at_ms) for event in call.events), max)
    return [
        Line(at_ms=ms, lane="store", from_="bridge", event=Happening(event.type, event.data))
        for ms, event in zip(times_ms, call.events, strict=True)
    ]
