"""`python -m bench.listening`: what listening costs, in one thread, without any carrier.

Human speech with pauses, from the bench's own recordings, once through today's detector and once
through the two-stage listener of the engines, with the judge's work counted at what a chunk costs
with 16 calls at once. Then the judge alone, at 1, 16 and 64 calls at once.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from bench import report, speech
from service.ai.listening import Listener
from service.core.audio import FRAME_MS, PCMU_8K, AudioFrame, MediaFormat, Party
from service.media.vad import Detector
from service.media.voice import Voices
from tests.manners import EASY

ROUNDS: Final = 7
PAUSE_FRAMES: Final = 60
TALKS_FRAMES: Final = 240


def main() -> None:
    """Measure, and print."""
    print(f"{report.machine()}\ncallers say {speech.source()}\n")


if __name__ == "__main__":
    main()
