import base64

import pytest

from providers.telnyx import client_state
from service.core.calls import CallId


def test_a_call_id_comes_back_from_its_state() -> None:
    assert client_state.unpack(client_state.pack(CallId("call_01J9"))) == "call_01J9"


def test_a_state_is_standard_base64_as_telnyx_demands() -> None:
    packed = client_state.pack(CallId("call_01J9"))
    assert base64.b64encode(base64.b64decode(packed, validate=True)).decode() == packed


@pytest.mark.parametrize(
    "state",
    [
        None,
        42,
        "",
        "no base64!",
        "é",
        base64.b64encode(b"session=42").decode(),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"call_id":42}').decode(),
        base64.b64encode(b'{"call_id":""}').decode(),
        base64.b64encode(b'{"call_id":"' + b"x" * 65 + b'"}').decode(),
        base64.b64encode(b"[" * 40_000).decode(),
    ],
)
def test_a_state_that_is_not_ours_names_no_call(state: object) -> None:
    assert client_state.unpack(state) is None
