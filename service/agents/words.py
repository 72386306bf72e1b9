"""What can be recognised and spoken offline: words, phonemes, and the voices that are installed.

Looks into the data files of espeak-ng without loading the library.
"""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_ALL_PHONEMES = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V "
    "W Y Z ZH"
)
PHONEMES = frozenset(_ALL_PHONEMES.split())
"""CMUdict's, without stress."""

_NOT_A_WORD = re.compile(r"[^\w' ]+|_")


def plain(phrase: str) -> str:
    """A phrase as a person says it: lower case, words and blanks only."""
    return " ".join(_NOT_A_WORD.sub(" ", phrase.replace("\u2019", "'").lower()).split())


def has_voice(name: str) -> bool:
    """Whether espeak-ng has this voice, with a variant after a plus sign."""
    voice, plus, variant = name.partition("+")
    return voice.lower() in _voices() and (not plus or variant in _variants())


@cache
def _voices() -> frozenset[str]:
    languages = _package("espeakng_loader") / "espeak-ng-data" / "lang"
    return frozenset(path.name.lower() for path in languages.rglob("*") if path.is_file())


@cache
def _variants() -> frozenset[str]:
    variants = _package("espeakng_loader") / "espeak-ng-data" / "voices" / "!v"
    return frozenset(path.name for path in variants.iterdir())


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return Path(spec.origin).parent
