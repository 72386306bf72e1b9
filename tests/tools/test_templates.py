from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tools.spec import ToolFailed
from service.tools.templates import add_query, as_text, fill_headers, fill_url, names_in

TEXT = st.text(max_size=60) | st.sampled_from(
    [
        "..",
        ".",
        "../..",
        "/etc",
        "//evil.test",
        "@evil.test",
        "\\\\evil",
        "%2e%2e%2f",
        "..;/",
        "#",
        "?",
    ]
)
TEMPLATES = (
    "https://crm.test/a/{x}/b",
    "https://crm.test/a/{x}-{y}?q={x}",
    "https://crm.test:8443/.{x}/{y}.json?a=1&b={y}#f",
    "http://[2606:4700::1]/{x}",
)


@given(st.sampled_from(TEMPLATES), TEXT, TEXT)
def test_no_value_changes_the_host_or_the_number_of_segments(template: str, x: str, y: str) -> None:
    try:
        url = fill_url(template, {"x": x, "y": y})
    except ToolFailed:
        return
    before, after = urlsplit(template), urlsplit(url)
    assert (after.scheme, after.netloc) == (before.scheme, before.netloc)
    assert after.path.count("/") == before.path.count("/")
    sent = httpx.URL(url)
    assert sent.host == httpx.URL("https://" + before.netloc).host
    assert sent.raw_path.count(b"/") == before.path.count("/")
    assert url.isprintable()
    assert url.isascii()


@given(TEXT, TEXT)
def test_a_server_that_decodes_thrice_sees_no_step_up(x: str, y: str) -> None:
    try:
        path = urlsplit(fill_url("https://crm.test/a/.{x}{y}/b", {"x": x, "y": y})).path
    except ToolFailed:
        return
    for _ in range(3):
        path = unquote(path)
        assert not {".", ".."} & set(path.replace("\\", "/").split("/"))


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=30), max_size=5))
def test_a_query_says_what_was_meant_and_no_more(fields: dict[str, str]) -> None:
    url = add_query("https://crm.test/a?b=1", fields.items())
    assert urlsplit(url).netloc == "crm.test"
    read = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert read == [("b", "1"), *fields.items()]


@pytest.mark.parametrize("value", ["", None, "..", ".", "a/../b", "%2e%2e", [1], {"a": 1}])
def test_in_a_path_a_value_is_neither_nothing_nor_a_step(value: Any) -> None:
    with pytest.raises(ToolFailed, match=r"tool\.bad_arguments") as failed:
        fill_url("https://crm.test/a/{x}/delete", {"x": value})
    assert failed.value.text.startswith("x ")


def test_a_value_stays_within_its_segment() -> None:
    url = fill_url("https://crm.test/a/{x}?q={x}", {"x": "1/2 & 3?#é"})
    assert url == "https://crm.test/a/1%2F2%20%26%203%3F%23%C3%A9?q=1%2F2%20%26%203%3F%23%C3%A9"


def test_in_a_query_a_value_may_be_missing() -> None:
    assert fill_url("https://crm.test?q={x}", {}) == "https://crm.test?q="


def test_numbers_and_truths_stand_as_in_json() -> None:
    assert [as_text(value) for value in (7, 2.5, True, None, [1], "a")] == [
        "7", "2.5", "true", "", "[1]", "a",
    ]  # fmt: skip


def test_a_url_that_grows_too_long_is_refused() -> None:
    with pytest.raises(ToolFailed, match=r"tool\.bad_arguments"):
        fill_url("https://crm.test?q={x}", {"x": "é" * 2000})
    with pytest.raises(ToolFailed, match=r"tool\.bad_arguments"):
        add_query("https://crm.test", [("x", "é" * 2000)])


def test_fields_go_before_a_fragment_and_behind_a_query() -> None:
    assert add_query("https://crm.test/a#f", [("x", "1")]) == "https://crm.test/a?x=1"
    assert add_query("https://crm.test/a?b=1#f", [("x", "1")]) == "https://crm.test/a?b=1&x=1"
    assert add_query("https://crm.test/a?", [("x", "1")]) == "https://crm.test/a?x=1"


def test_names_are_found_wherever_they_stand() -> None:
    assert names_in("https://crm.test/{a}?b={c}") == {"a", "c"}


def test_headers_take_secrets_and_variables() -> None:
    headers = {"Authorization": "Bearer {secret.CRM}", "X-Caller": "{caller}"}
    filled = fill_headers(headers, {"caller": "+1415"}, {"CRM": "k3y"})
    assert filled == {"Authorization": "Bearer k3y", "X-Caller": "+1415"}


def test_a_variable_ends_no_header() -> None:
    filled = fill_headers({"X-Name": "{name}"}, {"name": "Ana\r\nX-Admin: 1 é"}, {})
    assert filled == {"X-Name": "Ana%0D%0AX-Admin: 1 %C3%A9"}


@pytest.mark.parametrize("secrets", [{}, {"CRM": ""}, {"CRM": "a\nb"}])
def test_a_secret_that_is_missing_or_no_text_is_a_clear_fault(secrets: dict[str, str]) -> None:
    with pytest.raises(ToolFailed, match=r"tool\.no_secret"):
        fill_headers({"Authorization": "Bearer {secret.CRM}"}, {}, secrets)


def test_a_variable_is_never_taken_for_a_secret() -> None:
    with pytest.raises(ToolFailed, match=r"tool\.no_secret"):
        fill_headers({"A": "{secret.CRM}"}, {"secret.CRM": "mine"}, {})
