"""The settings: read from the environment, with every fault told at once."""

import pytest

from service.core.errors import ConfigError
from service.settings import Settings, check_listen

KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
TELNYX = {"TELNYX_API_KEY": "KEY", "TELNYX_PUBLIC_KEY": KEY, "TELNYX_CONNECTION_ID": "1"}


def faults(env: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as refused:
        Settings.load(env)
    return refused.value.detail


def test_nothing_set_is_a_service_for_this_machine() -> None:
    settings = Settings.load({})
    assert settings.embedded
    assert settings.callbridge_api_keys == {}
    assert settings.stream_base == "ws://127.0.0.1:8080"


def test_streams_are_dialled_where_webhooks_are() -> None:
    settings = Settings.load({"CALLBRIDGE_PUBLIC_URL": "https://voice.example.org/bridge/"})
    assert settings.stream_base == "wss://voice.example.org/bridge"


def test_every_fault_is_told_at_once_under_its_variables_name() -> None:
    told = faults(
        {
            "CALLBRIDGE_PUBLIC_URL": "voice.example.org",
            "CALLBRIDGE_LEASE_MS": "60000",
            "CALLBRIDGE_API_KEYS": "nameless",
            "REDIS_URL": "mysql://",
            "TWILIO_ACCOUNT_SID": "AC1",
            "TELNYX_PUBLIC_KEY": "-----BEGIN PUBLIC KEY-----",
        }
    )
    for name in (
        "CALLBRIDGE_PUBLIC_URL",
        "CALLBRIDGE_LEASE_MS",
        "CALLBRIDGE_API_KEYS",
        "REDIS_URL",
        "TWILIO_AUTH_TOKEN",
        "TELNYX_PUBLIC_KEY",
    ):
        assert name in told


def test_faults_do_not_repeat_what_was_set() -> None:
    assert "s3cret" not in faults({"CALLBRIDGE_API_KEYS": "s3cret", "REDIS_URL": "x://s3cret"})


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(Settings.load({"CALLBRIDGE_API_KEYS": "ops=s3cret", **TELNYX}))
    assert "s3cret" not in shown


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.load({"REDIS_URL": " ", "TWILIO_AUTH_TOKEN": ""}).embedded


@pytest.mark.parametrize(
    ("env", "host", "workers", "name"),
    [
        ({"CALLBRIDGE_INSECURE": "true"}, "0.0.0.0", 1, "CALLBRIDGE_INSECURE"),
        ({}, "127.0.0.1", 2, "REDIS_URL"),
    ],
)
def test_what_cannot_be_listened_with_is_refused(
    env: dict[str, str], host: str, workers: int, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"settings\.invalid") as refused:
        check_listen(Settings.load(env), host=host, workers=workers)
    assert name in refused.value.detail


def test_a_complete_carrier_is_on() -> None:
    assert Settings.load(TELNYX).telnyx_connection_id == "1"


def test_secrets_are_what_agent_files_may_name() -> None:
    settings = Settings.load({"CALLBRIDGE_SECRET_CRM": " s3cret ", "CALLBRIDGE_SECRET_EMPTY": ""})
    assert settings.callbridge_secrets == {"CRM": "s3cret"}
    assert "s3cret" not in repr(settings)


def test_private_hosts_are_names_addresses_and_networks() -> None:
    given = "crm.internal, 10.1.0.0/16,fd00::/8, 127.0.0.1"
    settings = Settings.load({"CALLBRIDGE_PRIVATE_HOSTS": given})
    assert settings.callbridge_private_hosts == (
        *("crm.internal", "10.1.0.0/16", "fd00::/8", "127.0.0.1"),
    )
    assert "CALLBRIDGE_PRIVATE_HOSTS" in faults({"CALLBRIDGE_PRIVATE_HOSTS": "http://crm/"})
