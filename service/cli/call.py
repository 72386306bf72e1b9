"""`callbridge call`: places a call through a running service and follows it until it ends."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx

from service.core.errors import BridgeError
from service.settings import environment

CONNECT_TIMEOUT_S = 5.0
PLACE_TIMEOUT_S = 30.0


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
        print(f"callbridge: {arguments.url} does not answer: {error}", file=sys.stderr)
    return 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="callbridge call", description="Place a call.")
    parser.add_argument("--to", required=True, help="number to dial, as +14155550100")
    parser.add_argument("--from", required=True, dest="from_", help="number to show")
    parser.add_argument("--provider", required=True, help="carrier, as twilio")
    parser.add_argument("--agent", required=True, help="who talks")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the running service")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args(argv)
    arguments.key = _first_key(environment().get("CALLBRIDGE_API_KEYS", ""))
    return arguments


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
    call: dict[str, Any] = answer.json()
    return call


def _refusal(answer: httpx.Response) -> BridgeError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    faults = [f"{e['pointer']}: {e['message']}" for e in problem.get("errors", [])]
    detail = "; ".join(faults) or problem.get("detail") or f"HTTP {answer.status_code}"
    return BridgeError(problem.get("code", "api.unreadable"), detail)


def _follow(http: httpx.Client, arguments: argparse.Namespace, call_id: str) -> int:
    end: dict[str, Any] = {}
    for event in _events(http, call_id):
        _print(arguments, event["type"], event["data"])
        if event["type"] == "call.ended":
            end = event["data"]
    return 0 if end.get("outcome") == "completed" else 1


def _events(http: httpx.Client, call_id: str) -> Iterator[dict[str, Any]]:
    headers = {"Accept": "text/event-stream"}
    path = f"/v1/calls/{call_id}/events"
    with http.stream("GET", path, headers=headers, timeout=None) as stream:
        stream.raise_for_status()
        for line in stream.iter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))


def _print(arguments: argparse.Namespace, kind: str, data: dict[str, Any]) -> None:
    if arguments.json:
        print(json.dumps({"type": kind, "data": data}), flush=True)
        return
    shown = data.get("heard_text") or data.get("text") or data.get("outcome") or ""
    print(f"{kind:18} {shown or data.get('call_id', '')}".rstrip(), flush=True)
