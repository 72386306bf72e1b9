"""A Chromium with a fake microphone, and a service for its page."""

import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.page.stand_in import StandIn

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
def chromium() -> Iterator[Browser]:
    """A browser whose microphone plays SPEECH once, from the moment it is opened."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "these tests need chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=[
                "--headless=new",
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={SPEECH}%noloop",
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


@pytest.fixture
def service_url(stand_in: StandIn) -> str:
    """Where a service answers that has the agents "receptionist" and "loopback"."""
    return stand_in.url
