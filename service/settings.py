"""Every setting, read once from a mapping of environment variables.

All faults are reported together. `.env.example` says what each one means.
"""

import base64
import binascii
import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from service.core.errors import ConfigError

TOGETHER = (
    ("twilio_account_sid", "twilio_auth_token"),
    ("twilio_api_key_sid", "twilio_api_key_secret"),
    ("telnyx_api_key", "telnyx_public_key", "telnyx_connection_id"),
)
"""Settings of which all are given, or none."""


ED25519_KEY_BYTES = 32

FOR_AGENTS = "CALLBRIDGE_SECRET_"
HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")


class Settings(BaseModel):
    """The settings, each under the name of its variable in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    callbridge_public_url: str = "http://127.0.0.1:8080"
    callbridge_api_keys: dict[str, str] = Field(default={}, repr=False)
    callbridge_agents: Path = Path("agents")
    redis_url: str = Field(default="embedded://", repr=False)

    twilio_account_sid: str = ""
    twilio_auth_token: str = Field(default="", repr=False)
    twilio_auth_token_secondary: str = Field(default="", repr=False)
    twilio_api_key_sid: str = ""
    twilio_api_key_secret: str = Field(default="", repr=False)
    twilio_api_base: str = "https://api.twilio.com"

    telnyx_api_key: str = Field(default="", repr=False)
    telnyx_public_key: str = ""
    telnyx_connection_id: str = ""
    telnyx_stream_auth_token: str = Field(default="", repr=False)
    telnyx_api_base: str = "https://api.telnyx.com/v2"

    openai_api_key: str = Field(default="", repr=False)
    openai_base_url: str = ""
    callbridge_secrets: dict[str, str] = Field(default={}, repr=False)
    """What agent files may name: the value of CALLBRIDGE_SECRET_NAME under NAME."""
    callbridge_private_hosts: tuple[str, ...] = ()

    callbridge_insecure: bool = False
    callbridge_max_calls: Annotated[int, Field(ge=1)] = 300
    callbridge_max_call_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3600
    callbridge_lead_ms: Annotated[int, Field(ge=40, le=5000)] = 200
    callbridge_start_timeout_ms: Annotated[int, Field(ge=100)] = 5000
    callbridge_attach_timeout_ms: Annotated[int, Field(ge=100)] = 20_000
    callbridge_reattach_ms: Annotated[int, Field(ge=0)] = 5000
    callbridge_lease_ms: Annotated[int, Field(ge=500, le=15_000)] = 15_000
    callbridge_max_message_bytes: Annotated[int, Field(ge=1024)] = 65_536
    callbridge_max_body_bytes: Annotated[int, Field(ge=1024)] = 262_144
    callbridge_max_form_fields: Annotated[int, Field(ge=20)] = 200
    callbridge_drain_seconds: Annotated[int, Field(ge=0)] = 30
    callbridge_max_loop_lag_ms: Annotated[int, Field(ge=5)] = 100
    callbridge_call_ttl_days: Annotated[int, Field(ge=1)] = 30
    callbridge_cassettes: Path | None = Path("cassettes")
    callbridge_cassette_audio: Literal["keep", "voice", "silence"] = "keep"
    callbridge_cassette_redact: bool = True
    callbridge_log_format: Literal["auto", "console", "json"] = "auto"

    @field_validator("callbridge_api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if any(not name.strip() or not secret.strip() for name, _, secret in pairs):
            raise ValueError("expected name=secret,name=secret")
        keys = {name.strip(): secret.strip() for name, _, secret in pairs}
        if len(keys) < len(pairs):
            raise ValueError("a key's name is given twice")
        return keys

    @field_validator("callbridge_private_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        hosts = tuple(host.strip().lower() for host in value.split(",") if host.strip())
        if not all(_is_network(host) or HOST_NAME.fullmatch(host) for host in hosts):
            raise ValueError("expected host names, addresses or networks like 10.0.0.0/8")
        return hosts

    @field_validator("callbridge_public_url", "twilio_api_base", "telnyx_api_base")
    @classmethod
    def _http_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("expected an http:// or https:// URL")
        if parts.query or parts.fragment or parts.username:
            raise ValueError("expected a URL without query, fragment or user")
        return parts.geturl().rstrip("/")  # with the scheme in lower case

    @field_validator("openai_base_url")
    @classmethod
    def _http_url_or_none(cls, value: str) -> str:
        return cls._http_url(value) if value else value

    @field_validator("telnyx_public_key")
    @classmethod
    def _ed25519_key(cls, value: str) -> str:
        """Raw, in base64: not PEM, which is what people paste first."""
        if not value:
            return value
        try:
            key = base64.b64decode(value, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != ED25519_KEY_BYTES:
            raise ValueError("expected 44 characters of base64, as the portal shows them")
        return value

    @field_validator("callbridge_cassettes", mode="before")
    @classmethod
    def _folder_or_off(cls, value: Any) -> Any:
        return None if value == "off" else value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if not value.startswith(("embedded://", "redis://", "rediss://", "unix://")):
            raise ValueError("expected embedded://, redis://, rediss:// or unix://")
        return value

    @property
    def stream_base(self) -> str:
        """The public URL with the scheme of sockets: http to ws, https to wss."""
        return "ws" + self.callbridge_public_url.removeprefix("http")

    @property
    def embedded(self) -> bool:
        """The store lives in this process and forgets with it."""
        return self.redis_url.startswith("embedded://")

    @classmethod
    def load(cls, env: Mapping[str, str]) -> "Settings":
        """Settings from environment variables; ConfigError names every fault at once.

        An empty variable counts as not set.
        """
        known = {name.upper() for name in cls.model_fields}
        given: dict[str, Any] = {
            k.lower(): v.strip() for k, v in env.items() if k in known and v.strip()
        }
        given["callbridge_secrets"] = {
            k.removeprefix(FOR_AGENTS): v.strip()
            for k, v in env.items()
            if k.startswith(FOR_AGENTS) and v.strip()
        }
        incomplete = [fault for names in TOGETHER for fault in _incomplete(given, names)]
        try:
            settings = cls.model_validate(given)
        except ValidationError as invalid:
            faults = [*_faults(invalid), *incomplete]
            raise ConfigError("settings.invalid", "\n".join(faults)) from None
        if incomplete:
            raise ConfigError("settings.invalid", "\n".join(incomplete))
        return settings


def environment() -> dict[str, str]:
    """This process's variables over those of `.env`, when there is one."""
    from_file = {k: v for k, v in dotenv_values(".env").items() if v is not None}
    return from_file | dict(os.environ)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_listen(settings: Settings, *, host: str, workers: int) -> None:
    """Raise ConfigError for an address or a number of workers that these settings forbid."""
    faults = []
    if settings.callbridge_insecure and not is_loopback(host):
        faults.append(f"CALLBRIDGE_INSECURE: allowed on a loopback address only, not on {host}")
    if workers > 1 and settings.embedded:
        faults.append(
            "REDIS_URL: more than one worker needs a real Redis, since the embedded store "
            "belongs to one process"
        )
    if faults:
        raise ConfigError("settings.invalid", "\n".join(faults))


def _incomplete(given: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    missing = [name.upper() for name in names if name not in given]
    if not missing or len(missing) == len(names):
        return []
    present = ", ".join(name.upper() for name in names if name in given)
    return [f"{', '.join(missing)}: missing, since {present} is set"]


def _faults(invalid: ValidationError) -> list[str]:
    lines = []
    for error in invalid.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in error["loc"][:1]).upper()
        message = error["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return lines


def load_or_exit() -> Settings:
    """The settings of this process; prints every fault and exits with 2 when there are any."""
    try:
        return Settings.load(environment())
    except ConfigError as error:
        print(f"callbridge: the settings cannot be used\n{error.detail}", file=sys.stderr)
        raise SystemExit(2) from None
