"""Which of a few phrases did a person say? By pocketsphinx and a grammar of just these.

Speech that is none of them is refused by its likelihood. Holds the interpreter for tens of
milliseconds: for a process of its own.
"""

import math
from collections import OrderedDict

import numpy as np
import soxr
from pocketsphinx import Decoder, Segment

_GRAMMARS_MOST = 64
_MODEL_RATE_HZ = 16_000  # narrow-band features do not fit the acoustic model: 20 % right, not 90 %
_RATE_HZ = 8000
_EDGE = np.zeros(_RATE_HZ // 4, np.float32)
"""Silence on both sides: likelihoods are comparable only like for like."""

_BEAM = 1e-56
_WORD_BEAM = 1e-42
"""The usual ones (1e-48, 7e-29 for words) lose phrases of voices unlike the model's."""
_LEAST_LOG_LIKELIHOOD = -0.0040
"""Per frame of 10 ms."""
_LEAST_SPOKEN_LOG_LIKELIHOOD = -0.0052
_ALLOWED_FRAMES = 30
"""Per frame of the words alone: other speech is often taken for silence around a short phrase.
A short phrase fits badly at its edges, so some frames are added to every one."""
_NO_WORDS = ("<sil>", "(NULL)")
_LEVEL_RMS = 2000.0
_NOISE_RMS = 30.0
"""Silence to the model, where digital silence is like nothing it was made from."""
_INNER_SILENCE_MOST_FRAMES = 30
"""Speech that is made to fit a grammar is torn apart by silences between the words ..."""
_PHONEME_MOST_FRAMES = 28
"""... or its words are drawn out: more than this a phoneme, and nobody speaks so slowly."""
_DECOYS = ("um", "uh", "hmm", "hello", "oh")
"""What people say when they say nothing: better recognised than taken for a short phrase."""

_BEFORE = ("um", "uh", "hi", "hello", "yes", "okay", "hi there", "yes hello")
_AFTER = ("please", "thanks", "thank you")
_POLITE_LEAST_WORDS = 3
"""Around a shorter phrase, what is polite would be most of what is heard."""
_VOWELS_BEGIN = "AEIOU"
_BEFORE_SCHWA = ("IH", "UH", "AY", "AW")


class Recogniser:
    """Recognises phrases; keeps the grammars it used last."""

    def __init__(self) -> None:
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
        self._grammars: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self._made = 0

    def recognise(self, pcm: bytes, phrases: tuple[str, ...], pronounce: dict[str, str]) -> str:
        """The phrase that PCM16 at 8 kHz contains, empty when it is none of `phrases`."""
        if not phrases:
            return ""
        self._learn(phrases, pronounce)
        self._decoder.activate_search(self._grammar(phrases))
        self._decoder.start_utt()
        self._decoder.process_raw(_for_the_model(pcm), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        if found is None or found.score <= 0:
            return ""
        phrase = _without_politeness(found.hypstr, phrases)
        likelihood = math.log(found.score)
        if (
            likelihood / self._decoder.n_frames() < _LEAST_LOG_LIKELIHOOD
            or likelihood / (self._spoken_frames() + _ALLOWED_FRAMES)
            < _LEAST_SPOKEN_LOG_LIKELIHOOD
            or self._torn()
        ):
            return ""
        return phrase

    def _learn(self, phrases: tuple[str, ...], pronounce: dict[str, str]) -> None:
        for word, phonemes in pronounce.items():
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, phonemes, False)
        for word in {word for phrase in phrases for word in phrase.split()} - self._pronounced:
            self._pronounced.add(word)
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
            self._decoder.add_jsgf_string(name, _jsgf(name, phrases))
            self._grammars[phrases] = name
            if len(self._grammars) > _GRAMMARS_MOST:
                _, oldest = self._grammars.popitem(last=False)
                self._decoder.remove_search(oldest)
        self._grammars.move_to_end(phrases)
        return name

    def _spoken_frames(self) -> int:
        words = (s for s in self._decoder.seg() if s.word not in _NO_WORDS)
        return max(1, sum(_frames(s) for s in words))

    def _torn(self) -> bool:
        segments = [s for s in self._decoder.seg() if s.word != "(NULL)"]
        spoken = [i for i, segment in enumerate(segments) if segment.word != "<sil>"]
        inner = segments[spoken[0] : spoken[-1] + 1]
        silent = sum(_frames(s) for s in inner if s.word == "<sil>")
        return silent > _INNER_SILENCE_MOST_FRAMES or any(
            _frames(s) > _PHONEME_MOST_FRAMES * self._phonemes(s.word)
            for s in inner
            if s.word != "<sil>"
        )

    def _phonemes(self, word: str) -> int:
        return len((self._decoder.lookup_word(word) or "").split())


def _jsgf(name: str, phrases: tuple[str, ...]) -> str:
    alone = " | ".join(dict.fromkeys((*phrases, *_DECOYS)))
    rules = [f"public <phrase> = {alone}"]
    if long := " | ".join(p for p in phrases if len(p.split()) >= _POLITE_LEAST_WORDS):
        rules[0] += " | <before> <long> | <long> <after> | <before> <long> <after>"
        rules.append(f"<before> = {' | '.join(_BEFORE)}")
        rules.append(f"<after> = {' | '.join(_AFTER)}")
        rules.append(f"<long> = {long}")
    return f"#JSGF V1.0;\ngrammar {name};\n" + "".join(f"{rule};\n" for rule in rules)


def _without_politeness(heard: str, phrases: tuple[str, ...]) -> str:
    """The phrase in what was heard, or nothing."""
    if heard in phrases:
        return heard
    for before in ("", *(f"{word} " for word in _BEFORE)):
        for after in ("", *(f" {word}" for word in _AFTER)):
            if heard.startswith(before) and heard.endswith(after):
                phrase = heard[len(before) : len(heard) - len(after)]
                if phrase in phrases:
                    return phrase
    return ""


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
