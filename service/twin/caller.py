"""A scripted person on the line: steps in code, turned into 20 ms of mu-law at a time.

Pure: each tick hands in what was just heard and takes out what the person does. A step is asked
for when the one before is done, so steps may be made up as the call goes; a caller without steps
left stays on the line in silence.
"""

import audioop
import itertools
import random
import struct
from collections.abc import Iterable, Iterator

from msgspec import Struct

from service.core.audio import FRAME_MS
from service.media.g711 import PCMU_SILENCE, decode_pcmu, encode_pcmu

FRAME_BYTES = 160
_LOUD_RMS = 200  # of 16 bit samples: above comfort noise (about -44 dB), below any spoken word
_NOISE_RMS = 32768 * 10 ** (-35 / 20)  # as live lines were measured


# Steps -----------------------------------------------------------------------------------------


class Say(Struct, frozen=True):
    """Say this sound (PCMU), whatever the agent does. `text` is for those who read along."""

    pcmu: bytes
    text: str = ""


class Silence(Struct, frozen=True):
    """Say nothing for a while."""

    ms: int


class WaitForAgent(Struct, frozen=True):
    """Wait until the agent has spoken and then been quiet for `quiet_ms`."""

    quiet_ms: int = 700
    timeout_ms: int = 20_000


class WaitForAgentStart(Struct, frozen=True):
    """Wait until the agent speaks."""

    timeout_ms: int = 20_000


class InterruptAfter(Struct, frozen=True):
    """Say `pcmu` once the agent has been speaking for `ms`, counted from this step."""

    ms: int
    pcmu: bytes
    text: str = ""
    timeout_ms: int = 20_000


class Press(Struct, frozen=True):
    """Press keys, `gap_ms` apart."""

    digits: str
    gap_ms: int = 200


class HangUp(Struct, frozen=True):
    """Put the phone down."""


class DropSocket(Struct, frozen=True):
    """The carrier loses its media socket: no `stop`. `close_code` None: as if a cable were cut."""

    close_code: int | None = None


class Redial(Struct, frozen=True):
    """The carrier opens a second media socket while the first is still there."""


class Disturb(Struct, frozen=True):
    """From here on every n-th frame is lost, sent twice, or sent `late_by` frames late; 0: none.

    `bunch`: frames come so many at a time; `join`: so many in one message. Marks are lost, or come
    back `marks_late_ms` late.
    """

    drop_every: int = 0
    repeat_every: int = 0
    late_every: int = 0
    late_by: int = 1
    bunch: int = 0
    join: int = 0
    lose_marks: bool = False
    marks_late_ms: int = 0


class Freeze(Struct, frozen=True):
    """The network is gone and nobody notices: for so long nothing is sent and nothing is read."""

    ms: int


class Raw(Struct, frozen=True):
    """The carrier sends this text on the media socket, whatever it is."""

    text: str


Step = (
    Say
    | Silence
    | WaitForAgent
    | WaitForAgentStart
    | InterruptAfter
    | Press
    | HangUp
    | DropSocket
    | Redial
    | Disturb
    | Freeze
    | Raw
)


# What comes out --------------------------------------------------------------------------------


class Frame(Struct, frozen=True):
    """20 ms of the person's sound, PCMU."""

    pcmu: bytes


class Key(Struct, frozen=True):
    """A key goes down."""

    digit: str


class Remark(Struct, frozen=True):
    """What the person is doing now, for those who read along: says, presses, gives_up."""

    kind: str
    text: str = ""


Act = Frame | Key | Remark | HangUp | DropSocket | Redial | Disturb | Freeze | Raw


