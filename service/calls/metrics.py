"""What an operator can count and alarm on: Prometheus metrics, all named `callbridge_*`.

Each app has its own registry, so several of them live side by side in one process.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
ANSWER_BUCKETS_S = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """The metrics of one app; whoever has something to count does so on the attribute."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls_live = Gauge(
            "callbridge_calls_live",
            "Calls whose media socket this instance holds",
            registry=self.registry,
        )
        self.calls_opened = Counter(
            "callbridge_calls_opened",
            "Calls begun, by carrier and direction",
            ["provider", "direction"],
            registry=self.registry,
        )
        self.calls_refused = Counter(
            "callbridge_calls_refused",
            "Calls not taken, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.calls_swept = Counter(
            "callbridge_calls_swept",
            "Calls ended because news of them did not come in time, by cause",
            ["cause"],
            registry=self.registry,
        )
        self.transfers = Counter(
            "callbridge_transfers",
            "Transfers by carrier and result: accepted, refused; returned when nobody took it",
            ["provider", "result"],
            registry=self.registry,
        )
        self.webhooks = Counter(
            "callbridge_webhooks",
            "Webhooks received, by carrier and what became of them",
            ["provider", "result"],
            registry=self.registry,
        )
        self.malformed_messages = Counter(
            "callbridge_malformed_messages",
            "Media socket messages that break the carrier's rules",
            ["provider"],
            registry=self.registry,
        )
        self.rest_errors = Counter(
            "callbridge_rest_errors",
            "Errors of carriers' REST APIs, by carrier and code",
            ["provider", "code"],
            registry=self.registry,
        )
        self.answers = Histogram(
            "callbridge_answer_seconds",
            "From the caller's last sound to the agent's first: response, and its steps",
            ["step"],
            buckets=ANSWER_BUCKETS_S,
            registry=self.registry,
        )
        self.tools_called = Counter(
            "callbridge_tools_called",
            "Tools that agents used, by what came of it",
            ["code"],
            registry=self.registry,
        )
        self.call_faults = Counter(
            "callbridge_call_faults",
            "Troubles on live calls, by code",
            ["code"],
            registry=self.registry,
        )
        self.journal_dropped = Counter(
            "callbridge_journal_dropped",
            "Events that could not be kept, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.cassettes = Counter(
            "callbridge_cassettes",
            "Recorded calls, by what became of the recording: written, given_up",
            ["result"],
            registry=self.registry,
        )
        self.journal_backlog = Gauge(
            "callbridge_journal_backlog",
            "Events waiting to be written to Redis",
            registry=self.registry,
        )
        self.loop_lag = Gauge(
            "callbridge_loop_lag_seconds",
            "How late the event loop woke last time",
            registry=self.registry,
        )
        self.loop_lags = Histogram(
            "callbridge_loop_lags_seconds",
            "How late the event loop woke",
            buckets=LAG_BUCKETS_S,
            registry=self.registry,
        )

    def answered(self, latency: Mapping[str, int]) -> None:
        """How long an answer took, by step (`..._ms` to milliseconds)."""
        for step, length_ms in latency.items():
            self.answers.labels(step.removesuffix("_ms")).observe(length_ms / 1000)

    def read_backlog(self, size: Callable[[], int]) -> None:
        """The backlog is counted when somebody looks."""
        self.journal_backlog.set_function(size)

    def lagged(self, seconds: float) -> None:
        """The event loop woke this much later than it was asked to."""
        self.loop_lag.set(seconds)
        self.loop_lags.observe(seconds)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)
