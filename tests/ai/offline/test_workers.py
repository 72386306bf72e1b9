"""Worker processes get no secrets, and none is left when the engine does not start."""

import sys
from pathlib import Path

import psutil
import pytest

from service.ai.offline.messages import Said, Say
from service.ai.offline.workers import Workers
from service.core.errors import EngineError


def children() -> list[psutil.Process]:
    found = psutil.Process().children()
    return [child for child in found if "service.ai.offline.worker" in child.cmdline()]


async def test_a_worker_does_not_get_the_services_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    workers = Workers(1)
    await workers.start()
    try:
        [child] = children()
        environment = child.environ()
        answer = await workers.ask(Say("Yes.", "en-us", 160, 50))
    finally:
        await workers.aclose()
    assert "TWILIO_AUTH_TOKEN" not in environment
    assert environment["LC_TIME"] == "C"
    assert isinstance(answer, Said)


async def test_when_one_worker_does_not_start_none_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nmkdir "{tmp_path}/first" || exit 1\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(EngineError, match=r"offline\.worker_failed"):
        await Workers(2).start()
    assert (tmp_path / "first").is_dir()
    assert children() == []
