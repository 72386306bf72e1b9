"""One turn of the agent's while it is made: what it says, and what became of it."""

import asyncio

from service.ai.openai_pipeline.narration import Narration
from service.core.events import EndRequested, TransferRequested, TurnId

Effect = EndRequested | TransferRequested


class Turn:
    """`effect` follows when all of the turn has been told; `exact`: it was given, not written."""

    def __init__(
        self, turn_id: TurnId, narration: Narration, *, exact: bool, effect: Effect | None
    ) -> None:
        self.turn_id = turn_id
        self.narration = narration
        self.exact = exact
        self.effect = effect
        self.text = ""
        self.began = False  # there is a first token
        self.heard = False  # it has, or had, the floor
        self.cut = False  # nothing more of it is wanted
        self.over = False
        self.wanted = asyncio.Event()  # it is certain that the caller's turn is over
        self.task: asyncio.Task[None] | None = None

    def add(self, sentence: str) -> None:
        """It says this, too."""
        spoken = f" {sentence}" if self.text else sentence
        self.text += spoken
        self.narration.say(spoken)

    def stop(self) -> None:
        """Make no more of it."""
        self.cut = True
        if self.task is not None:
            self.task.cancel()
