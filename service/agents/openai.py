"""How the OpenAI engines listen, think and speak: models, voices, servers.

Any server that speaks OpenAI's API will do; a key is named, never written here.
What may not differ from call to call, the server and its key, stands apart from what may.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from service.agents.parts import ModelName, Part
from service.agents.web import BaseUrl, Secret

Speed = Annotated[float, Field(ge=0.25, le=4.0)]
Tokens = Annotated[int, Field(ge=1, le=4096)]
Prompt = Annotated[str, StringConstraints(max_length=2000)]


class Server(Part):
    """Which server to ask, and with which key."""

    url: BaseUrl = ""
    """The server's URL with /v1; empty for OPENAI_BASE_URL, else OpenAI's own."""
    secret: Secret = ""
    """NAME: the key is the environment variable CALLBRIDGE_SECRET_NAME; empty: OPENAI_API_KEY."""


class RealtimeManners(Part):
    """How `openai-realtime` converses."""

    model: ModelName = "gpt-realtime"
    """The speech-to-speech model."""
    voice: ModelName = "marin"
    """The model's voice."""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    """How fast it speaks."""
    max_output_tokens: Tokens | None = None
    """The most it may make for one answer, sound included; null: no limit but the model's own."""
    noise_reduction: Literal["near_field", "far_field", "off"] = "near_field"
    """For a telephone at the ear, for a loudspeaker across the room, or none."""
    turn_detection: Literal["ours", "server", "semantic"] = "ours"
    """Who decides that the caller's turn is over: callbridge, the server's voice detection, or the
    server's model of meaning."""
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """How soon `semantic` takes a turn for over."""
    transcription_model: ModelName = "gpt-4o-mini-transcribe"
    """What writes down what the caller says."""


class Realtime(RealtimeManners, Server):
    """`openai-realtime`: one model that hears and speaks."""


class RecognitionManners(Part):
    """How `openai-pipeline` hears."""

    model: ModelName = "gpt-4o-mini-transcribe"
    """The model for recognition."""
    how: Literal["stream", "upload"] = "stream"
    """While the caller speaks, or each utterance when it is over, which every server can."""
    prompt: Prompt = ""
    """Names and words to expect."""


class Recognition(RecognitionManners, Server):
    """Speech to text, and the server that does it."""


class LanguageModelManners(Part):
    """How `openai-pipeline` thinks."""

    name: ModelName = "gpt-4.1-mini"
    """The language model."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """How much answers vary; null: as the server likes."""
    max_output_tokens: Tokens | None = 400
    """The most it may write for one answer; null: no limit but the model's own."""


class LanguageModel(LanguageModelManners, Server):
    """Text to text, and the server that does it."""


class SpeechManners(Part):
    """How `openai-pipeline` speaks."""

    model: ModelName = "gpt-4o-mini-tts"
    """The model for speech."""
    voice: ModelName = "marin"
    """The model's voice."""
    instructions: Prompt = ""
    """How to speak: tone, pace, accent."""
    speed: Speed = 1.0
    """How fast it speaks."""
    sample_rate_hz: Annotated[int, Field(ge=8000, le=48_000)] = 24_000
    """Of the PCM that the server sends."""


class Speech(SpeechManners, Server):
    """Text to speech, and the server that does it."""


class PipelineManners(Part):
    """How `openai-pipeline` converses."""

    recognition: RecognitionManners = RecognitionManners()
    """Speech to text."""
    model: LanguageModelManners = LanguageModelManners()
    """Text to text."""
    speech: SpeechManners = SpeechManners()
    """Text to speech."""


class Pipeline(Part):
    """`openai-pipeline`: recognition, language model and speech, each with a server of its own."""

    recognition: Recognition = Recognition()
    """Speech to text."""
    model: LanguageModel = LanguageModel()
    """Text to text."""
    speech: Speech = Speech()
    """Text to speech."""
