"""What the stand-in takes an utterance for: the script's next text, or what it recognises."""

from service.standin.script import Script
from service.standin.voice import Voice

_LEAST_BYTES = 1600  # 100 ms: less is no word, and the recogniser wants some sound


class Hearing:
    """The ears of one stand-in; `heard` is what was understood, in order."""

    def __init__(self, script: Script, voice: Voice) -> None:
        self.heard: list[str] = []
        self._script = script
        self._phrases = script.known_phrases()
        self._voice = voice
        self._count = 0

    def of_session(self) -> "Hearing":
        """The ears of one Realtime session, which may count its utterances by itself."""
        if self._script.heard_by == "server":
            return self
        own = Hearing(self._script, self._voice)
        own.heard = self.heard
        return own

    async def understand(self, pcm: bytes) -> str:
        """The words in PCM16 at 8 kHz; empty when there are none."""
        text = self._told()
        if text is None:
            text = await self._recognised(pcm)
        self.heard.append(text)
        return text

    def _told(self) -> str | None:
        heard = self._script.heard
        number, self._count = self._count, self._count + 1
        if heard and self._script.repeats:
            return heard[number % len(heard)]
        return heard[number] if number < len(heard) else None

    async def _recognised(self, pcm: bytes) -> str:
        if not self._phrases or len(pcm) < _LEAST_BYTES:
            return ""
        return await self._voice.recognise(pcm, self._phrases)
