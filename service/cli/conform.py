"""`callbridge conform twilio|telnyx --url URL`: judges a running bridge by its answers.

Serves the carrier's REST API on this machine for as long as it takes: the bridge must have been
told to use it (printed first). Numbers, tokens and speech are not printed.
"""

import argparse
import asyncio
import json
import socket
import sys
from pathlib import Path

import httpx

from service.cli.carrier import account_arguments, carrier_env, introduce, url
from service.conformance.check import Result
from service.conformance.kit import TO, Kit, Limits, Order
from service.conformance.report import as_junit, as_line, as_object, summary
from service.conformance.run import CHECKS, conform
from service.replay.voice import CallerVoice
from service.twin.serving import serving
from service.twin.socket import dial_network
from service.twin.speech import load_wav
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin

_PATHS = {"twilio": "/twilio/voice", "telnyx": "/telnyx/webhook"}
_WORDS = "Excuse me, I have a question: what are your opening hours?"


def main(argv: list[str]) -> int:
    """0: no MUST is broken, 1: one is, or the kit could not run, 2: called wrongly."""
    arguments = _parse(argv)
    if arguments.list:
        for check in CHECKS[arguments.carrier]:
            print(f"{check.level.upper():7}{check.name}  ({check.source})")
        return 0
    try:
        speech = load_wav(arguments.say) if arguments.say else CallerVoice().say(_WORDS)
        listener = socket.create_server((arguments.host, arguments.port))
    except (OSError, ValueError) as error:
        print(f"callbridge: {error}", file=sys.stderr)
        return 1
    try:
        results = asyncio.run(_run(arguments, speech, listener))
    except KeyboardInterrupt:
        return 1
    finally:
        listener.close()
    if arguments.junit:
        arguments.junit.write_bytes(as_junit(arguments.carrier, results))
    print(summary(results), file=sys.stderr)
    return 1 if any(result.binding for result in results) else 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="callbridge conform", description="Judge a bridge by its answers to a carrier."
    )
    add = parser.add_argument
    add("carrier", choices=tuple(CHECKS))
    add("--url", default="http://127.0.0.1:8080", type=url, help="the bridge's public URL")
    add("--webhook-path", help="where it takes calls: /twilio/voice, /telnyx/webhook")
    add("--status-path", help="where it takes Twilio's status callbacks, if it does")
    add("--to", default=TO, help="the number that is called")
    add("--say", metavar="WAV", help="what the caller says; else a question in English")
    add("--order-url", type=url, help="where the bridge is told to place a call")
    add("--order-body", default='{"to":"{to}"}', help="what is posted there; {to}: the number")
    add("--order-header", action="append", default=[], metavar="NAME: VALUE")
    add("--answer-ms", type=int, default=Limits().answer_ms, help="until its agent must speak")
    add("--webhook-ms", type=int, default=Limits().webhook_ms, help="for an answer to a webhook")
    add("--ahead-ms", type=int, default=Limits().ahead_ms, help="of sound sent ahead at most")
    add("--start-ms", type=int, default=Limits().start_ms, help="for a socket without `start`")
    add("--only", nargs="+", default=[], metavar="CHECK", help="these checks and no others")
    add("--at-once", type=int, default=3, help="how many checks run at the same time")
    add("--list", action="store_true", help="print the checks and their sources, and run none")
    add("--json", action="store_true", help="one JSON object a line")
    add("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML, too")
    account_arguments(parser)
    arguments = parser.parse_args(argv)
    known = {check.name for check in CHECKS[arguments.carrier]}
    for name in arguments.only:
        if name not in known:
            parser.error(f"--only {name}: no such check; --list prints all")
    for header in arguments.order_header:
        if not header.partition(":")[2]:
            parser.error("--order-header: expected NAME: VALUE")
    return arguments


async def _run(
    arguments: argparse.Namespace, speech: bytes, listener: socket.socket
) -> list[Result]:
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as http:
        webhook_url = arguments.url + (arguments.webhook_path or _PATHS[arguments.carrier])
        twin = _twin(arguments, http, webhook_url)
        introduce(twin, arguments.host, listener.getsockname()[1])
        kit = Kit(
            twin,
            http,
            webhook_url=webhook_url,
            speech=speech,
            to=arguments.to,
            from_=arguments.from_,
            limits=Limits(
                answer_ms=arguments.answer_ms,
                webhook_ms=arguments.webhook_ms,
                ahead_ms=arguments.ahead_ms,
                start_ms=arguments.start_ms,
            ),
            order=_order(arguments),
        )
        async with serving(twin.app, listener):
            return await conform(
                kit,
                at_once=max(1, arguments.at_once),
                only=arguments.only,
                told=_print_json if arguments.json else _print,
            )


def _twin(
    arguments: argparse.Namespace, http: httpx.AsyncClient, webhook_url: str
) -> TwilioTwin | TelnyxTwin:
    env = carrier_env()
    if arguments.carrier == "twilio":
        status = arguments.status_path
        return TwilioTwin(
            http,
            dial_network,
            account_sid=env["TWILIO_ACCOUNT_SID"],
            auth_token=arguments.token or env["TWILIO_AUTH_TOKEN"],
            voice_url=webhook_url,
            status_url=arguments.url + status if status else "",
        )
    return TelnyxTwin(
        http,
        dial_network,
        api_key=env["TELNYX_API_KEY"],
        seed=arguments.seed,
        connection_id=env["TELNYX_CONNECTION_ID"],
        webhook_url=webhook_url,
    )


def _order(arguments: argparse.Namespace) -> Order | None:
    if not arguments.order_url:
        return None
    headers = dict(line.split(":", maxsplit=1) for line in arguments.order_header)
    stripped = {name.strip(): value.strip() for name, value in headers.items()}
    return Order(url=arguments.order_url, body=arguments.order_body, headers=stripped)


def _print(result: Result) -> None:
    print(as_line(result), flush=True)


def _print_json(result: Result) -> None:
    print(json.dumps(as_object(result)), flush=True)
