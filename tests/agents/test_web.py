"""Where an agent file may point to."""

import pytest
from pydantic import TypeAdapter, ValidationError

from service.agents.web import BaseUrl, Url

GOOD = [
    "https://crm.example/a/{date}?q={name}#x",
    "http://127.0.0.1:8000/v1",
    "http://[::1]:8001",
    "https://käse.example",
]
BAD = [
    "",
    "ftp://crm.example",
    "file:///etc/passwd",
    "//crm.example",
    "crm.example",
    "https://",
    "https:///path",
    "https://{host}.example/",
    "https://crm.example{x}/",
    "https://me:pass@crm.example",
    "https://crm.example:99999/",
    "https://crm.example:0/",
    "https://crm.example\\@evil.example",
    "https://crm.example /",
    "https://crm.example/\n",
    "http://[::1",
    "https://crm.example/" + "x" * 2000,
]


@pytest.mark.parametrize("url", GOOD)
def test_http_and_https_are_addresses(url: str) -> None:
    assert TypeAdapter(Url).validate_python(url) == url


@pytest.mark.parametrize("url", BAD)
def test_anything_else_is_not(url: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Url).validate_python(url)


def test_a_server_has_no_query_and_may_be_left_to_the_settings() -> None:
    server = TypeAdapter(BaseUrl)
    assert server.validate_python("") == ""
    assert server.validate_python("http://127.0.0.1:8000/v1") == "http://127.0.0.1:8000/v1"
    for url in ("https://a.example/v1?key=x", "https://a.example/#", "https://a.example/{x}"):
        with pytest.raises(ValidationError):
            server.validate_python(url)
