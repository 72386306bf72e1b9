"""The softphone on the real service, from end to end, as a person sees it."""

import re
import wave
from pathlib import Path

from playwright.sync_api import Page, Playwright, expect

from service.ai.offline.espeak import Espeak
from service.ai.offline.speech import say
from tests.page.conftest import open_chromium

LOUD = re.compile(r"[3-9]\d|100")
A_SECOND = re.compile(r"[89]\d{3}|\d{5,}")  # in samples, or more

expect.set_options(timeout=10_000)


def dial(page: Page, service_url: str, agent: str) -> None:
    page.goto(f"{service_url}/?agent={agent}")
    expect(page.locator("#agent")).to_have_value(agent)
    page.get_by_role("button", name="Call").click()
    expect(page.get_by_role("status")).to_have_text(f"On the line with {agent}")


def hang_up(page: Page) -> None:
    page.get_by_role("button", name="Hang up").click()
    expect(page.locator("body")).to_have_attribute("data-state", "ended")
    expect(page.locator("#events")).to_contain_text("call.ended")


def test_the_line_carries_sound_both_ways(page: Page, service_url: str) -> None:
    dial(page, service_url, "loopback")
    expect(page.locator("#mic")).to_have_attribute("aria-valuenow", LOUD)
    expect(page.locator("#speaker")).to_have_attribute("aria-valuenow", LOUD)
    expect(page.locator("#quality")).to_have_attribute("data-played", A_SECOND)
    hang_up(page)
    expect(page.get_by_role("button", name="Call")).to_be_enabled()


def test_the_agent_is_read_as_it_speaks_and_the_record_as_it_is_written(
    page: Page, service_url: str
) -> None:
    dial(page, service_url, "receptionist")
    expect(page.locator("#turns .agent").first).to_contain_text(re.compile(r"\w+"))
    expect(page.locator("#events")).to_contain_text("stream.started")
    hang_up(page)


def test_keys_reach_the_call_from_keypad_and_keyboard(page: Page, service_url: str) -> None:
    dial(page, service_url, "receptionist")
    page.get_by_role("button", name="5", exact=True).click()
    page.keyboard.press("#")
    pressed = page.locator("#events li", has_text="dtmf.received")
    expect(pressed).to_contain_text(["5", "#"])
    hang_up(page)


def test_a_second_call_begins_afresh(page: Page, service_url: str) -> None:
    dial(page, service_url, "loopback")
    first = page.locator("#call-id").text_content()
    hang_up(page)
    page.get_by_role("button", name="Call").click()
    expect(page.locator("body")).to_have_attribute("data-state", "live")
    assert page.locator("#call-id").text_content() != first
    expect(page.locator("#events")).not_to_contain_text("call.ended")
    hang_up(page)


def test_a_question_into_the_microphone_is_answered_and_read(
    playwright: Playwright, service_url: str, tmp_path: Path
) -> None:
    question = tmp_path / "question.wav"
    asked = say(
        Espeak(), "what are your opening hours", voice="en-us+f3", words_per_minute=150, pitch=60
    )
    with wave.open(str(question), "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(bytes(2 * 8000 * 5) + asked.pcm + bytes(2 * 8000 * 20))
    with open_chromium(playwright, question) as browser:
        page = browser.new_page()
        dial(page, service_url, "receptionist")
        turns = page.locator("#turns")
        expect(turns).to_contain_text("what are your opening hours", timeout=20_000)
        expect(turns).to_contain_text("We are open from nine to five", timeout=20_000)
        expect(page.locator("#events")).to_contain_text("turn.user")
        hang_up(page)
