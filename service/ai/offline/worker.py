"""A process that speaks and recognises: what holds the interpreter, or may crash, happens here.

Reads requests from its standard input and answers on its standard output, one by one, until the
input ends. It touches no file but the libraries' own and no network.
"""

import os
import signal
import sys
from typing import IO

from service.ai.offline import speech
from service.ai.offline.espeak import Espeak
from service.ai.offline.messages import (
    Answer,
    Failed,
    Recognise,
    Recognised,
    Request,
    Said,
    Say,
    read_request,
    write,
)
from service.ai.offline.pronounce import guess
from service.ai.offline.recogniser import Recogniser
from service.core.errors import EngineError


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us closes our input
    requests, answers = _streams()
    espeak = Espeak()
    recogniser = Recogniser(lambda word: guess(espeak, word))
    while (request := read_request(requests)) is not None:
        write(answers, answer(request, espeak, recogniser))


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """Ours alone: what a library prints goes to standard error, not between the answers."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, answers


def answer(request: Request, espeak: Espeak, recogniser: Recogniser) -> Answer:
    """What a request asks for, or why it cannot be had."""
    try:
        match request:
            case Say(text, voice, words_per_minute, pitch):
                return Said(
                    speech.say(
                        espeak,
                        text,
                        voice=voice,
                        words_per_minute=words_per_minute,
                        pitch=pitch,
                    )
                )
            case Recognise(pcm, phrases, pronounce):
                return Recognised(recogniser.recognise(pcm, phrases, pronounce))
    except EngineError as error:
        return Failed(error.code, error.detail)
    except RuntimeError:  # what pocketsphinx raises, with words in it that are not for a log
        return Failed("offline.recognition_failed", "pocketsphinx refused")


if __name__ == "__main__":
    main()
