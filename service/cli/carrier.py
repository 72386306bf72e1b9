"""What both of the carriers' commands, `twin` and `conform`, take on the command line."""

import argparse
import sys
from urllib.parse import urlsplit

from service.settings import environment
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin

SEED_BYTES = 32
ACCOUNT_SID = "AC" + "0" * 31 + "1"
SETTINGS = {  # for a service and a twin that know no real account
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": "twin",
    "TELNYX_API_KEY": "twin",
    "TELNYX_CONNECTION_ID": "1",
}


def account_arguments(parser: argparse.ArgumentParser) -> None:
    """Who the carrier is, and where its REST API listens."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address of the carrier's REST API")
    add("--port", type=int, default=8070, help="of the carrier's REST API; 0: any free one")
    add("--from", default="+14155550100", dest="from_", help="the caller's number")
    add("--token", "--auth-token", help="Twilio's auth token, else TWILIO_AUTH_TOKEN")
    add("--seed", type=seed, default=bytes(SEED_BYTES), help="Telnyx's signing seed, hex")


def carrier_env() -> dict[str, str]:
    """The settings of this machine, and a twin's own where there are none."""
    return SETTINGS | {name: value for name, value in environment().items() if value}


def url(text: str) -> str:
    """An http or https URL, without its last slash."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("expected an http or https URL")
    return text.rstrip("/")


def seed(text: str) -> bytes:
    """32 bytes, in hex."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != SEED_BYTES:
        raise argparse.ArgumentTypeError("expected 64 hexadecimal digits")
    return value


def count(text: str) -> int:
    """A whole number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("expected a whole number")
    return int(text)


def introduce(twin: TwilioTwin | TelnyxTwin, host: str, port: int) -> None:
    """What the service must be told of this carrier. To stderr: stdout has results alone."""
    if isinstance(twin, TwilioTwin):
        settings = [f"TWILIO_API_BASE=http://{host}:{port}"]
        names = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
    else:
        base = f"TELNYX_API_BASE=http://{host}:{port}/v2"
        settings = [base, f"TELNYX_PUBLIC_KEY={twin.public_key}"]
        names = ("TELNYX_API_KEY", "TELNYX_CONNECTION_ID")
    env = environment()
    settings += [f"{name}={SETTINGS[name]}" for name in names if not env.get(name)]
    print("the service needs:", *settings, sep="\n  ", file=sys.stderr, flush=True)
