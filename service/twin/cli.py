"""`callbridge twin twilio|telnyx`: an offline carrier for a running service.

Serves the carrier's REST API on this machine and calls the bridge, printing a line per step. What
the service must know of this carrier is printed first. Numbers, tokens and speech are not printed.
"""

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn

from service.settings import environment
from service.twin.behaviour import Outcome
from service.twin.caller import HangUp, Press, Say, Step, WaitForAgent
from service.twin.record import CallRecord, Remarked, Warned
from service.twin.socket import dial_network
from service.twin.speech import load_wav
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin

_HOST = "127.0.0.1"
_SEED_BYTES = 32
_ACCOUNT_SID = "AC" + "0" * 31 + "1"
_SETTINGS = {  # for a service and a twin that know no real account
    "TWILIO_ACCOUNT_SID": _ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": "twin",
    "TELNYX_API_KEY": "twin",
    "TELNYX_CONNECTION_ID": "1",
}

Twin = TwilioTwin | TelnyxTwin


def main(argv: list[str]) -> int:
    """0: every call was answered and nothing was wrong, 1: not so, 2: called wrongly."""
    arguments = _parse(argv)
    try:
        steps = _steps(arguments)
        listener = socket.create_server((_HOST, arguments.port))
    except (OSError, ValueError) as error:
        print(f"callbridge: {error}", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_run(arguments, steps, listener))
    except KeyboardInterrupt:
        return 0 if arguments.calls == 0 else 1
    finally:
        listener.close()


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="callbridge twin", description="An offline carrier that calls a running service."
    )
    add = parser.add_argument
    add("carrier", choices=("twilio", "telnyx"))
    add("--bridge", default="http://127.0.0.1:8080", type=_url, help="the service's public URL")
    add("--agent", default="", help="who is to answer, as in ?agent=NAME")
    add("--port", type=int, default=8070, help="of the carrier's REST API; 0: any free one")
    add("--calls", type=_count, default=1, help="how many at once; 0: serve until interrupted")
    add("--say", nargs="+", default=[], metavar="WAV", help="said in turn, each after the agent")
    add("--press", default="", metavar="DIGITS", help="keys pressed after all is said")
    add("--to", default="+14155550123", help="the number that is called")
    add("--from", default="+14155550100", dest="from_", help="the caller's number")
    add("--token", help="Twilio's auth token, else TWILIO_AUTH_TOKEN")
    add("--seed", type=_seed, default=bytes(_SEED_BYTES), help="Telnyx's signing seed, hex")
    add("--json", action="store_true", help="one JSON object a line")
    return parser.parse_args(argv)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("expected an http or https URL")
    return text.rstrip("/")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("expected a whole number")
    return int(text)


def _seed(text: str) -> bytes:
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise argparse.ArgumentTypeError("expected 64 hexadecimal digits")
    return seed


def _steps(arguments: argparse.Namespace) -> tuple[Step, ...]:
    steps: list[Step] = []
    for path in arguments.say:
        steps += [WaitForAgent(), Say(load_wav(path), text=str(path))]
    if arguments.press:
        steps += [WaitForAgent(), Press(arguments.press)]
    return (*steps, WaitForAgent(), HangUp())


async def _run(
    arguments: argparse.Namespace, steps: tuple[Step, ...], listener: socket.socket
) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        twin = _twin(arguments, http, _Printer(as_json=arguments.json))
        twin.default_outcome = Outcome(steps=steps)
        _introduce(twin, listener.getsockname()[1])
        config = uvicorn.Config(twin.app, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="twin REST API")
        if arguments.calls == 0:
            await serving
        else:
            calls = (
                twin.call(arguments.to, arguments.from_, steps) for _ in range(arguments.calls)
            )
            await asyncio.gather(*calls)
            await twin.settle()
            server.should_exit = True
            await serving
    return _summary(twin.records, as_json=arguments.json)


