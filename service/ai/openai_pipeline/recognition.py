"""Speech to text, as the rest of the engine sees it, whichever way a server takes sound.

A turn of the caller's is one utterance or several, each put into words by itself. What was
dismissed may yet turn out to have been meant for the agent, so it is kept until the next begins.
"""

from typing import Protocol

from service.ai.openai.caller import Utterance
from service.ai.openai.errors import OpenAIFault
from service.core.audio import AudioFrame


class House(Protocol):
    """Who wants to know what was said."""

    def understood(self, utterance: Utterance) -> None:
        """More is known of an utterance's text, or all of it."""

    def failed(self, fault: OpenAIFault, *, fatal: bool) -> None:
        """Something cannot be put into words; `fatal`: nothing more can."""


class Recogniser(Protocol):
    """One call's."""

    async def open(self) -> None:
        """Ready to hear; OpenAIFault when it cannot be in time."""

    async def aclose(self) -> None:
        """Leave no task and no socket behind."""

    def say(self, frames: list[AudioFrame]) -> None:
        """More of what the person says."""

    def cut(self) -> None:
        """What was said so far is to be put into words; nothing happens when that is known."""

    def dismiss(self) -> None:
        """What is being said was not meant for the agent; it may yet turn out that it was."""

    def take_back(self) -> None:
        """What was dismissed last was meant for the agent after all."""

    def forget_doubtful(self) -> None:
        """It was not."""

    def close(self) -> list[Utterance]:
        """The turn is over, and cut: what it is made of."""

    def give_up(self) -> None:
        """Texts that are still to come will not: what is known of them is all."""

    def rest(self) -> None:
        """Nobody speaks: the time for what would disturb."""

    def is_open(self, utterance: Utterance) -> bool:
        """Whether what is decided about the speaker depends on its text."""

    @property
    def words(self) -> str:
        """What is known of the turn, or of what was dismissed last."""

    @property
    def understood_all(self) -> bool:
        """Whether all of that has its text."""
