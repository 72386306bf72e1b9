"""A second opinion: what was said in free English, to compare a doubtful phrase with.

A grammar fits any speech to one of its phrases; whoever writes down what they heard without
knowing the phrases does not. Takes several times as long, so it is asked only in doubt.
"""

from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

from pocketsphinx import Decoder, get_model_path

RATE_HZ = 16_000
_STATES_MOST = 3000
_WORDS_MOST = 10
"""Per frame: a rough guess in a quarter of the time a good one takes."""


class Dictation:
    """Free recognition of English."""

    def __init__(self) -> None:
        self._decoder = Decoder(
            samprate=RATE_HZ,
            lm=str(Path(get_model_path()) / "en-us" / "en-us.lm.bin"),
            bestpath=False,
            fwdflat=False,
            maxhmmpf=_STATES_MOST,
            maxwpf=_WORDS_MOST,
            loglevel="FATAL",
        )

    def likeness(self, pcm: bytes, phrase: str, pronounce: Callable[[str], str]) -> float:
        """How alike a phrase and what PCM16 at 16 kHz says are in sound: 0 to 1."""
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        if heard is None:
            return 0.0
        expected = [p for word in phrase.split() for p in pronounce(word).split()]
        found = [p for word in heard.hypstr.split() for p in self._phonemes(word)]
        return SequenceMatcher(None, expected, found, autojunk=False).ratio()

    def _phonemes(self, word: str) -> list[str]:
        return (self._decoder.lookup_word(word) or "").split()