def _twin(arguments: argparse.Namespace, http: httpx.AsyncClient, watch: "_Printer") -> Twin:
    env = _SETTINGS | {name: value for name, value in environment().items() if value}
    query = f"?agent={arguments.agent}" if arguments.agent else ""
    if arguments.carrier == "twilio":
        return TwilioTwin(
            http,
            dial_network,
            account_sid=env["TWILIO_ACCOUNT_SID"],
            auth_token=arguments.token or env["TWILIO_AUTH_TOKEN"],
            voice_url=f"{arguments.bridge}/twilio/voice{query}",
            status_url=f"{arguments.bridge}/twilio/status",
            watch=watch,
            keep_media=False,
        )
    return TelnyxTwin(
        http,
        dial_network,
        api_key=env["TELNYX_API_KEY"],
        seed=arguments.seed,
        connection_id=env["TELNYX_CONNECTION_ID"],
        webhook_url=f"{arguments.bridge}/telnyx/webhook{query}",
        watch=watch,
        keep_media=False,
    )


def _introduce(twin: Twin, port: int) -> None:
    """To stderr, so that stdout has steps alone."""
    if isinstance(twin, TwilioTwin):
        settings = [f"TWILIO_API_BASE=http://{_HOST}:{port}"]
        names = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
    else:
        base = f"TELNYX_API_BASE=http://{_HOST}:{port}/v2"
        settings = [base, f"TELNYX_PUBLIC_KEY={twin.public_key}"]
        names = ("TELNYX_API_KEY", "TELNYX_CONNECTION_ID")
    env = environment()
    settings += [f"{name}={_SETTINGS[name]}" for name in names if not env.get(name)]
    print("the service needs:", *settings, sep="\n  ", file=sys.stderr, flush=True)


class _Printer:
    """Prints a call's steps as they come."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __call__(self, record: CallRecord, what: dict[str, Any] | Warned | Remarked) -> None:
        step = _describe(what)
        if step is None:
            return
        call = record.call_id[:10]
        if self._as_json:
            line = json.dumps({"call": record.call_id, "at_ms": record.at_ms(), "step": step})
        else:
            line = f"{record.at_ms() / 1000:9.3f}  {call}  {step}"
        print(line, flush=True)


def _describe(what: dict[str, Any] | Warned | Remarked) -> str | None:
    if isinstance(what, Warned):
        return f"! {what.code}: {what.detail}"
    if isinstance(what, Remarked):
        return f"  the caller {what.kind.replace('_', ' ')}"
    arrow = ">" if what["from"] == "carrier" else "<"
    text = _content(what)
    return f"{arrow} {text}" if text is not None else None


def _content(line: dict[str, Any]) -> str | None:
    match line:
        case {"request": request}:
            path = urlsplit(request["path"]).path
            return f"{request['method']} {path}{_event(request)}"
        case {"response": response}:
            return f"HTTP {response['status']}"
        case {"open": _}:
            return "the media socket opens"
        case {"refused": refused}:
            return f"the media socket is refused with {refused['status']}"
        case {"close": close}:
            return f"the media socket closes with {close['code']}"
        case {"message": {"event": event}} if event != "media":
            return str(event)
        case _:
            return None


def _event(request: dict[str, Any]) -> str:
    form = request.get("form", {})
    event = form.get("StreamEvent") or form.get("CallStatus")
    event = event or request.get("json", {}).get("data", {}).get("event_type")
    return f" {event}" if event else ""


def _summary(records: Sequence[CallRecord], *, as_json: bool) -> int:
    good = [r for r in records if r.answered_at_ms is not None and not r.warnings]
    for record in records:
        heard_ms = sum(span.end_ms - span.start_ms for span in record.spans())
        end = {
            "call": record.call_id,
            "status": record.status,
            "answered": record.answered_at_ms is not None,
            "heard_ms": int(heard_ms),
            "warnings": len(record.warnings),
        }
        text = ", ".join(f"{name} {value}" for name, value in end.items())
        print(json.dumps(end) if as_json else text, flush=True)
    return 0 if len(good) == len(records) else 1
