"""Faults over cassettes, through the whole service: a diagonal of what `make matrix` plays in full.

And the other way round: a service that breaks one of its rules is caught by the invariant's name.
"""

import json
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from service.bridge.pacer import Pacer
from service.cassettes.files import read
from service.core.dialog import Dialog
from service.core.playout import Playout
from service.replay import matrix
from service.replay.faults import parse
from service.replay.invariants import breaches
from service.replay.trial import try_out
from tests.replay.fixtures import AGENTS, BUSY, CASSETTES, INTERRUPTS, ROOT, TALKED

HANGS_UP = ROOT / "fixtures/twilio/inbound-caller-hangs-up-mid-sentence.jsonl"
MENU = ROOT / "fixtures/twilio/inbound-dtmf.jsonl"
A_TALK_BYTES = 20_000
"""Smaller cassettes have next to no sound; most faults would meet nothing there."""


def diagonal() -> Iterator[tuple[Path, str]]:
    """Every fault with each carrier, and every cassette with some fault."""
    for carrier in sorted({path.parent for path in CASSETTES}):
        here = [path for path in CASSETTES if path.parent == carrier]
        talks = [path for path in here if path.stat().st_size > A_TALK_BYTES]
        paired = [*zip(cycle(talks), matrix.EVERY_FAULT, strict=False)]
        met = {path for path, _ in paired}
        yield from paired
        yield from zip((p for p in here if p not in met), cycle(matrix.EVERY_FAULT), strict=False)


def broken_rules(path: Path, faults: str = "") -> set[str]:
    return {breach.rule for breach in breaches(try_out(read(path), parse(faults), agents=AGENTS))}


@pytest.mark.parametrize(
    ("path", "faults"),
    [*diagonal()],
    ids=lambda each: f"{each.parent.name}-{each.stem}" if isinstance(each, Path) else each,
)
def test_whatever_goes_wrong_the_invariants_hold(path: Path, faults: str) -> None:
    found = breaches(try_out(read(path), parse(faults), agents=AGENTS))
    assert [str(breach) for breach in found] == []


def test_the_diagonal_meets_every_fault_on_each_carrier_and_every_cassette() -> None:
    pairs = [*diagonal()]
    assert {path for path, _ in pairs} == {*CASSETTES}
    for carrier in {path.parent for path in CASSETTES}:
        met = {faults for path, faults in pairs if path.parent == carrier}
        assert met == {*matrix.EVERY_FAULT}


def test_the_same_faults_make_the_same_call() -> None:
    faults = parse("drop=20%,jitter=200ms,webhooks=shuffled,seed=5")
    first, second = (try_out(read(BUSY), faults, agents=AGENTS) for _ in range(2))
    assert (first.lines, first.wire, first.heard) == (second.lines, second.wire, second.heard)


# What it finds -----------------------------------------------------------------------------------


def _keeps_what_is_cleared(_pacer: Pacer) -> None:
    return


def _does_nothing(*_: object) -> list[Any]:
    return []


def _believes_every_mark(playout: Playout, _name: str, now_ms: int) -> bool:
    playout._proven_ms = playout.position_ms
    playout._runs_dry_ms = now_ms
    return True


def _hears_all_that_was_sent(playout: Playout, _now_ms: int) -> int:
    return playout.position_ms


MUTANTS: list[tuple[type[Any], str, Callable[..., Any], Path, str, str]] = [
    (Pacer, "clear", _keeps_what_is_cleared, INTERRUPTS, "", "no stale sound"),
    (
        Playout,
        "mark_returned",
        _believes_every_mark,
        MENU,
        "marks=after-clear",
        "true ledger",
    ),
    (Playout, "heard_position_ms", _hears_all_that_was_sent, HANGS_UP, "", "true ledger"),
    (Dialog, "_is_stalled", lambda *_: False, TALKED, "engine=stall@2,linger=20s", "no dead air"),
    (Dialog, "_engine_failed", _does_nothing, TALKED, "engine=die@2,linger=5s", "no dead air"),
]


@pytest.mark.parametrize(
    ("whose", "rule", "mutant", "path", "faults", "caught"),
    MUTANTS,
    ids=[f"{whose.__name__}.{rule}" for whose, rule, *_ in MUTANTS],
)
def test_a_service_that_breaks_its_rule_is_caught(
    monkeypatch: pytest.MonkeyPatch,
    whose: type[Any],
    rule: str,
    mutant: Callable[..., Any],
    path: Path,
    faults: str,
    caught: str,
) -> None:
    assert caught not in broken_rules(path, faults)
    monkeypatch.setattr(whose, rule, mutant)
    assert caught in broken_rules(path, faults)


def test_a_call_whose_process_stops_while_the_store_is_away_is_left_to_another_instance() -> None:
    """There is none here: what the sweep of another would clear away is found."""
    assert {"one end", "no leak"} <= broken_rules(TALKED, "redis=away:500ms..9s,sigterm@1s")


# The command -------------------------------------------------------------------------------------


def test_a_row_of_dots_means_that_all_went_well(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--faults", "webhooks=repeated", "--faults", "webhooks=late:5s", "--jobs", "1"]
    assert matrix.main([str(BUSY), "--agents", str(AGENTS), *asked]) == matrix.FINE
    printed = capsys.readouterr().out
    assert "a  webhooks=repeated" in printed
    assert "b  webhooks=late:5s" in printed
    assert "..  telnyx/outbound-busy" in printed


def test_a_dash_means_that_the_fault_meets_nothing_in_the_call(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--faults", "marks=lost", "--faults", "webhooks=repeated", "--jobs", "1"]
    assert matrix.main([str(BUSY), "--agents", str(AGENTS), *asked]) == matrix.FINE
    printed = capsys.readouterr().out
    assert "-.  telnyx/outbound-busy" in printed
    assert "1 run, 0 with a breach" in printed
    assert "1 left out" in printed
    assert matrix.main([str(BUSY), "--agents", str(AGENTS), *asked, "--json"]) == matrix.FINE
    runs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [run["left_out"] for run in runs] == [True, False]


def test_a_breach_is_named_with_its_time_and_fails_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "try_out", _crashes)
    asked = [str(BUSY), "--agents", str(AGENTS), "--faults", "sigterm@1s", "--jobs", "1"]
    assert matrix.main([*asked, "--json"]) == matrix.FAILED
    [run] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert run["faults"] == "sigterm@1s"
    assert run["breaches"] == [{"at_ms": 0, "rule": "it runs", "what": "RuntimeError: boom"}]
    assert matrix.main(asked) == matrix.FAILED
    assert "it runs: RuntimeError: boom" in capsys.readouterr().out


def _crashes(*_: object, **__: object) -> None:
    raise RuntimeError("boom")


def test_faults_that_cannot_be_and_cassettes_that_cannot_be_read_are_called_wrongly(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as left:
        matrix.main([str(BUSY), "--faults", "frobnicate"])
    assert left.value.code == matrix.CALLED_WRONGLY
    assert "faults.unknown" in capsys.readouterr().err
    assert matrix.main([str(tmp_path / "none.jsonl")]) == matrix.CALLED_WRONGLY
    half = tmp_path / "half.jsonl"
    half.write_bytes(BUSY.read_bytes()[:300])
    assert matrix.main([str(half)]) == matrix.CALLED_WRONGLY
    assert "half.jsonl" in capsys.readouterr().err
