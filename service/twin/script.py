"""A caller's script as data, from JSON or YAML: what a person does on the line, step by step.

    - wait_for_agent                          # until the agent has spoken and is quiet
    - say: When are you open?                 # spoken by this machine
    - play: hello.wav                         # or wav_base64: UklGR…
    - interrupt: {after_ms: 800, say: Stop}   # while the agent speaks
    - press: "12#"
    - silence: 500                            # milliseconds
    - hang_up

And the troubles of a line: drop_socket, redial (Telnyx), disturb, freeze, raw. All faults of a
script are named together; nothing is done by half a script.
"""

import base64
import binascii
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from service.twin.caller import (
    Disturb,
    DropSocket,
    Freeze,
    HangUp,
    InterruptAfter,
    Press,
    Raw,
    Redial,
    Say,
    Silence,
    Step,
    WaitForAgent,
    WaitForAgentStart,
)
from service.twin.speech import load_wav

T = TypeVar("T", bound=Struct)

MAX_STEPS = 1000
MAX_TEXT_CHARS = 2000
MAX_WAIT_MS = 600_000
MAX_SOUND_BYTES = 8000 * 600  # ten minutes
_KEYS = frozenset("0123456789*#ABCD")
_SOUNDS = ("say", "play", "wav_base64")


class ScriptFault(Exception):
    """A script cannot be carried out; each fault names its step."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Sounds(Struct, frozen=True):
    """What turns words and files into sound; `folder` None: files may not be named."""

    speak: Callable[[str], bytes]
    folder: Path | None = None


def read_script(script: Any, sounds: Sounds) -> tuple[Step, ...]:
    """The steps; may take seconds where words are spoken. ScriptFault."""
    if not isinstance(script, list):
        raise ScriptFault(["a script is a list of steps"])
    if len(script) > MAX_STEPS:
        raise ScriptFault([f"a script has at most {MAX_STEPS} steps"])
    steps: list[Step] = []
    faults: list[str] = []
    for number, given in enumerate(script, start=1):
        try:
            steps.append(_step(given, sounds))
        except (ValueError, OSError) as fault:
            faults.append(f"step {number}: {fault}")
    if faults:
        raise ScriptFault(faults)
    return tuple(steps)


def _step(given: Any, sounds: Sounds) -> Step:
    name, value = _named(given)
    match name:
        case "say" | "play" | "wav_base64":
            return Say(_sound({name: value}, sounds), text=str(value) if name == "say" else name)
        case "silence":
            return Silence(_ms(value))
        case "wait_for_agent":
            return _filled(WaitForAgent, value)
        case "wait_for_agent_start":
            return _filled(WaitForAgentStart, value)
        case "interrupt":
            return _interrupt(value, sounds)
        case "press":
            return Press(_keys(value))
        case "hang_up":
            return HangUp()
        case "drop_socket":
            return _filled(DropSocket, value)
        case "redial":
            return Redial()
        case "disturb":
            return _filled(Disturb, value)
        case "freeze":
            return Freeze(_ms(value))
        case "raw":
            return Raw(_text(value))
        case _:
            raise ValueError(f"no step is called {name!r}")


def _named(given: Any) -> tuple[str, Any]:
    if isinstance(given, str):
        return given, None
    if isinstance(given, Mapping) and len(given) == 1:
        [(name, value)] = given.items()
        return str(name), value
    raise ValueError("a step is a name, or one name with its value")


def _interrupt(value: Any, sounds: Sounds) -> InterruptAfter:
    given: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
    unknown = given.keys() - {"after_ms", "timeout_ms", *_SOUNDS}
    if unknown:
        raise ValueError(f"interrupt has no {', '.join(sorted(map(str, unknown)))}")
    after_ms = _ms(given.get("after_ms"))
    timeout_ms = _ms(given.get("timeout_ms", 20_000))
    pcmu = _sound({name: given[name] for name in _SOUNDS if name in given}, sounds)
    text = str(given.get("say", ""))
    return InterruptAfter(after_ms, pcmu, text=text, timeout_ms=timeout_ms)


def _sound(given: Mapping[str, Any], sounds: Sounds) -> bytes:
    if len(given) != 1:
        raise ValueError("exactly one of say, play and wav_base64 is needed")
    [(kind, value)] = given.items()
    if kind == "say":
        pcmu = sounds.speak(_text(value))
    elif kind == "play":
        pcmu = load_wav(_file(_text(value), sounds.folder))
    else:
        try:
            pcmu = load_wav(io.BytesIO(base64.b64decode(value, validate=True)))
        except (binascii.Error, TypeError):
            raise ValueError("wav_base64 is not base64") from None
    if len(pcmu) > MAX_SOUND_BYTES:
        raise ValueError("a sound lasts at most ten minutes")
    return pcmu


def _file(name: str, folder: Path | None) -> Path:
    if folder is None:
        raise ValueError("files cannot be played here: give wav_base64, or start with --sounds")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError("this file is not in the folder of sounds")
    return path


def _filled(kind: type[T], value: Any) -> T:
    """A step whose value names its fields."""
    try:
        step = msgspec.convert({} if value is None else value, _strict(kind))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    fields: dict[str, Any] = msgspec.structs.asdict(step)
    for name, given in fields.items():
        if isinstance(given, int) and not 0 <= given <= MAX_WAIT_MS:
            raise ValueError(f"{name} is not between 0 and {MAX_WAIT_MS}")
    return kind(**fields)


def _strict(kind: type[Struct]) -> type[Struct]:
    """The same fields, and no others."""
    fields = [(f.name, f.type, f.default) for f in msgspec.structs.fields(kind)]
    return msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=True)


def _ms(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_WAIT_MS:
        raise ValueError(f"expected milliseconds, from 0 to {MAX_WAIT_MS}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARS:
        raise ValueError(f"expected a text of at most {MAX_TEXT_CHARS} characters")
    return value


def _keys(value: Any) -> str:
    keys = _text(str(value) if type(value) is int else value)
    if not set(keys) <= _KEYS:
        raise ValueError("keys are 0 to 9, *, # and A to D")
    return keys
