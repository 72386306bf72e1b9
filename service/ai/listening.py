"""Listens to the person on the line for an engine: when do they speak, and what sound is it?"""

from collections.abc import Callable

from service.core.audio import AudioFrame, MediaFormat
from service.core.turn_taking import Heard, TurnTaking
from service.media.voice import Judge


class Listener:
    """Follows one stream and tells what is heard, in the order of `Heard`'s own words.

    `tell` is called from within `hear`, `understood`, `audible`, `end`, or when the judge
    answers, always on the loop's thread. Without a judge loudness alone decides.
    """

    def __init__(
        self,
        audio_format: MediaFormat,
        manners: TurnTaking,
        tell: Callable[[Heard], None],
        *,
        judge: Judge | None,
    ) -> None:
        raise NotImplementedError

    def hear(self, frame: AudioFrame) -> None:
        """Every frame, in order; time is the frames' own media time."""
        raise NotImplementedError

    def audible(self, audible: bool) -> None:
        """Whether the person hears the agent now."""
        raise NotImplementedError

    def said(self, text: str) -> None:
        """What the agent is saying: its own words coming back from the line are no caller."""
        raise NotImplementedError

    def understood(self, text: str, *, final: bool) -> None:
        """What the recogniser makes of the speech so far; "" and final: nothing."""
        raise NotImplementedError

    def take(self) -> list[AudioFrame]:
        """The frames of the utterance under way that were not taken yet, from 300 ms before its
        first sound on; [] when there is none. What is left after its end may be taken until
        the next one begins.
        """
        raise NotImplementedError

    def end(self) -> None:
        """No more frames come: what is being said ends here."""
        raise NotImplementedError
