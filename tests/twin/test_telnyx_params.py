"""Commands as the Telnyx twin reads them: names that its SDK knows, values within bounds."""

import importlib
import json
from typing import Any

import pytest

from service.twin.telnyx_params import ACTIONS, Refusal, read_body

_SDK_NAMES = {
    "playback_start": "start_playback",
    "playback_stop": "stop_playback",
    "gather_stop": "stop_gather",
    "record_start": "start_recording",
    "record_stop": "stop_recording",
    "record_pause": "pause_recording",
    "record_resume": "resume_recording",
    "suppression_start": "start_noise_suppression",
    "suppression_stop": "stop_noise_suppression",
    "transcription_start": "start_transcription",
    "transcription_stop": "stop_transcription",
    "streaming_start": "start_streaming",
    "streaming_stop": "stop_streaming",
    "client_state_update": "update_client_state",
}
_GOOD: dict[str, dict[str, Any]] = {
    "reject": {"cause": "USER_BUSY"},
    "send_dtmf": {"digits": "1"},
    "streaming_start": {"stream_url": "wss://bridge.example/s"},
    "client_state_update": {"client_state": "e30="},
    "transfer": {"to": "+15550100009"},
    "bridge": {"call_control_id": "v3:x"},
    "speak": {"payload": "Hello", "voice": "x"},
    "playback_start": {"audio_url": "https://files.example/a.mp3"},
    "gather_using_speak": {"payload": "Hello", "voice": "x"},
    "gather_using_audio": {"media_name": "a"},
    "record_start": {"format": "wav", "channels": "dual"},
    "send_sip_info": {"content_type": "text/plain", "body": "x"},
}


def sdk_fields(action: str) -> set[str]:
    name = _SDK_NAMES.get(action, action)
    module = importlib.import_module(f"telnyx.types.calls.action_{name}_params")
    [params] = [
        getattr(module, found)
        for found in dir(module)
        if found.startswith("Action") and found.endswith("Params")
    ]
    renamed = {"from_": "from", "call_control_id_to_bridge_with": "call_control_id"}
    return {renamed.get(field, field) for field in params.__annotations__}


def knows(action: str, field: str) -> bool:
    """Whether the twin has a check of this field, good or bad as the value may be."""
    body = {**_GOOD.get(action, {}), field: None}
    try:
        read_body(json.dumps(body).encode(), action)
    except Refusal as refusal:
        return "is not a parameter" not in refusal.detail
    return True


@pytest.mark.parametrize("action", ACTIONS)
def test_the_smallest_command_that_is_right_passes(action: str) -> None:
    body = _GOOD.get(action, {})
    assert read_body(json.dumps(body).encode(), action) == body


@pytest.mark.parametrize("action", [a for a in ACTIONS if a != "client_state_update"])
def test_every_command_has_an_id_and_a_state(action: str) -> None:
    assert knows(action, "command_id")
    assert knows(action, "client_state")


@pytest.mark.parametrize("action", ["transfer", "speak", "gather", "playback_start", "bridge"])
def test_what_the_sdk_does_not_know_the_twin_does_not_either(action: str) -> None:
    fields = sdk_fields(action)
    for field in ("to", "from", "payload", "audio_url", "maximum_digits", "stream_url", "nonsense"):
        assert knows(action, field) is (field in fields)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_is_needed_is_known_to_the_sdk(action: str) -> None:
    assert set(_GOOD.get(action, {})) <= sdk_fields(action)


@pytest.mark.parametrize(
    ("action", "changes", "code"),
    [
        ("transfer", {"to": "5550100009"}, "10016"),
        ("transfer", {"to": None}, "10016"),
        ("transfer", {"timeout_secs": 4}, "10033"),
        ("transfer", {"time_limit_secs": 20_000}, "10033"),
        ("transfer", {"target_leg_client_state": "{}"}, "90017"),
        ("transfer", {"answering_machine_detection": "yes"}, "10032"),
        ("speak", {"payload": "x" * 3001}, "10015"),
        ("playback_start", {"media_name": "a"}, "10004"),
        ("playback_start", {"loop": 101}, "10033"),
        ("playback_start", {"audio_url": "file:///etc/passwd"}, "10003"),
        ("gather", {"maximum_digits": 129}, "10033"),
        ("gather", {"valid_digits": "xyz"}, "10015"),
        ("gather", {"terminating_digit": "12"}, "10015"),
        ("record_start", {"format": "ogg"}, "10032"),
        ("send_sip_info", {"body": 7}, "10015"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_code(
    action: str, changes: dict[str, Any], code: str
) -> None:
    body = {**_GOOD.get(action, {}), **changes}
    with pytest.raises(Refusal) as refused:
        read_body(json.dumps(body).encode(), action)
    assert refused.value.code == code


@pytest.mark.parametrize("action", sorted(_GOOD))
def test_what_is_needed_and_missing_is_named(action: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_body(b"{}", action)
    assert refused.value.code == "10004"


def test_silence_may_end_a_gathering_instead_of_a_key() -> None:
    assert read_body(b'{"terminating_digit":""}', "gather") == {"terminating_digit": ""}
