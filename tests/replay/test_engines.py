"""Who speaks in a replay, and that nobody starts a process for it."""

from pathlib import Path

import pytest

from service.agents import Voice
from service.ai.offline import workers
from service.ai.offline.engine import OfflineEngine
from service.cassettes.files import read
from service.core.errors import EngineError, TextRefused
from service.replay import playing, virtual
from service.replay.diff import compare
from service.replay.engines import engines_for
from service.replay.faults import parse
from service.replay.invariants import breaches
from service.replay.recorded_engine import RecordedEngine
from service.replay.trial import try_out
from tests.replay.fixtures import AGENTS, ROOT, TALKED

LINE_TEST = ROOT / "fixtures/twilio/inbound-frames-lost.jsonl"
HEARS = ROOT / "fixtures/telnyx/inbound-comfort-noise.jsonl"


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(workers, "_Worker", refuse)


@pytest.mark.parametrize("path", [LINE_TEST, HEARS, TALKED], ids=lambda path: path.stem)
def test_no_replay_starts_a_process(path: Path) -> None:
    recorded = read(path)
    assert compare(recorded.lines, playing.play_inside(recorded, agents=AGENTS)) == []
    assert breaches(try_out(recorded, parse("double=5%"), agents=AGENTS)) == []


def test_the_agents_own_engine_understands_in_this_process() -> None:
    lines = playing.play_inside(read(TALKED), agents=AGENTS, engine="live")
    heard = [
        line.event.data["text"]
        for line in lines
        if line.event is not None and line.event.type == "turn.user"
    ]
    assert heard == ["what are your opening hours", "goodbye"]


def test_only_the_agents_engine_is_its_own() -> None:
    engines = engines_for(read(LINE_TEST), AGENTS, None) or {}
    own = {name for name, engine in engines.items() if not isinstance(engine, RecordedEngine)}
    assert own == {"loopback"}


def test_what_cannot_be_spoken_is_refused_as_by_a_process() -> None:
    engine = (engines_for(read(HEARS), AGENTS, None) or {})["offline"]
    assert isinstance(engine, OfflineEngine)
    with pytest.raises(TextRefused):
        virtual.run(engine.synthesise("\ud800"))
    unknown = Voice.model_construct(name="xx", words_per_minute=165, pitch=45)
    with pytest.raises(EngineError, match="unknown_voice"):
        virtual.run(engine.synthesise("Hello.", unknown))
