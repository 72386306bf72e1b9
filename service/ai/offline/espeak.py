"""espeak-ng by ctypes: text to sound, with the place of each word in both.

The library is one global state: one process may use one Espeak, from one thread, and never beside
the event loop. Part of that state (the flutter of the pitch, the phase of the wave) goes on from
one utterance to the next and nothing in the API resets it, so the library is loaded anew for each:
the same text is then the same sound. Follows espeak-ng's speak_lib.h, API revision 12.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import espeakng_loader
from msgspec import Struct

from service.core.errors import EngineError

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when all sound was handed over
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: a missing file is an error, not the end of us
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_POS_CHARACTER = 1
_EVENT_END_OF_LIST = 0
_EVENT_WORD = 1
_RATE = 1
_PITCH = 3


class _EventId(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


if TYPE_CHECKING:
    _Samples = ctypes._Pointer[ctypes.c_short]
    _Events = ctypes._Pointer[_Event]
else:
    _Samples = ctypes.POINTER(ctypes.c_short)
    _Events = ctypes.POINTER(_Event)

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, _Samples, ctypes.c_int, _Events)


class WordStart(Struct, frozen=True):
    """Where a word begins: as a character of the text, and in the sound."""

    character: int
    audio_ms: int


class Speech(Struct, frozen=True):
    """PCM16 at the library's own rate."""

    pcm: bytes
    sample_rate_hz: int
    words: tuple[WordStart, ...]


class Espeak:
    """The library, there; EngineError when it does not start or has no such voice."""

    def __init__(self) -> None:
        self._pcm = bytearray()
        self._words: list[WordStart] = []
        self._on_sound = _Callback(self._take)  # kept: the library holds a bare pointer to it
        with _loaded():
            pass

    def say(self, text: str, *, voice: str, words_per_minute: int, pitch: int) -> Speech:
        """The sound of `text`. `pitch` 0 to 99; a voice is `en-us`, or `en-us+f3` and the like."""
        self._pcm.clear()
        self._words.clear()
        encoded = text.encode()
        with _loaded() as (library, sample_rate_hz):
            library.espeak_SetSynthCallback(self._on_sound)
            _choose(library, voice)
            library.espeak_SetParameter(_RATE, words_per_minute, 0)
            library.espeak_SetParameter(_PITCH, pitch, 0)
            failed = library.espeak_Synth(
                encoded,
                ctypes.c_size_t(len(encoded) + 1),
                0,
                _POS_CHARACTER,
                0,
                _CHARS_UTF8 | _END_PAUSE,
                None,
                None,
            )
        if failed:
            raise EngineError("offline.speech_failed", f"espeak-ng error {failed}")
        return Speech(bytes(self._pcm), sample_rate_hz, tuple(self._words))

    def phonemes(self, word: str, *, voice: str) -> str:
        """How the library pronounces `word`, in its own ASCII phoneme names."""
        text = ctypes.c_char_p(word.encode())
        with _loaded() as (library, _):
            _choose(library, voice)
            library.espeak_TextToPhonemes.restype = ctypes.c_char_p
            found: bytes | None = library.espeak_TextToPhonemes(
                ctypes.byref(text), _CHARS_UTF8, ord("_") << 8
            )
            return (found or b"").decode(errors="replace")

    def _take(self, samples: _Samples, count: int, events: _Events) -> int:
        if count > 0 and samples:
            self._pcm += ctypes.string_at(samples, count * 2)
        for event in _until_end(events):
            if event.type == _EVENT_WORD:
                word = WordStart(event.text_position - 1, event.audio_position)
                self._words.append(word)
        return 0


@contextmanager
def _loaded() -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library as it is after its start, and its sample rate; takes about a millisecond."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        data_path = str(espeakng_loader.get_data_path()).encode()
        sample_rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data_path, _DONT_EXIT)
        if sample_rate_hz <= 0:
            raise EngineError("offline.no_speech", "espeak-ng did not start")
        yield library, sample_rate_hz
    finally:
        library.espeak_Terminate()
        _unload(ctypes.c_void_p(library._handle))


_unload = ctypes.CDLL(None).dlclose


def _choose(library: ctypes.CDLL, voice: str) -> None:
    if library.espeak_SetVoiceByName(voice.encode()):
        raise EngineError("offline.unknown_voice", voice)


def _until_end(events: _Events) -> Iterator[_Event]:
    index = 0
    while events[index].type != _EVENT_END_OF_LIST:
        yield events[index]
        index += 1
