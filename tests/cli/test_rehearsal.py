"""The offline engine, speaking to itself: as it is here, and as it might be on a poorer machine."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.ai.base import Brief, Emit
from service.ai.spoken import Spoken
from service.cli import rehearsal
from service.core.commands import EngineCommand, Hear
from service.core.errors import EngineError
from service.core.events import EngineEvent, EngineFailed, Transcribed


async def test_the_engine_understands_its_own_voice() -> None:
    (only,) = await rehearsal.rehearse()
    assert only.grade == "ok", only.what


class PoorEngine:
    """Says a second of silence, and emits `event` for the first frame that it hears."""

    name = "offline"

    def __init__(self, event: EngineEvent | None, trouble: EngineError | None) -> None:
        self._event = event
        self._trouble = trouble

    async def __aenter__(self) -> "PoorEngine":
        return self

    async def __aexit__(self, *_reason: object) -> None:
        return

    async def synthesise(self, _text: str) -> Spoken:
        if self._trouble:
            raise self._trouble
        return Spoken(bytes(16_000))

    @asynccontextmanager
    async def open(self, _brief: Brief, emit: Emit) -> AsyncIterator["PoorEngine"]:
        self._emit = emit
        yield self

    def do(self, command: EngineCommand, _now_ms: int) -> None:
        if isinstance(command, Hear) and self._event:
            self._emit(self._event)


@pytest.mark.parametrize(
    ("event", "trouble", "words"),
    [
        (Transcribed("what a day"), None, "misunderstands"),
        (Transcribed(""), None, "misunderstands"),
        (Transcribed(rehearsal.SENTENCE, final=False), None, "understood nothing"),
        (None, None, "understood nothing"),
        (EngineFailed("offline.deaf", ""), None, "offline.deaf"),
        (None, EngineError("offline.mute"), "offline.mute"),
    ],
)
async def test_an_engine_that_does_not_work_is_a_fault_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
    event: EngineEvent | None,
    trouble: EngineError | None,
    words: str,
) -> None:
    def poor(_new_id: Callable[[str], str], *, staff: object) -> PoorEngine:
        return PoorEngine(event, trouble)

    monkeypatch.setattr(rehearsal, "OfflineEngine", poor)
    monkeypatch.setattr(rehearsal, "DEADLINE_S", 0.05)
    (only,) = await rehearsal.rehearse()
    assert only.grade == "fail"
    assert words in only.what
    assert only.advice
