"""What all bridges of a process share, put together once by the composition root."""

from msgspec import Struct

from service.bridge.pacer import Ticker
from service.bridge.sentences import Sentences
from service.calls.control import Control
from service.calls.journal import Journal
from service.calls.metrics import Metrics
from service.calls.store import CallStore
from service.clock import Clock, Ids
from service.tools import Tools


class Shared(Struct, frozen=True, kw_only=True):
    """The parts of the process that a live call needs, and the settings that it obeys."""

    instance: str
    clock: Clock
    ids: Ids
    ticker: Ticker
    store: CallStore
    journal: Journal
    control: Control
    metrics: Metrics
    sentences: Sentences
    tools: Tools
    lead_ms: int
    reattach_ms: int
    max_call_ms: int
