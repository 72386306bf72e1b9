"""`callbridge twin twilio|telnyx`: an offline carrier for a running service.

Serves the carrier's REST API on this machine, with the twin's own under /_twin beside it, and calls
the bridge, printing a line per step. What the service must know of this carrier is printed first.
Numbers, tokens and speech are not printed.
"""

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import yaml

from service.cli.carrier import account_arguments, carrier_env, count, introduce, url
from service.replay.voice import CallerVoice
from service.twin.behaviour import Delivery, Faults, Outcome, RestFault
from service.twin.caller import HangUp, Press, Say, Step, WaitForAgent
from service.twin.control import Control
from service.twin.record import CallRecord, Remarked, Warned
from service.twin.script import ScriptFault, Sounds, read_script
from service.twin.serving import serving
from service.twin.socket import dial_network
from service.twin.speech import load_wav
from service.twin.telnyx import TelnyxTwin
from service.twin.telnyx_events import Habits
from service.twin.twilio import TwilioTwin

Twin = TwilioTwin | TelnyxTwin

_ABOUT = """\
faults of every call (--fault NAME=VALUE):
  signature=missing|wrong_key|changed|other_url|old   socket=unsigned|forged
  start=never|foreign   noise=true   novelties=true   voice_twice=true
ways of Telnyx (--habit NAME=VALUE):
  line_codec=PCMA  obeys_stream_codec=false  redials=false  redial_ms=N  socket_while_ringing=false
  hangup_first=true  dial_answer_ms=N  digit_webhooks=false
REST requests that fail, in turn (--rest-fault KIND): hang, html, 401, 429, 500, ...
numbers the bridge calls (--number +1415...=RESULT): answered, busy, no-answer, rejected, not-found,
  failed; the numbers +15005550001 to 4 are refused by Twilio's API

under /_twin, for any language (JSON):
  POST /_twin/calls              call: {"to","from","script":[...],"live","faults","delivery"}
  GET  /_twin/calls, .../ID      what became of it
  GET  /_twin/calls/ID/heard.wav what the caller heard
  GET  /_twin/calls/ID/lines     all that passed but the sound, one JSON object a line
  POST /_twin/calls/ID/steps     go on with a live call: [step, ...]
  POST /_twin/calls/ID/webhooks  send a webhook of your own
  PUT  /_twin/numbers/NUMBER     {"result","ring_ms","script","machine","rest"}; or .../any
  POST /_twin/rest-faults        [{"kind":"status","status":429}]
  GET  /_twin/log                what the bridge did that the carrier does not take

a script is a list of steps: wait_for_agent, wait_for_agent_start, say, play, silence, press,
  interrupt: {after_ms, say}, hang_up, drop_socket, redial, disturb, freeze, raw
"""


def main(argv: list[str]) -> int:
    """0: every call was answered and nothing was wrong, 1: not so, 2: called wrongly."""
    arguments = _parse(argv)
    try:
        steps = _steps(arguments)
        listener = socket.create_server((arguments.host, arguments.port))
    except (OSError, ValueError, yaml.YAMLError, ScriptFault) as error:
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
        prog="callbridge twin",
        description="An offline carrier that calls a running service.",
        epilog=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("carrier", choices=("twilio", "telnyx"))
    add("--bridge", default="http://127.0.0.1:8080", type=url, help="the service's public URL")
    add("--webhook-path", help="where it takes calls: /twilio/voice, /telnyx/webhook")
    add("--status-path", default="/twilio/status", help="where Twilio tells how a call goes")
    add("--agent", default="", help="who is to answer, as in ?agent=NAME")
    add("--calls", type=count, default=1, help="how many at once; 0: serve until interrupted")
    add("--script", type=Path, metavar="FILE", help="what the caller does, YAML or JSON")
    add("--say", nargs="+", default=[], metavar="WAV", help="said in turn, each after the agent")
    add("--press", default="", metavar="DIGITS", help="keys pressed after all is said")
    add("--to", default="+14155550123", help="the number that is called")
    add("--fault", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="see below")
    add("--habit", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="see below")
    add("--copies", type=count, default=1, help="how often each callback is delivered")
    add("--delay-ms", type=_range, default=(0, 0), metavar="FROM-TO", help="of each callback")
    add("--hold", action="store_true", help="callbacks come when the call is over, shuffled")
    add("--number", action="append", default=[], type=_pair, metavar="NUMBER=RESULT")
    add("--rest-fault", action="append", default=[], type=_rest_fault, metavar="KIND")
    add("--sounds", type=Path, metavar="DIR", help="files that scripts under /_twin may play")
    add("--control-key", default="", help="bearer key of /_twin; none: this machine alone")
    add("--json", action="store_true", help="one JSON object a line")
    account_arguments(parser)
    arguments = parser.parse_args(argv, argparse.Namespace(outcomes={}))
    try:
        arguments.faults = msgspec.convert(dict(arguments.fault), Faults, strict=False)
        arguments.habits = msgspec.convert(dict(arguments.habit), Habits, strict=False)
        for number, result in arguments.number:
            arguments.outcomes[number] = msgspec.convert({"result": result}, Outcome)
    except msgspec.ValidationError as error:
        parser.error(str(error))
    foreign = "old" if arguments.carrier == "twilio" else "other_url"
    if arguments.faults.signature == foreign:
        parser.error(f"--fault signature={foreign}: {arguments.carrier} has no such signature")
    return arguments


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("expected NAME=VALUE")
    return name, value


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    if not low.isdecimal() or not (high or low).isdecimal() or int(high or low) < int(low):
        raise argparse.ArgumentTypeError("expected milliseconds, as 0-500")
    return int(low), int(high or low)


