"""Where to look: the rule that a difference between a cassette and the bridge most likely breaks.

Pure. A pointer for engineers, by lane and by what differs; the first that fits is named.
"""

import re
from typing import Any

from msgspec import Struct


class Rule(Struct, frozen=True):
    """A rule of the bridge, and the file that holds it."""

    name: str
    file: str

    def __str__(self) -> str:
        return f"{self.name} ({self.file})"


SIGNATURE = Rule("the signature check", "service/calls/webhooks.py")
ANSWER = Rule("what a webhook is answered", "service/calls/reception.py")
COMMAND = Rule("commands to the carrier", "service/calls/control.py")
TOKEN = Rule("the token check of media sockets", "service/bridge/endpoint.py")
BARGE_IN = Rule("barge-in", "service/core/dialog.py")
LEDGER = Rule("the ledger of marks: what was truly heard", "service/core/playout.py")
REORDER = Rule("the order of frames: the reorder window", "service/core/reorder.py")
PACER = Rule("the pace of outgoing sound", "service/bridge/pacer.py")
ENGINE = Rule("what the engine said, or its conversion", "service/media/convert.py")
TURNS = Rule("turns: what the engine is told, and when", "service/core/dialog.py")
API = Rule("what users may do to a call", "service/calls/api.py")
CALLS = Rule("the call table", "service/core/calls.py")
JOURNAL = Rule("the record of the call", "service/calls/journal.py")

RULES = (
    (r".* .*\.heard_(ms|text)", LEDGER),
    (r"webhook .* status 40[13],.*|webhook .*, must be 40[13].*", SIGNATURE),
    (r"webhook .*", ANSWER),
    (r"rest .*", COMMAND),
    (r"api .*", API),
    (r"stream refused.*", TOKEN),
    (r"stream clear.*", BARGE_IN),
    (r"stream sound.*(wrong order|doubled|missing).*", REORDER),
    (r"stream sound.*(gap|pause|silence|, by ).*", PACER),
    (r"stream sound.*", ENGINE),
    (r"stream mark.*", LEDGER),
    (r"(engine|store) .*interrupt.*", BARGE_IN),
    (r"engine .*", TURNS),
    (r"store turn\..*", TURNS),
    (r"store (call|stream)\..*", CALLS),
    (r"store .*", JOURNAL),
)
_COMPILED: tuple[tuple[re.Pattern[str], Any], ...] = tuple(
    (re.compile(pattern, re.DOTALL), rule) for pattern, rule in RULES
)


def rule_of(lane: str, what: str) -> Rule | None:
    """The rule behind a difference in this lane, told in these words."""
    said = f"{lane} {what}"
    return next((rule for pattern, rule in _COMPILED if pattern.fullmatch(said)), None)
