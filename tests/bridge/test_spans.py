"""An answer's steps as spans, end to end, for whoever collects them."""

from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.bridge import spans
from service.core.calls import CallId

NOW = datetime(2026, 11, 20, 8, 0, 10, tzinfo=UTC)
LATENCY = {
    "end_of_turn_ms": 600,
    "recognition_ms": 100,
    "first_token_ms": 200,
    "first_audio_ms": 90,
    "first_frame_ms": 10,
    "response_ms": 1000,
}
TURN = {
    "turn_id": "t1",
    "text": "We are open.",
    "interrupted": False,
    "began_ago_ms": 3000,
    "latency": LATENCY,
}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("test"))
    return exporter


def test_the_steps_of_an_answer_follow_each_other_without_a_gap(
    collected: InMemorySpanExporter,
) -> None:
    spans.trace_answer(CallId("call_1"), TURN, NOW)
    *steps, whole = collected.get_finished_spans()
    assert [step.name for step in steps] == [*spans.STEPS]
    assert steps[0].start_time == whole.start_time
    assert [step.end_time for step in steps[:-1]] == [step.start_time for step in steps[1:]]
    assert steps[-1].end_time == whole.end_time
    assert whole.end_time == (int(NOW.timestamp()) - 3) * 1_000_000_000
    assert all(step.parent is not None for step in steps)


def test_no_word_that_was_said_is_in_a_span(collected: InMemorySpanExporter) -> None:
    spans.trace_answer(CallId("call_1"), TURN, NOW)
    assert "We are" not in "".join(span.to_json() for span in collected.get_finished_spans())


def test_a_turn_that_answered_nobody_has_no_span(collected: InMemorySpanExporter) -> None:
    spans.trace_answer(CallId("call_1"), TURN | {"latency": {}}, NOW)
    assert collected.get_finished_spans() == ()
