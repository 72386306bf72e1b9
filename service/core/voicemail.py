"""What an agent does when a machine picks up: talk on, hang up, or leave a message.

Pure: it is told what the carrier found out, and says when the message is due.
"""

from enum import StrEnum

from service.core.events import MachineDetected

GREETING_MOST_MS = 20_000
"""A machine's greeting is seldom longer; the carrier may not tell when it is over."""


class VoicemailPolicy(StrEnum):
    """As agent files say it."""

    TALK = "talk"
    HANG_UP = "hang_up"
    LEAVE_MESSAGE = "leave_message"


class Voicemail:
    """One call's machine, if there is one."""

    def __init__(self, policy: VoicemailPolicy) -> None:
        self.policy = policy
        self.deaf = False  # what is heard is a machine's
        self.mute = False  # nothing is to be said to it yet
        self._due_ms: int | None = None

    def noticed(self, event: MachineDetected, now_ms: int) -> bool:
        """Whether what the carrier found out changes anything."""
        if self.policy is VoicemailPolicy.TALK or event.result != "machine":
            return False
        if self.deaf:
            return event.greeting_over and self.mute
        self.deaf = self.mute = True
        self._due_ms = now_ms + GREETING_MOST_MS
        return True

    def is_due(self, now_ms: int) -> bool:
        """Whether the message is to be left though nobody said that the greeting is over."""
        waits = self.policy is VoicemailPolicy.LEAVE_MESSAGE and self.mute
        return waits and self._due_ms is not None and now_ms >= self._due_ms

    def leave(self) -> None:
        """The message is being said."""
        self.mute = False
        self._due_ms = None