def _rest_fault(text: str) -> RestFault:
    if text == "hang":
        return RestFault(kind="hang")
    if text == "html":
        return RestFault(kind="html", status=502)
    if text.isdecimal() and 400 <= int(text) < 600:
        return RestFault(kind="status", status=int(text))
    raise argparse.ArgumentTypeError("expected hang, html, or a status from 400 to 599")


def _steps(arguments: argparse.Namespace) -> tuple[Step, ...]:
    if arguments.script:
        script = yaml.safe_load(arguments.script.read_text("utf-8"))
        return read_script(script, Sounds(_speak, arguments.script.parent))
    steps: list[Step] = []
    for path in arguments.say:
        steps += [WaitForAgent(), Say(load_wav(path), text=str(path))]
    if arguments.press:
        steps += [WaitForAgent(), Press(arguments.press)]
    return (*steps, WaitForAgent(), HangUp())


@cache
def _voice() -> CallerVoice:
    return CallerVoice()


def _speak(text: str) -> bytes:
    return _voice().say(text)


async def _run(
    arguments: argparse.Namespace, steps: tuple[Step, ...], listener: socket.socket
) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        twin = _twin(arguments, http, _Printer(as_json=arguments.json))
        twin.default_outcome = Outcome(steps=steps)
        twin.outcomes |= arguments.outcomes
        twin.faults.extend(arguments.rest_fault)
        control = Control(twin, Sounds(_speak, arguments.sounds), key=arguments.control_key)
        introduce(twin, arguments.host, listener.getsockname()[1])
        async with serving(control.app, listener) as served:
            if arguments.calls == 0:
                await served
            else:
                calls = (_call(arguments, twin, steps) for _ in range(arguments.calls))
                await asyncio.gather(*calls)
                await twin.settle()
    return _summary(twin.records, as_json=arguments.json)


async def _call(arguments: argparse.Namespace, twin: Twin, steps: tuple[Step, ...]) -> CallRecord:
    return await twin.call(arguments.to, arguments.from_, steps, faults=arguments.faults)


def _twin(arguments: argparse.Namespace, http: httpx.AsyncClient, watch: "_Printer") -> Twin:
    env = carrier_env()
    query = f"?agent={arguments.agent}" if arguments.agent else ""
    delivery = Delivery(
        copies=max(1, arguments.copies), delay_ms=arguments.delay_ms, hold=arguments.hold
    )
    if arguments.carrier == "twilio":
        path = arguments.webhook_path or "/twilio/voice"
        return TwilioTwin(
            http,
            dial_network,
            account_sid=env["TWILIO_ACCOUNT_SID"],
            auth_token=arguments.token or env["TWILIO_AUTH_TOKEN"],
            voice_url=f"{arguments.bridge}{path}{query}",
            status_url=f"{arguments.bridge}{arguments.status_path}",
            delivery=delivery,
            watch=watch,
            keep_media=False,
        )
    return TelnyxTwin(
        http,
        dial_network,
        api_key=env["TELNYX_API_KEY"],
        seed=arguments.seed,
        connection_id=env["TELNYX_CONNECTION_ID"],
        webhook_url=f"{arguments.bridge}{arguments.webhook_path or '/telnyx/webhook'}{query}",
        delivery=delivery,
        habits=arguments.habits,
        watch=watch,
        keep_media=False,
    )


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
