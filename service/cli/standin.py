"""`callbridge standin`: a stand-in OpenAI server for agents of the OpenAI engines, offline.

Serves chat completions, speech, transcriptions and Realtime on this machine, by a script or with
its own: it recognises what the script lists and says back anything else. What the service must be
told is printed first, then a line for each request; nothing that people say is printed.
"""

import argparse
import asyncio
import socket
import sys
from pathlib import Path

import yaml

from service.cli.carrier import count
from service.standin import KEY, Script, Standin, load
from service.standin.record import Request
from service.standin.refusals import Refused
from service.twin.serving import serving

_ABOUT = """\
a script is YAML:
  heard: ["when are you open"]             the first utterance, the second, ... whatever is said;
                                           without it, speech is recognised among `phrases`
  phrases: [...]                           and what `replies` hear
  replies:
    - hears: "when are you open"           one or several; "*" is anything
      says: "From nine to five."
    - hears: "book me in"
      calls: {name: book, arguments: {day: monday}}
      then: "Done: {result}."
  otherwise: "You said: {heard}."
  opens: "Hello."
  delays: {recognition_ms, first_token_ms, token_ms, first_audio_ms}
  sound: {speed: 8, chunk_bytes: 0}        times the speed of speech (0: at once), size of a piece
  session_s: 3600                          how old a Realtime session becomes
  mcp: {crm: {tools: [{name: find, result: "Ana"}]}}
  faults: [{at: chat, number: 2, does: status, status: 429, retry_after_s: 2}]
    at: models, chat, speech, transcription, opening, session, response, recognition
    does: status, html, empty, stall, cut, close, error, failed, malformed, unknown, odd, expire
    number: which one (0: all), after: so many pieces, status, code, reason, retry_after_s
"""


def main(argv: list[str]) -> int:
    """0: it was ended, 1: it cannot run, 2: called wrongly."""
    arguments = _parse(argv)
    try:
        script = load(arguments.script) if arguments.script else Script()
        listener = socket.create_server((arguments.host, arguments.port))
    except (OSError, ValueError, yaml.YAMLError) as error:
        print(f"callbridge: {error}", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_run(script, arguments.key, listener))
    except KeyboardInterrupt:
        return 0
    finally:
        listener.close()


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="callbridge standin",
        description="An offline stand-in for OpenAI's API.",
        epilog=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where it listens")
    add("--port", type=count, default=8090, help="0: any free one")
    add("--script", type=Path, metavar="FILE", help="what it hears and says, YAML; see below")
    add("--key", default=KEY, help=f"the API key it takes, {KEY} unless set")
    return parser.parse_args(argv)


async def _run(script: Script, key: str, listener: socket.socket) -> int:
    standin = Standin(script, key=key, watch=_print)
    host, port = listener.getsockname()[:2]
    settings = f"OPENAI_BASE_URL=http://{host}:{port}/v1\n  OPENAI_API_KEY={key}"
    print(f"the service needs:\n  {settings}", file=sys.stderr, flush=True)
    try:
        async with serving(standin.app, listener) as served:
            await served
    finally:
        await standin.aclose()
    return 0


def _print(what: Request | Refused) -> None:
    if isinstance(what, Refused):
        place = f" at {what.param}" if what.param else ""
        print(f"! {what.at}: {what.code or 'refused'}{place}", flush=True)
    else:
        print(f"> {what.at} {what.number}", flush=True)