class Caller:
    """One person, one call. With `noise` there is a faint rush wherever the person is silent."""

    def __init__(self, steps: Iterable[Step] = (), *, noise: bool = False) -> None:
        self._ears = _Ears()
        self._acts = _perform(steps, self._ears)
        self._rush = itertools.cycle(_rush()) if noise else itertools.repeat(_QUIET)

    def tick(self, heard: bytes) -> list[Act]:
        """The next 20 ms, after having heard `heard` (PCMU) in the last 20."""
        self._ears.listen(heard)
        return [
            Frame(next(self._rush)) if isinstance(act, Frame) and act.pcmu is _QUIET else act
            for act in next(self._acts)
        ]


class _Ears:
    """Whether the agent speaks, for how long, and how long it has been quiet."""

    def __init__(self) -> None:
        self.speaking_ms = 0
        self.quiet_ms = 0

    def listen(self, heard: bytes) -> None:
        if heard and audioop.rms(decode_pcmu(heard), 2) > _LOUD_RMS:
            self.speaking_ms += self.quiet_ms + FRAME_MS if self.speaking_ms else FRAME_MS
            self.quiet_ms = 0
        else:
            self.quiet_ms += FRAME_MS

    def forget(self) -> None:
        self.speaking_ms = self.quiet_ms = 0


def _perform(steps: Iterable[Step], ears: _Ears) -> Iterator[list[Act]]:
    held: list[Act] = []  # acts that take no time go out with the next frame
    for step in steps:
        for acts in _act(step, ears):
            if any(isinstance(act, Frame) for act in acts):
                yield [*held, *acts]
                held = []
            else:
                held += acts
    while True:
        yield [*held, Frame(_QUIET)]
        held = []


_QUIET = PCMU_SILENCE * FRAME_BYTES


def _rush() -> list[bytes]:
    """Half a second of noise, frame by frame; the same on every call."""
    chance = random.Random(1)
    count = FRAME_BYTES * 25
    samples = [round(chance.gauss(0.0, _NOISE_RMS)) for _ in range(count)]
    sound = encode_pcmu(struct.pack(f"<{count}h", *samples))
    return [sound[at : at + FRAME_BYTES] for at in range(0, count, FRAME_BYTES)]


def _act(step: Step, ears: _Ears) -> Iterator[list[Act]]:
    match step:
        case Say(pcmu, text):
            yield from _say(pcmu, text)
        case Silence(ms):
            yield from _quiet(ms)
        case WaitForAgent(quiet_ms, timeout_ms):
            yield from _wait(ears, timeout_ms, spoken_ms=1, quiet_ms=quiet_ms)
        case WaitForAgentStart(timeout_ms):
            yield from _wait(ears, timeout_ms, spoken_ms=1, quiet_ms=0)
        case InterruptAfter(ms, pcmu, text, timeout_ms):
            yield from _wait(ears, timeout_ms, spoken_ms=ms, quiet_ms=0)
            yield from _say(pcmu, text)
        case Press(digits, gap_ms):
            for digit in digits:
                yield [Remark("presses", digit), Key(digit)]
                yield from _quiet(gap_ms)
        case HangUp() | DropSocket() | Redial() | Disturb() | Freeze() | Raw():
            yield [step]


def _say(pcmu: bytes, text: str) -> Iterator[list[Act]]:
    yield [Remark("says", text)]
    for start in range(0, len(pcmu), FRAME_BYTES):
        yield [Frame(pcmu[start : start + FRAME_BYTES].ljust(FRAME_BYTES, PCMU_SILENCE))]


def _quiet(ms: int) -> Iterator[list[Act]]:
    for _ in range(max(1, ms // FRAME_MS)):
        yield [Frame(_QUIET)]


def _wait(ears: _Ears, timeout_ms: int, *, spoken_ms: int, quiet_ms: int) -> Iterator[list[Act]]:
    ears.forget()
    for _ in range(timeout_ms // FRAME_MS):
        yield [Frame(_QUIET)]
        if ears.speaking_ms >= spoken_ms and ears.quiet_ms >= quiet_ms:
            return
    yield [Remark("gives_up", f"waited {timeout_ms} ms for the agent")]
