"""The service with its voice detector on every call, to be measured beside the service without.

The same loopback work, and each frame goes through the detector as well, its verdicts dropped. So
the difference between the two is the detector's cost in place, and nothing else: a conversation's
other work (replies, recognition) is not in it. Takes the command line of the service.
"""

import sys
from collections.abc import Callable
from unittest.mock import patch

from service.__main__ import main
from service.ai import loopback
from service.ai.base import Brief, Emit
from service.core.commands import EngineCommand, Hear
from service.media.vad import Detector


class DetectingTalk(loopback.LoopbackTalk):
    """A line test that also listens for speech."""

    def __init__(self, brief: Brief, emit: Emit, new_id: Callable[[str], str]) -> None:
        super().__init__(brief, emit, new_id)
        self._detector = Detector(brief.hears)

    def do(self, command: EngineCommand, now_ms: int) -> None:
        """Listen to a heard frame, then send it back."""
        if type(command) is Hear:
            self._detector.hear(command.frame)
        super().do(command, now_ms)


if __name__ == "__main__":
    with patch.object(loopback, "LoopbackTalk", DetectingTalk):
        sys.exit(main())
