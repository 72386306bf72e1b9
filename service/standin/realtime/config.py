"""What a session is set to, and what may be changed when.

https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from service.core.audio import MediaFormat
from service.standin.realtime.checks import (
    check_modalities,
    check_range,
    check_tokens,
    check_tools,
    missing,
)
from service.standin.refusals import Refusal
from service.standin.sound import FORMATS

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
_PCM = {"type": "audio/pcm", "rate": 24000}
_SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
}
_SEMANTIC_VAD = {"type": "semantic_vad", "eagerness": "auto"}
_ANSWERS = {"create_response": True, "interrupt_response": True}
_WITHOUT_TURNS = "gpt-realtime-whisper"


class Config:
    """The settings of one session; `shown` is how the API tells of them."""

    def __init__(self, session_id: str, model: str, expires_at: int) -> None:
        self.transcribes_only = not model
        heard = {
            "format": dict(_PCM),
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": dict(_SERVER_VAD) | ({} if not model else _ANSWERS),
        }
        self.shown: dict[str, Any] = {
            "type": "transcription" if self.transcribes_only else "realtime",
            "object": f"realtime.{'transcription_' if self.transcribes_only else ''}session",
            "id": session_id,
            "expires_at": expires_at,
            "include": None,
            "audio": {"input": heard},
        }
        if not self.transcribes_only:
            self.shown |= _spoken(model)
            self.shown["audio"]["output"] = {"format": dict(_PCM), "voice": "alloy", "speed": 1.0}

    def update(self, wanted: Mapping[str, Any], *, spoken: bool) -> None:
        """Change what is named; `spoken`: there has been sound of the assistant's. Or Refusal."""
        if wanted["type"] != self.shown["type"]:
            message = f"A {wanted['type']} session update is not allowed in this session."
            raise Refusal(message, code="invalid_value", param="session.type")
        _check(wanted)
        self._check_fixed(wanted, spoken=spoken)
        made = deepcopy(self.shown)
        made |= {name: value for name, value in wanted.items() if name != "audio"}
        audio = wanted.get("audio") or {}
        for side in ("input", "output"):
            if side in audio:
                made["audio"][side] |= audio[side]
        self._fill_turns(made["audio"]["input"], audio.get("input") or {})
        self.shown = made

    @property
    def hears(self) -> MediaFormat:
        """The format of the sound that comes in."""
        return FORMATS[self.shown["audio"]["input"]["format"]["type"]]

    @property
    def speaks(self) -> MediaFormat:
        """The format of the sound that goes out."""
        return FORMATS[self.shown["audio"]["output"]["format"]["type"]]

    @property
    def turns(self) -> dict[str, Any] | None:
        """The turn detection, None when it is off."""
        found: dict[str, Any] | None = self.shown["audio"]["input"]["turn_detection"]
        return found

    @property
    def transcription(self) -> dict[str, Any] | None:
        """How what is heard is written down, None when it is not."""
        found: dict[str, Any] | None = self.shown["audio"]["input"]["transcription"]
        return found

    def _check_fixed(self, wanted: Mapping[str, Any], *, spoken: bool) -> None:
        model = wanted.get("model", self.shown.get("model"))
        if model != self.shown.get("model"):
            message = "Cannot change the model of a session."
            raise Refusal(message, code="cannot_update_model", param="session.model")
        output = (wanted.get("audio") or {}).get("output") or {}
        voice = output.get("voice")
        if spoken and voice and voice != self.shown["audio"]["output"]["voice"]:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise Refusal(message, code="cannot_update_voice", param="session.audio.output.voice")

    def _fill_turns(self, made: dict[str, Any], wanted: Mapping[str, Any]) -> None:
        turns = wanted.get("turn_detection")
        if turns:
            usual = _SERVER_VAD if turns["type"] == "server_vad" else _SEMANTIC_VAD
            answers = {} if self.transcribes_only else _ANSWERS
            made["turn_detection"] = usual | answers | turns
        written = made["transcription"] or {}
        if written.get("model") == _WITHOUT_TURNS and made["turn_detection"]:
            message = f"Turn detection is not supported for {_WITHOUT_TURNS}."
            where = "session.audio.input.turn_detection"
            raise Refusal(message, code="invalid_value", param=where)


def _spoken(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "You are a helpful, witty, and friendly AI.",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
    }


def _check(wanted: Mapping[str, Any]) -> None:
    check_modalities(wanted.get("output_modalities"), "session.output_modalities")
    check_tokens(wanted.get("max_output_tokens"), "session.max_output_tokens")
    check_tools(wanted.get("tools") or (), "session.tools")
    audio = wanted.get("audio") or {}
    for side in ("input", "output"):
        _check_format((audio.get(side) or {}).get("format"), f"session.audio.{side}.format")
    output = audio.get("output") or {}
    check_voice(output.get("voice"), "session.audio.output.voice")
    check_range(output.get("speed"), "session.audio.output.speed", 0.25, 1.5)
    _check_turns((audio.get("input") or {}).get("turn_detection") or {})


def check_voice(voice: object, where: str) -> None:
    """Refusal when nobody has this voice."""
    if isinstance(voice, str) and voice not in VOICES:
        names = ", ".join(f"'{name}'" for name in VOICES)
        message = f"Invalid value: '{voice[:80]}'. Supported values are: {names}."
        raise Refusal(message, code="invalid_value", param=where)


def _check_format(wanted: Mapping[str, Any] | None, where: str) -> None:
    if wanted is None:
        return
    if "type" not in wanted:
        raise missing(f"{where}.type")
    if wanted["type"] == "audio/pcm" and "rate" not in wanted:
        raise missing(f"{where}.rate")


def _check_turns(turns: Mapping[str, Any]) -> None:
    where = "session.audio.input.turn_detection"
    check_range(turns.get("threshold"), f"{where}.threshold", 0, 1)
    check_range(turns.get("prefix_padding_ms"), f"{where}.prefix_padding_ms", 0, 5000)
    check_range(turns.get("silence_duration_ms"), f"{where}.silence_duration_ms", 0, 10_000)
    if turns.get("idle_timeout_ms") is not None:
        message = "This stand-in has no idle timeout."
        raise Refusal(message, code="unsupported_value", param=f"{where}.idle_timeout_ms")
