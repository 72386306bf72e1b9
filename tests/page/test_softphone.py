"""The softphone from end to end, as a person sees it: any service with these agents will do."""

import re

from playwright.sync_api import Page, expect

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
