"""`callbridge call`: places a call through a running service and follows it until it ends.

It places once and never again; when the service goes away meanwhile, it takes up the events where
they broke off (Last-Event-ID).
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx

from service.core.errors import BridgeError
from service.settings import environment

CONNECT_TIMEOUT_S = 5.0
PLACE_TIMEOUT_S = 30.0
SILENCE_TIMEOUT_S = 45.0  # the service sends something every 15 s
TIMES_LOST = 10  # in a row
LOST_WAIT_S = 2.0


def main(argv: list[str]) -> int:
    """0: the call was completed, 1: it was not, 2: called wrongly."""
    arguments = _parse(argv)
    headers = {"Authorization": f"Bearer {arguments.key}"} if arguments.key else {}
    timeout = httpx.Timeout(PLACE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        with httpx.Client(base_url=arguments.url, headers=headers, timeout=timeout) as http:
            call = _place(http, arguments)
            _print(arguments, "call.placed", call)
            return _follow(http, arguments, call["call_id"])
    except BridgeError as error:
        print(f"callbridge: {error.detail} ({error.code})", file=sys.stderr)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        print(f"callbridge: {arguments.url} does not answer: {reason}", file=sys.stderr)
    except KeyboardInterrupt:
        print("callbridge: no longer following; a call that was placed goes on", file=sys.stderr)
    return 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="callbridge call", description="Place a call.")
    parser.add_argument("--to", required=True, help="number to dial, as +14155550100")
    parser.add_argument("--from", required=True, dest="from_", help="number to show")
    parser.add_argument("--provider", required=True, help="carrier, as twilio")
    parser.add_argument("--agent", required=True, help="who talks")
    parser.add_argument(
        "--url", type=_url, default="http://127.0.0.1:8080", help="the running service"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args(argv)
    arguments.key = _first_key(environment().get("CALLBRIDGE_API_KEYS", ""))
    return arguments


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("expected an http:// or https:// URL")
    try:
        return str(httpx.URL(text))
    except httpx.InvalidURL as invalid:
        raise argparse.ArgumentTypeError(str(invalid)) from None


def _first_key(keys: str) -> str:
    """The service's own setting names its keys; any of them will do."""
    return keys.split(",", maxsplit=1)[0].partition("=")[2].strip()


def _place(http: httpx.Client, arguments: argparse.Namespace) -> dict[str, Any]:
    order = {
        "provider": arguments.provider,
        "to": arguments.to,
        "from": arguments.from_,
        "agent": arguments.agent,
    }
    answer = http.post("/v1/calls", json=order)
    if answer.status_code != httpx.codes.CREATED:
        raise _refusal(answer)
    return _object(answer)


def _refusal(answer: httpx.Response) -> BridgeError:
    problem = _object(answer)
    if "code" not in problem:
        raise _foreign(answer)
    faults = [f"{e['pointer']}: {e['message']}" for e in problem.get("errors", [])]
    detail = "; ".join(faults) or problem.get("detail") or f"HTTP {answer.status_code}"
    return BridgeError(problem["code"], detail)


def _foreign(answer: httpx.Response) -> BridgeError:
    return BridgeError("api.unreadable", f"HTTP {answer.status_code}, but not from callbridge")


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _foreign(answer)
    return body


def _follow(http: httpx.Client, arguments: argparse.Namespace, call_id: str) -> int:
    last_id = ""
    lost = 0
    while lost < TIMES_LOST:
        try:
            for event in _events(http, call_id, last_id):
                last_id, lost = event["id"], 0
                _print(arguments, event["type"], event["data"])
                if event["type"] == "call.ended":
                    return 0 if event["data"]["outcome"] == "completed" else 1
        except httpx.TransportError as error:
            _tell_broken(type(error).__name__)
        except httpx.HTTPStatusError as error:
            _tell_broken(f"HTTP {error.response.status_code}")
        lost += 1
        time.sleep(LOST_WAIT_S)
    raise BridgeError("call.lost", "the service tells no more about the call, which may go on")


def _tell_broken(reason: str) -> None:
    print(f"callbridge: the events broke off ({reason})", file=sys.stderr)


def _events(http: httpx.Client, call_id: str, last_id: str) -> Iterator[dict[str, Any]]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    path = f"/v1/calls/{call_id}/events"
    with http.stream("GET", path, headers=headers, timeout=timeout) as stream:
        if stream.is_server_error:
            stream.raise_for_status()  # which may pass: the call goes on meanwhile
        if stream.status_code != httpx.codes.OK:
            stream.read()
            raise _refusal(stream)
        for line in stream.iter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))


def _print(arguments: argparse.Namespace, kind: str, data: dict[str, Any]) -> None:
    if arguments.json:
        print(json.dumps({"type": kind, "data": data}), flush=True)
        return
    shown = data.get("heard_text") or data.get("text") or data.get("outcome") or ""
    print(f"{kind:18} {shown or data.get('call_id', '')}".rstrip(), flush=True)
