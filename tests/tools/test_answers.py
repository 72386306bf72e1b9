import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tools.answers import Answer, bounded, result_of
from service.tools.spec import TEXT_BYTES_MOST, ToolResult


def told(
    body: bytes, content_type: str = "", *, status: int = 200, whole: bool = True
) -> ToolResult:
    answer = Answer(status=status, content_type=content_type, body=body, whole=whole)
    return result_of(answer, empty_is_fine=False)


def test_json_is_told_without_blanks_and_escapes() -> None:
    result = told(b'{ "name": "Jos\\u00e9",\n "n": [1, 2] }', "application/json; charset=utf-8")
    assert result == ToolResult('{"name":"José","n":[1,2]}')


def test_json_that_is_none_is_told_as_it_is() -> None:
    assert told(b"{oops", "application/json").text == "{oops"


def test_json_with_ten_thousand_keys_is_cut_with_a_note() -> None:
    body = json.dumps({f"key{i}": i for i in range(10_000)}).encode()
    result = told(body, "application/vnd.crm+json")
    assert result.code == "ok"
    assert len(result.text.encode()) < TEXT_BYTES_MOST + 100
    assert result.text.startswith('{"key0":0,')
    assert result.text.endswith("the answer is longer.)")


def test_json_nested_beyond_reason_does_no_harm() -> None:
    assert told(b"[" * 200_000, "application/json").text.startswith("[[[")


def test_plain_text_is_told_without_control_characters() -> None:
    assert told(b"at nine\x1b[0m\r\nor ten\n", "text/plain").text == "at nine[0m\nor ten"


def test_text_is_read_in_the_charset_it_declares_if_that_is_known() -> None:
    assert told(b"Jos\xe9", "text/plain; charset=latin-1").text == "José"
    assert told("José".encode(), "text/plain; charset=klingon").text == "José"
    assert told("José".encode(), "text/plain; charset=hex").text == "José"


@pytest.mark.parametrize("content_type", ["text/html", "", "application/json"])
def test_a_page_is_named_not_read_out(content_type: str) -> None:
    body = b"<!DOCTYPE html><html><head><title>\n Log  in </title></head><body>Cookies!</body>"
    result = told(body, content_type)
    assert result.code == "tool.html"
    assert result.text == 'The answer is an HTML page, called "Log in", not data.'


def test_what_is_no_text_is_said_to_be_none() -> None:
    assert told(b"\x89PNG\r\n", "image/png").code == "tool.bad_answer"
    assert told(b"PK\x00\x01", "application/zip").text == "The answer is no text (application/zip)."


def test_nothing_is_said_to_be_nothing_where_something_was_wanted() -> None:
    assert told(b" \n").code == "tool.empty"
    assert told(b"", status=204).code == "ok"
    done = result_of(Answer(status=200), empty_is_fine=True)
    assert done == ToolResult("Done. The server answered nothing more.")


def test_a_refusal_is_told_with_its_status_and_what_was_said() -> None:
    result = told(b'{"error": "no such date"}', "application/json", status=404)
    assert result.code == "tool.http_404"
    assert result.text == (
        'The server refused, with status 404 (Not Found). {"error":"no such date"}'
    )
    assert told(b"", status=599).text == "The server refused, with status 599."


def test_a_body_that_went_on_is_told_to_be_too_large() -> None:
    result = told(b"x" * 10_000, "text/plain", whole=False)
    assert result.code == "tool.too_large"
    assert "beginning only" in result.text


@given(st.text())
def test_what_is_told_is_bounded_and_cut_between_characters(text: str) -> None:
    cut = bounded(text * 200)
    assert len(cut.encode()) < TEXT_BYTES_MOST + 100


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "text/html", "application/json", "x; charset=utf-16"]),
)
def test_any_body_is_told_in_some_words(body: bytes, content_type: str) -> None:
    assert told(body, content_type).text
