"""Sound, marks and clears between a real browser and the wire; what the page says of trouble."""

import audioop
import re
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from service.core.commands import ClearAudio, PlaceMark
from tests.page.stand_in import StandIn, StoodInCall, tone

Levels = NDArray[np.float64]


def dial(page: Page, service: StandIn, agent: str = "puppet") -> StoodInCall:
    number = len(service.calls) + 1
    page.goto(f"{service.url}/?agent={agent}")
    page.get_by_role("button", name="Call").click()
    expect(page.locator("body")).to_have_attribute("data-state", "live")
    return service.call(number)


def levels(pcm16: bytes) -> Levels:
    """The loudness of each 20 ms in dB, no quieter than a room."""
    samples = np.frombuffer(pcm16, "<i2").astype(float)
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    loudness: Levels = 20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-9)
    return np.maximum(loudness, 30.0)


def likeness(heard: Levels, said: Levels) -> float:
    """The best correlation of loudness over time, whatever the delay between the two."""
    shifts = range(len(heard) - len(said) + 1)
    return max(float(np.corrcoef(heard[at : at + len(said)], said)[0, 1]) for at in shifts)


def test_what_is_said_arrives(page: Page, stand_in: StandIn, speech: bytes) -> None:
    call = dial(page, stand_in)
    began = time.monotonic()
    wanted = len(speech) // 2 + 8000
    call.wait(lambda: len(call.sound()) >= wanted, "the whole recording")
    took_s = time.monotonic() - began
    assert wanted / 8000 == pytest.approx(took_s, abs=2.0)
    arrived = audioop.ulaw2lin(call.sound(), 2)
    # The recording begins with the microphone, the line a moment later: so not its first second.
    assert likeness(levels(arrived), levels(speech)[50:250]) > 0.8


def test_marks_come_back_when_what_was_before_them_was_played(
    page: Page, stand_in: StandIn
) -> None:
    call = dial(page, stand_in)
    sent_at = call.do(
        call.play(tone(400)), PlaceMark("middle"), call.play(tone(400)), PlaceMark("end")
    )
    call.wait(lambda: call.marks() == ["middle", "end"], "both marks")
    assert 0.3 < call.at("middle") - sent_at < 2  # the browser renders a buffer ahead
    assert 0.3 < call.at("end") - call.at("middle") < 1
    expect(page.locator("#quality")).to_have_attribute("data-played", "6400")
    expect(page.locator("#quality")).to_have_attribute("data-underruns", "0")


def test_a_mark_behind_nothing_comes_back_at_once(page: Page, stand_in: StandIn) -> None:
    call = dial(page, stand_in)
    sent_at = call.do(PlaceMark("nothing"))
    call.wait(lambda: call.marks() == ["nothing"], "the mark")
    assert call.at("nothing") - sent_at < 1


def test_a_clear_stops_the_sound_and_returns_every_mark(page: Page, stand_in: StandIn) -> None:
    call = dial(page, stand_in)
    call.do(call.play(tone(1000)), PlaceMark("one"))
    for _ in range(9):
        call.do(call.play(tone(1000)))
    call.do(PlaceMark("ten"))
    expect(page.locator("#speaker")).to_have_attribute("aria-valuenow", re.compile(r"[5-9]\d|100"))
    cleared_at = call.do(ClearAudio())
    call.wait(lambda: call.marks() == ["one", "ten"], "both marks")
    assert call.at("ten") - cleared_at < 1  # and not when the ten seconds would be over
    expect(page.locator("#speaker")).to_have_attribute("aria-valuenow", "0")
    played = page.locator("#quality").get_attribute("data-played")
    assert 0 < int(played or 0) < 80_000
    call.do(call.play(tone(200)), PlaceMark("next"))
    call.wait(lambda: "next" in call.marks(), "sound after a clear")


def test_a_muted_line_carries_silence(page: Page, stand_in: StandIn) -> None:
    call = dial(page, stand_in)
    page.get_by_role("button", name="Mute").click()
    expect(page.get_by_role("button", name="Muted")).to_have_attribute("aria-pressed", "true")
    from_now = len(call.sound()) + 4000
    call.wait(lambda: len(call.sound()) > from_now + 8000, "a second of the muted line")
    assert audioop.rms(audioop.ulaw2lin(call.sound()[from_now:], 2), 2) < 10


def test_hanging_up_says_so_and_lets_the_microphone_go(page: Page, stand_in: StandIn) -> None:
    page.add_init_script(
        "const devices = navigator.mediaDevices; const open = devices.getUserMedia.bind(devices);"
        "devices.getUserMedia = async (wanted) => (window.opened = await open(wanted));"
    )
    call = dial(page, stand_in)
    assert page.evaluate("opened.active")
    page.get_by_role("button", name="Hang up").click()
    call.wait(lambda: call.over, "the end of the call")
    assert not page.evaluate("opened.active")
    expect(page.get_by_role("status")).to_have_text("Call ended")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("button", name="5", exact=True)).to_be_disabled()


def test_leaving_the_page_ends_the_call(page: Page, stand_in: StandIn) -> None:
    call = dial(page, stand_in)
    page.goto("about:blank")
    call.wait(lambda: call.over, "the end of the call")


