"""Which models there are, by what they can do: those that the openai package names."""

from typing import Any, Literal, get_args, get_type_hints

from openai.types.audio.speech_model import SpeechModel
from openai.types.audio_model import AudioModel
from openai.types.chat_model import ChatModel
from openai.types.realtime.audio_transcription_param import AudioTranscriptionParam
from openai.types.realtime.realtime_session_create_request_param import (
    RealtimeSessionCreateRequestParam,
)

Kind = Literal["chat", "realtime", "speech", "transcription"]


def _named(annotation: Any) -> frozenset[str]:
    """The texts in a type of literals, however deep."""
    if isinstance(annotation, str):
        return frozenset((annotation,))
    return frozenset().union(*(_named(part) for part in get_args(annotation)))


MODELS: dict[Kind, frozenset[str]] = {
    "chat": _named(ChatModel),
    "realtime": _named(get_type_hints(RealtimeSessionCreateRequestParam)["model"]),
    "speech": _named(SpeechModel),
    "transcription": _named(AudioModel) | _named(get_type_hints(AudioTranscriptionParam)["model"]),
}
