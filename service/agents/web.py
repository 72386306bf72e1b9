"""Where an agent file points to on the web: URLs, headers, and lookups before the greeting.

Where a secret is needed it is named: `{secret.CRM}` stands for `CALLBRIDGE_SECRET_CRM`.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from service.agents.parts import Form, Part, Word

URL_LENGTH = 2000
_AUTHORITY = r"https?://[^\s/?#{}@\\]+"


def _address(url: str) -> str:
    """The URL. ValueError says what is wrong with where it points to."""
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("no blanks and no backslashes in a URL")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("expected a URL of http:// or https://")
    if "{" in parts.netloc or "}" in parts.netloc:
        raise ValueError("no placeholder may stand in the host of a URL")
    if "@" in parts.netloc:
        raise ValueError("no name and no password in a URL: they go into headers")
    if not parts.hostname or parts.port == 0:
        raise ValueError("there is no host in the URL, or no port of it can be used")
    return url


def _base(url: str) -> str:
    if url and ("?" in url or "#" in url or "{" in url):
        raise ValueError("expected a URL without ?, # and {")
    return _address(url) if url else url


def _schema(pattern: str) -> Any:
    return WithJsonSchema({"type": "string", "maxLength": URL_LENGTH, "pattern": pattern})


_LENGTH = StringConstraints(max_length=URL_LENGTH)

BaseUrl = Annotated[
    str, _LENGTH, AfterValidator(_base), _schema(rf"^({_AUTHORITY}(/[^\s?#{{}}\\]*)?)?$")
]
"""Of a server that speaks OpenAI's API, up to and with /v1; "" for the one in the settings."""
Url = Annotated[str, _LENGTH, AfterValidator(_address), _schema(rf"^{_AUTHORITY}([/?#][^\s\\]*)?$")]
"""An address; placeholders may stand behind the host."""

Secret = Annotated[str, Form("([A-Z][A-Z0-9_]{0,63})?", "the name of a secret, such as CRM_KEY")]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
HeaderName = Annotated[str, Form("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", "the name of an HTTP header")]
HeaderValue = Annotated[str, Form(r"[\x21-\x7e]([\x20-\x7e]{0,1998}[\x21-\x7e])?", "ASCII text")]
Headers = Annotated[dict[HeaderName, HeaderValue], Field(max_length=20)]
Pointer = Annotated[
    str, StringConstraints(max_length=200), Form("(/([^/~]|~[01])*)*", "a pointer like /name/first")
]


class Lookup(Part):
    """An HTTP request before the greeting, whose answer (JSON) fills variables."""

    url: Url
    """{caller}, {called}, {call_id} and {variable} are filled in, percent-encoded."""
    method: Literal["GET", "POST"] = "GET"
    """POST sends the call's variables as a JSON object."""
    headers: Headers = {}
    """{secret.NAME} stands for the environment variable CALLBRIDGE_SECRET_NAME."""
    timeout_s: Annotated[float, Field(ge=0.1, le=10)] = 2
    """The greeting waits no longer than this, in seconds."""
    variables: Annotated[dict[Word, Pointer], Field(min_length=1, max_length=20)]
    """Which variable is filled from where in the answer: a JSON pointer (RFC 6901)."""