def test_an_interrupted_turn_shows_what_was_not_heard(page: Page, stand_in: StandIn) -> None:
    dial(page, stand_in, "receptionist")
    first = page.locator("#turns .agent").first
    expect(first.locator("s")).to_have_text(
        " I help you today? You can ask for our hours.", use_inner_text=False
    )
    caller = page.locator("#turns .caller .words")
    expect(caller).to_have_text("When are you open?")
    expect(page.locator("#turns .agent .note").last).to_have_text("after 0.4 s")
    expect(page.locator("#events")).to_contain_text("agent.interrupted")


def test_sound_without_words_has_no_caption(page: Page, stand_in: StandIn) -> None:
    call = dial(page, stand_in)
    mute = {"turn_id": "turn_1", "text": "", "heard_text": "", "interrupted": True}
    call.record("turn.agent", mute)
    call.record("turn.user", {"turn_id": "caller-1", "text": ""})
    expect(page.locator("#turns .words")).to_have_text(["Not understood"])


def test_what_is_said_never_becomes_markup(page: Page, stand_in: StandIn) -> None:
    call = dial(page, stand_in)
    text = "<img src=x onerror=alert(1)><b>bold</b>"
    call.record("turn.user", {"turn_id": "caller-1", "text": text})
    expect(page.locator("#turns .words")).to_have_text(text)


@pytest.mark.parametrize(
    ("code", "error"),
    [(1000, None), (1013, "busy"), (1008, "refused"), (1011, "fault"), (1012, "lost")],
)
def test_the_page_says_why_the_service_closed(
    page: Page, stand_in: StandIn, code: int, error: str | None
) -> None:
    dial(page, stand_in).close(code)
    expect(page.locator("body")).to_have_attribute("data-state", "ended")
    expect(page.get_by_role("button", name="Call")).to_be_enabled()
    alert = page.locator("#error")
    if error:
        expect(alert).to_have_attribute("data-code", error)
        expect(alert).not_to_be_empty()
    else:
        expect(alert).to_be_hidden()


def test_a_full_house_is_busy(page: Page, stand_in: StandIn) -> None:
    stand_in.full = True
    page.goto(stand_in.url)
    page.get_by_role("button", name="Call").click()
    expect(page.locator("#error")).to_have_attribute("data-code", "busy")


def test_without_an_agent_there_is_nobody_to_call(page: Page, stand_in: StandIn) -> None:
    stand_in.agents = []
    page.goto(stand_in.url)
    expect(page.locator("#error")).to_have_attribute("data-code", "no_agents")
    expect(page.get_by_role("button", name="Call")).to_be_disabled()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("NotAllowedError", "microphone_refused"),
        ("NotFoundError", "microphone_missing"),
        ("NotReadableError", "microphone_busy"),
    ],
)
def test_the_page_says_what_is_wrong_with_the_microphone(
    page: Page, stand_in: StandIn, name: str, error: str
) -> None:
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => "
        f"Promise.reject(new DOMException('no', '{name}'));"
    )
    page.goto(stand_in.url)
    page.get_by_role("button", name="Call").click()
    expect(page.locator("#error")).to_have_attribute("data-code", error)
    assert stand_in.calls == []


def test_who_hangs_up_before_the_microphone_is_there_makes_no_call(
    page: Page, stand_in: StandIn
) -> None:
    page.add_init_script(
        "const devices = navigator.mediaDevices; const open = devices.getUserMedia.bind(devices);"
        "const allowed = new Promise((allow) => { window.allow = allow; });"
        "window.stopped = new Promise((stopped) => {"
        "  devices.getUserMedia = async (wanted) => {"
        "    await allowed;"
        "    const stream = await open(wanted);"
        "    stream.getTracks()[0].stop = stopped;"
        "    return stream;"
        "  };"
        "});"
    )
    page.goto(stand_in.url)
    page.get_by_role("button", name="Call").click()
    page.get_by_role("button", name="Hang up").click()
    page.evaluate("(allow(), stopped)")
    expect(page.get_by_role("status")).to_have_text("Call ended")
    expect(page.get_by_role("alert")).to_be_hidden()
    assert stand_in.calls == []


@pytest.fixture
def locked() -> Iterator[StandIn]:
    with StandIn(api_key="s3cret/with+odd=signs?").run() as service:
        yield service


def test_a_key_opens_the_api_and_the_line_and_stays_in_the_tab(page: Page, locked: StandIn) -> None:
    page.goto(locked.url)
    expect(page.locator("#error")).to_have_attribute("data-code", "key_needed")
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#error")).to_have_attribute("data-code", "key_wrong")
    page.get_by_label("API key").fill("s3cret/with+odd=signs?")
    page.keyboard.press("Enter")
    expect(page.get_by_label("API key")).to_be_hidden()
    page.reload()
    page.get_by_role("button", name="Call").click()
    expect(page.locator("#events")).to_contain_text("stream.started")
    assert "s3cret" not in page.url


def test_the_page_asks_nobody_else_for_anything(chromium: Browser, stand_in: StandIn) -> None:
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    dial(page, stand_in)
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith(stand_in.url + "/")] == []


def test_everything_can_be_done_from_the_keyboard(page: Page, stand_in: StandIn) -> None:
    page.goto(stand_in.url)
    page.get_by_role("button", name="Call").focus()
    page.keyboard.press("Enter")
    call = stand_in.call(1)
    expect(page.locator("body")).to_have_attribute("data-state", "live")
    page.keyboard.type("12*#")
    call.wait(lambda: call.digits() == "12*#", "the keys")
    expect(page.get_by_role("button", name="Hang up")).to_be_focused()
    page.keyboard.press("Enter")
    call.wait(lambda: call.over, "the end of the call")
