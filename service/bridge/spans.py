"""What an answer was waited for, as OpenTelemetry spans; nothing where nobody collects any.

One span `answer` from the caller's last sound to the agent's first, and in it one for each step,
end to end. No word that was said is in them.
https://opentelemetry.io/docs/specs/otel/trace/api/
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from opentelemetry import trace

from service.core.calls import CallId

STEPS = ("end_of_turn", "recognition", "first_token", "first_audio", "first_frame")

_tracer = trace.get_tracer("callbridge")


def trace_answer(call_id: CallId, turn: Mapping[str, Any], now: datetime) -> None:
    """Tell of the answer that the data of a `turn.agent` describes, if it was one."""
    latency: Mapping[str, int] = turn["latency"]
    if not latency:
        return
    sent = now - timedelta(milliseconds=turn["began_ago_ms"])
    at_ns = _ns(sent) - latency["response_ms"] * 1_000_000
    about = {
        "callbridge.call_id": call_id,
        "callbridge.turn_id": turn["turn_id"],
        "callbridge.interrupted": turn["interrupted"],
    }
    whole = _tracer.start_span("answer", start_time=at_ns, attributes=about)
    with trace.use_span(whole, end_on_exit=False):
        for step in STEPS:
            span = _tracer.start_span(step, start_time=at_ns)
            at_ns += latency[f"{step}_ms"] * 1_000_000
            span.end(at_ns)
    whole.end(at_ns)


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1000) * 1_000_000
