"""A recorded call against a service that really runs, with real sockets in real time."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.replay.cli import main
from service.replay.stage import ENVIRONMENT
from tests.replay.fixtures import AGENTS, BUSY, ROOT

KEYS = ROOT / "fixtures/twilio/inbound-dtmf.jsonl"
START_TIMEOUT_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def serving(carrier_port: int) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = os.environ | ENVIRONMENT
    env |= {
        "CALLBRIDGE_PUBLIC_URL": url,
        "CALLBRIDGE_AGENTS": str(AGENTS),
        "TWILIO_API_BASE": f"http://127.0.0.1:{carrier_port}",
        "TELNYX_API_BASE": f"http://127.0.0.1:{carrier_port}/v2",
    }
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    service = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready(url) and service.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield url
    finally:
        service.terminate()
        service.wait(30)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def test_a_running_service_does_what_the_cassettes_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    with serving(port) as url:
        code = main([str(KEYS), str(BUSY), "--url", url, "--port", str(port)])
    out, err = capsys.readouterr()
    assert (code, out.count(": same (")) == (0, 2), out
    assert f"TELNYX_API_BASE=http://127.0.0.1:{port}/v2" in err
