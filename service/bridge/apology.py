"""The sentence kept ready for when the engine fails: made when the service starts."""

from msgspec import Struct

from service.core.audio import PCM16_8K, AudioFrame, MediaFormat, Party
from service.core.dialog import APOLOGY
from service.core.events import EngineEvent, TurnAudio, TurnEnded, TurnText
from service.media.convert import Converter


class Apology(Struct, frozen=True):
    """Its text, and its sound as PCM16; without sound nothing is said."""

    text: str = ""
    pcm16_8k: bytes = b""

    def spoken(self, audio_format: MediaFormat) -> list[EngineEvent]:
        """The turn that an engine would have made of it."""
        events: list[EngineEvent] = []
        if self.pcm16_8k:
            data = Converter(PCM16_8K, audio_format).convert(self.pcm16_8k)
            length_ms = audio_format.duration_ms(len(data))
            sound = AudioFrame(data, audio_format, 0, length_ms, Party.AGENT)
            events += [TurnText(APOLOGY, self.text, 0), TurnAudio(APOLOGY, sound)]
        return [*events, TurnEnded(APOLOGY)]
