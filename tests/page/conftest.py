"""A Chromium with a fake microphone, and a service for its page."""

import os
import shutil
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.page.stand_in import StandIn

ROOT = Path(__file__).parents[2]
SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison/vm-intro.wav")
"""Of Debian's asterisk-core-sounds-en-wav."""


@pytest.fixture(scope="session")
def speech() -> bytes:
    """What the fake microphone hears: 16 bit at 8 kHz."""
    with wave.open(str(SPEECH)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (8000, 1, 2)
        pcm16: bytes = wav.readframes(wav.getnframes())
    return pcm16


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Only one may be there at a time, and beside it no test with a loop of its own."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A browser whose microphone plays SPEECH once, from the moment it is opened."""
    with open_chromium(playwright, SPEECH) as browser:
        yield browser


@contextmanager
def open_chromium(playwright: Playwright, microphone: Path) -> Iterator[Browser]:
    """A browser whose microphone plays a WAV once, from the moment it is opened."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "these tests need chromium: apt-get install chromium"
    browser = playwright.chromium.launch(
        executable_path=found,
        args=[
            "--headless=new",
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}%noloop",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    )
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page in a profile of its own. It fails the test that leaves an error in its console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    expected = ("status of 401", "status of 403", "Unexpected response code: 403")
    assert [fault for fault in faults if not any(text in fault for text in expected)] == []


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A service whose calls the test steers."""
    with StandIn().run() as service:
        yield service


@pytest.fixture(scope="session")
def service_url() -> Iterator[str]:
    """The real service with the agents that ship with it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "CALLBRIDGE_DRAIN_SECONDS": "0"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(30) == 0
