"""How a word that the recogniser's dictionary lacks is said: espeak-ng's phonemes as CMUdict's.

Names, brands and new words are in no dictionary; a guess by rule is good enough to be understood
by. espeak-ng's names are those of its docs/phonemes.md, en-us; CMUdict's are ARPAbet's.
"""

from service.ai.offline.espeak import Espeak

VOICE = "en-us"

_VOWELS = {
    "a": "AE",
    "aa": "AE",
    "a#": "AH",
    "A:": "AA",
    "A@": "AA R",
    "aI": "AY",
    "aI@": "AY ER",
    "aI3": "AY ER",
    "aU": "AW",
    "aU@": "AW ER",
    "0": "AA",
    "O": "AO",
    "O2": "AO",
    "O:": "AO",
    "O@": "AO R",
    "o@": "AO R",
    "OI": "OY",
    "oU": "OW",
    "oU#": "OW",
    "E": "EH",
    "E2": "EH",
    "E#": "EH",
    "e@": "EH R",
    "eI": "EY",
    "I": "IH",
    "I2": "IH",
    "I#": "IH",
    "i": "IY",
    "i:": "IY",
    "i@": "IH R",
    "i@3": "IH R",
    "IR": "IH R",
    "U": "UH",
    "U@": "UH R",
    "u": "UW",
    "u:": "UW",
    "V": "AH",
    "VR": "ER",
    "@": "AH",
    "@2": "AH",
    "@5": "UH",
    "@L": "AH L",
    "3": "ER",
    "3:": "ER",
}
_CONSONANTS = {
    "b": "B",
    "d": "D",
    "D": "DH",
    "dZ": "JH",
    "f": "F",
    "g": "G",
    "h": "HH",
    "j": "Y",
    "k": "K",
    "l": "L",
    "L": "L",
    "m": "M",
    "n": "N",
    "n-": "AH N",
    "N": "NG",
    "p": "P",
    "r": "R",
    "r-": "ER",
    "R": "R",
    "s": "S",
    "S": "SH",
    "t": "T",
    "t#": "T",
    "t2": "T",
    "tS": "CH",
    "T": "TH",
    "v": "V",
    "w": "W",
    "x": "K",
    "z": "Z",
    "z#": "Z",
    "Z": "ZH",
}
_ARPABET = _VOWELS | _CONSONANTS
_MARKS = "',%=_:|"
"""Stress and joints, which stand before a phoneme."""


def guess(espeak: Espeak, word: str) -> str:
    """The word in CMUdict's phonemes, as in "T UW TH EY K"; empty when it cannot be said."""
    names = espeak.phonemes(word, voice=VOICE).replace(" ", "_").split("_")
    known = (_ARPABET.get(name.lstrip(_MARKS), "") for name in names)
    return " ".join(phoneme for phoneme in known if phoneme)
