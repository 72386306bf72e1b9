"""The voice of a scripted caller: espeak-ng, in another voice and at another pace than agents use.

Loads the library into this process and holds the interpreter while it speaks: for programs that
prepare a call, never beside a live one.
"""

from service.ai.offline.espeak import Espeak
from service.ai.offline.speech import say
from service.media.g711 import encode_pcmu

VOICE = "en-us+f2"
WORDS_PER_MINUTE = 150
PITCH = 50


class CallerVoice:
    """Speaks a caller's lines. One per process: espeak-ng is a single global thing."""

    def __init__(self) -> None:
        self._espeak = Espeak()

    def say(self, text: str) -> bytes:
        """The sound of `text`, as PCMU."""
        spoken = say(
            self._espeak, text, voice=VOICE, words_per_minute=WORDS_PER_MINUTE, pitch=PITCH
        )
        return encode_pcmu(spoken.pcm)
