"""Which of a few phrases did a person say? By pocketsphinx and a grammar of just these.

A grammar fits any speech to one of its phrases, so how well it fits decides: well is believed,
badly is not, and in between a second opinion is asked. Holds the interpreter for a tenth of a
second, in doubt for a third: for a process of its own. `python -m bench.recognition` measures it.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import soxr
from pocketsphinx import Decoder, Segment

from service.ai.offline.dictation import RATE_HZ as _MODEL_RATE_HZ
from service.ai.offline.dictation import Dictation
from service.ai.offline.grammar import jsgf, phrase_in

_GRAMMARS_MOST = 64
_RATE_HZ = 8000
_EDGE = np.zeros(_RATE_HZ // 4, np.float32)
"""Silence on both sides: likelihoods are comparable only like for like."""

_BEAM = 1e-56
_WORD_BEAM = 1e-42
"""The usual ones (1e-48, 7e-29 for words) lose phrases of voices unlike the model's."""
_SURE = -0.0032
"""Log-likelihood per frame of 10 ms from which a phrase is believed ..."""
_SURE_SPOKEN = -0.0046
"""... if the words alone fit, too: other speech is often taken for silence around a phrase."""
_HOPELESS_SPOKEN = -0.0056
_ALLOWED_FRAMES = 30
"""A short phrase fits badly at its edges, so some frames are added to every one."""
_ALIKE = 0.33
"""In doubt, how alike a phrase must be to what free recognition heard."""
_NO_WORDS = ("<sil>", "(NULL)")
_LEVEL_RMS = 2000.0
_NOISE_RMS = 30.0
"""Silence to the model, where digital silence is like nothing it was made from."""
_VOWELS_BEGIN = "AEIOU"
_BEFORE_SCHWA = ("IH", "UH", "AY", "AW")


class Recogniser:
    """Recognises phrases; keeps the grammars it used last.

    `guess` gives the phonemes of a word that the dictionary lacks.
    """

    def __init__(self, guess: Callable[[str], str]) -> None:
        self._guess = guess
        self._dictation = Dictation()
        # bestpath looks for a better way through the lattice, and refuses what did not end well;
        # the likelihood does that more gently.
        self._decoder = Decoder(
            samprate=_MODEL_RATE_HZ,
            lm=None,
            bestpath=False,
            beam=_BEAM,
            pbeam=_BEAM,
            wbeam=_WORD_BEAM,
            loglevel="FATAL",
        )
        self._pronounced: set[str] = set()
        self._unsayable: set[str] = set()
        self._grammars: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self._made = 0

    def recognise(self, pcm: bytes, phrases: tuple[str, ...], pronounce: dict[str, str]) -> str:
        """The phrase that PCM16 at 8 kHz contains, empty when it is none of `phrases`."""
        self._learn(phrases, pronounce)
        phrases = tuple(p for p in phrases if not self._unsayable & {*p.split()})
        if not phrases:
            return ""
        self._decoder.activate_search(self._grammar(phrases))
        sound = _for_the_model(pcm)
        self._decoder.reinit_feat()  # what was said before is not to change what is heard now
        self._decoder.start_utt()
        self._decoder.process_raw(sound, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        if found is None or found.score <= 0:
            return ""
        phrase = phrase_in(found.hypstr, phrases)
        return phrase if phrase and self._fits(found.hypstr, found.score, sound) else ""

    def _fits(self, heard: str, score: float, sound: bytes) -> bool:
        likelihood = math.log(score)
        spoken = likelihood / (self._spoken_frames() + _ALLOWED_FRAMES)
        if spoken >= _SURE_SPOKEN and likelihood / self._decoder.n_frames() >= _SURE:
            return True
        if spoken < _HOPELESS_SPOKEN:
            return False
        return self._dictation.likeness(sound, heard, self._phonemes) >= _ALIKE

    def _learn(self, phrases: tuple[str, ...], pronounce: dict[str, str]) -> None:
        words = {word for phrase in phrases for word in phrase.split()}
        for word in sorted(words - self._pronounced):  # in one order, whatever the hash seed
            self._pronounced.add(word)
            if word in pronounce or self._decoder.lookup_word(word) is None:
                phonemes = pronounce.get(word) or self._guess(word)
                if not phonemes:  # pocketsphinx would crash on it
                    self._unsayable.add(word)
                    continue
                self._decoder.add_word(word, phonemes, False)
            known = self._pronunciations(word)
            for phonemes in [_elsewhere(american) for american in known]:
                if phonemes not in known:
                    known.append(phonemes)
                    self._decoder.add_word(f"{word}({len(known)})", phonemes, False)

    def _pronunciations(self, word: str) -> list[str]:
        found: list[str] = []
        spelling = word
        while (phonemes := self._decoder.lookup_word(spelling)) is not None:
            found.append(phonemes)
            spelling = f"{word}({len(found) + 1})"
        return found

    def _grammar(self, phrases: tuple[str, ...]) -> str:
        name = self._grammars.get(phrases)
        if name is None:
            self._made += 1
            name = f"g{self._made}"
            self._decoder.add_jsgf_string(name, jsgf(name, phrases))
            self._grammars[phrases] = name
            if len(self._grammars) > _GRAMMARS_MOST:
                _, oldest = self._grammars.popitem(last=False)
                self._decoder.remove_search(oldest)
        self._grammars.move_to_end(phrases)
        return name

    def _spoken_frames(self) -> int:
        words = (s for s in self._decoder.seg() if s.word not in _NO_WORDS)
        return max(1, sum(_frames(s) for s in words))

    def _phonemes(self, word: str) -> str:
        return self._decoder.lookup_word(word) or ""


def _elsewhere(phonemes: str) -> str:
    """As in England, where r is silent before consonants; the dictionary is American."""
    spoken: list[str] = []
    following = [*phonemes.split()[1:], ""]
    for phoneme, after in zip(phonemes.split(), following, strict=True):
        before_vowel = after[:1] in _VOWELS_BEGIN and bool(after)
        if phoneme == "ER":
            spoken += ["AH", "R"] if before_vowel else ["AH"]
        elif phoneme == "R" and spoken and not before_vowel:
            spoken += ["AH"] if spoken[-1] in _BEFORE_SCHWA else []
        elif phoneme == "AA" and after != "R":
            spoken.append("AO")
        else:
            spoken.append(phoneme)
    return " ".join(spoken)


def _frames(segment: Segment) -> int:
    return int(segment.end_frame - segment.start_frame + 1)


def _for_the_model(pcm: bytes) -> bytes:
    """One loudness, the same silence around and under it, and the model's rate."""
    speech = np.frombuffer(pcm, np.dtype("<i2")).astype(np.float32)
    size = np.abs(speech)
    voiced = speech[size > size.max(initial=0.0) * 0.05]
    rms = float(np.sqrt(np.mean(np.square(voiced)))) if voiced.size else 1.0
    samples = np.concatenate((_EDGE, speech * (_LEVEL_RMS / (rms + 1.0)), _EDGE))
    noise = np.random.default_rng(0).normal(0.0, _NOISE_RMS, samples.size)
    wide = soxr.resample(samples + noise.astype(np.float32), _RATE_HZ, _MODEL_RATE_HZ)
    encoded: bytes = np.clip(wide, -32768, 32767).astype("<i2").tobytes()
    return encoded
