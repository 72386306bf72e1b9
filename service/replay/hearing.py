"""Two stretches of the agent's sound: whether they would be heard as the same, and if not, why not.

Pure. Says in words and in the call's time what `sound.py` finds; in exact mode it compares bytes.
"""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from service.core.audio import Encoding, MediaFormat
from service.media.g711 import decode_pcma, decode_pcmu
from service.replay.deeds import Stretch
from service.replay.sound import Place, compare_sound
from service.replay.waves import Samples


class Heard(Struct, frozen=True):
    """Something that one hears, from a time on."""

    at_ms: int
    what: str
    expected: str
    actual: str


def samples(data: bytes, sound: MediaFormat) -> Samples | None:
    """Samples of -1 to 1; None for a format that is not decoded here."""
    match sound.encoding:
        case Encoding.PCMU:
            pcm = np.frombuffer(decode_pcmu(data), "<i2")
        case Encoding.PCMA:
            pcm = np.frombuffer(decode_pcma(data), "<i2")
        case Encoding.PCM16 | Encoding.L16:
            order = "<i2" if sound.encoding is Encoding.PCM16 else ">i2"
            pcm = np.frombuffer(data[: len(data) // 2 * 2], order)
        case _:
            return None
    return pcm.astype(np.float32) / np.float32(32768)


def listen(
    should: Stretch, did: Stretch, sound: MediaFormat, *, level_db: float, shift_ms: int
) -> Iterator[Heard]:
    """What is heard otherwise than it should be."""
    more_ms = did.length_ms - should.length_ms
    if abs(more_ms) > shift_ms:
        way = "goes on" if more_ms > 0 else "breaks off"
        yield Heard(
            min(should.at_ms + should.length_ms, did.ends_ms),
            f"sound {way} {abs(more_ms)} ms too {'long' if more_ms > 0 else 'early'}",
            f"{should.length_ms / 1000:.3f} s of sound",
            f"{did.length_ms / 1000:.3f} s",
        )
    if should.data == did.data:
        return
    wanted, got = samples(should.data, sound), samples(did.data, sound)
    if wanted is None or got is None:
        return
    rate_hz = sound.sample_rate_hz
    for place in compare_sound(wanted, got, rate_hz=rate_hz, loud_db=level_db, shift_ms=shift_ms):
        yield _told(place, did.at_ms)


def differing_bytes(should: Stretch, did: Stretch, sound: MediaFormat) -> Iterator[Heard]:
    """Where the bytes are not the same."""
    if should.data == did.data:
        return
    pairs = zip(should.data, did.data, strict=False)
    first = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    if first is None:
        first = min(len(should.data), len(did.data))
    at_ms = did.at_ms + sound.duration_ms(first)
    yield Heard(
        at_ms,
        f"sound has other bytes from byte {first} on, at {at_ms / 1000:.3f} s",
        _bytes(should.data, first),
        _bytes(did.data, first),
    )


def _bytes(data: bytes, first: int) -> str:
    return f"{len(data)} bytes, there {data[first : first + 8].hex(' ') or 'none'}"


def _told(place: Place, began_ms: int) -> Heard:
    at_ms = began_ms + place.from_ms
    said = _in_words(place, at_ms / 1000, (began_ms + place.to_ms) / 1000)
    return Heard(at_ms, f"sound: {said[0]}", said[1], said[2])


def _in_words(place: Place, from_s: float, to_s: float) -> tuple[str, str, str]:
    """What is wrong, what was expected, what came."""
    at, span = f"at {from_s:.2f} s", f"from {from_s:.2f} s to {to_s:.2f} s"
    length = f"{place.length_ms} ms"
    match place.what:
        case "gap":
            return f"gap of {length} {at}", "sound", f"{length} of silence, then the sound"
        case "pause":
            return f"pause of other length {at}", "as long as it was", f"{length} more or less"
        case "doubled":
            return f"{length} doubled {at}", "each frame once", "frames twice"
        case "inserted":
            return f"{length} of other sound put in {at}", "the sound goes on", "other sound first"
        case "missing":
            return f"{length} missing {at}", f"{length} of sound", "the sound after it"
        case "swapped":
            return f"frames in wrong order {span}", "frames in order", "the same, in another order"
        case "silence":
            return f"silence {span}", "sound", "silence"
        case "noise":
            return f"sound in place of silence {span}", "silence", "sound"
        case "other":
            return f"different sound {span}", "the sound that was recorded", "another sound"
        case "level":
            by = f"{abs(place.level_db):.1f} dB {'louder' if place.level_db > 0 else 'quieter'}"
            return f"{by} {span}", "as loud as it was", by
