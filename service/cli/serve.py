"""`callbridge serve`: the service, on uvicorn.

Told to stop, it first takes no more calls and waits for the live ones (CALLBRIDGE_DRAIN_SECONDS).
"""

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from typing import TextIO

import uvicorn
from starlette.applications import Starlette

from providers.catalog import catalog
from service import logs, traces
from service.app import create_app, reach_store
from service.cli.workers import run_workers
from service.core.errors import BridgeError, ConfigError
from service.settings import Settings, check_listen, load_or_exit

SEND_BUFFER_BYTES = 32_768
"""Two seconds of sound: left alone the kernel keeps minutes of it for a peer that does not read."""

UNREAD_MS = 10_000
"""A peer that takes nothing for so long is cut off by the kernel: uvicorn would wait for ever."""


def main(argv: list[str]) -> int:
    """Run the service until it is told to stop."""
    arguments = _parse(argv)
    settings = load_or_exit()
    logs.configure(settings.callbridge_log_format)
    traces.configure(os.environ)
    try:
        check_listen(settings, host=arguments.host, workers=arguments.workers)
        asyncio.run(reach_store(settings))
        app = create_app(settings)
    except ConfigError as error:
        print(f"callbridge: the settings cannot be used\n{error.detail}", file=sys.stderr)
        return 2
    except BridgeError as error:
        print(
            f"callbridge: Redis does not answer ({error.detail}); REDIS_URL says where it is",
            file=sys.stderr,
        )
        return 1
    try:
        listening = _listening(arguments)
    except OSError as error:
        where = _netloc(arguments.host, arguments.port)
        print(f"callbridge: cannot listen on {where}: {error.strerror}", file=sys.stderr)
        return 1
    if arguments.workers > 1:
        return run_workers(arguments.workers, listening, host=arguments.host, port=arguments.port)
    url = f"http://{_netloc(arguments.host, listening.getsockname()[1])}"  # --port 0 is any
    server = Server(app, settings, greeting=_addresses(settings, url))
    if arguments.socket is not None:
        server.stop_with(sys.stdin)
    # uvicorn stops in good order and then raises the signal again, which would end us as if killed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listening])
    return 0 if server.started else 1


class Server(uvicorn.Server):
    """A uvicorn server that lets live calls finish before it stops."""

    def __init__(self, app: Starlette, settings: Settings, *, greeting: str) -> None:
        super().__init__(_config(app, settings))
        self._greeting = greeting
        self._app = app
        self._drain_seconds = settings.callbridge_drain_seconds
        self._leader: TextIO | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and take what is there to stay out of the garbage collector's rounds.

        A full round over all the modules' objects holds the loop for 30 to 60 ms; frames make no
        cycles, so rounds over the rest may be rare.
        """
        await super().startup(sockets)
        if self._leader is not None:
            asyncio.get_running_loop().add_reader(self._leader, self._follow, self._leader)
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        if self.started:
            print(self._greeting, flush=True)

    def stop_with(self, leader: TextIO) -> None:
        """Stop as if told to when this input ends: whoever holds its other end is gone."""
        self._leader = leader

    def _follow(self, leader: TextIO) -> None:
        asyncio.get_running_loop().remove_reader(leader)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop; a second interrupt hangs the live calls up at once."""
        draining = asyncio.ensure_future(self._app.state.drain(self._drain_seconds))
        while not draining.done() and not self.force_exit:
            await asyncio.wait({draining}, timeout=0.1)
        if draining.cancel():
            self.force_exit = (
                False  # it would leave the lines open; a third interrupt may have that
            )
            await self._app.state.drain(0)
        await super().shutdown(sockets)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="callbridge serve", description="Run the service.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=8080)
    parser.add_argument(
        "--workers", type=_count, default=1, help="processes; more need a real Redis"
    )
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)  # cli/workers.py
    return parser.parse_args(argv)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) < 65_536):
        raise argparse.ArgumentTypeError("expected a number from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 1000):
        raise argparse.ArgumentTypeError("expected a number from 1 to 1000")
    return int(text)


def _config(app: Starlette, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.callbridge_max_message_bytes,
        ws_ping_interval=None,  # frames come 50 times a second; the bridge notices when they stop
        ws_per_message_deflate=False,  # carriers do not offer it, and it costs 300 kB a socket
        lifespan="on",
        log_config=None,
        access_log=False,  # paths hold tokens
        proxy_headers=False,  # who is on loopback is decided by the socket
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def _addresses(settings: Settings, url: str) -> str:
    """What a person wants to open or to enter somewhere next."""
    rows = [("talk to an agent", f"{url}/"), ("try the REST API", f"{url}/docs")]
    for provider in catalog(settings).values():
        if provider.webhooks is not None:
            path = f"/{provider.name}{provider.webhooks.paths[0]}"
            rows.append((f"{provider.name} webhook", settings.callbridge_public_url + path))
    if len(rows) == 2:
        rows.append(("phone carriers", "none is on; README.md says how to point one here"))
    return "\n".join(["callbridge is ready", *(f"  {what:18}{where}" for what, where in rows)])


def _netloc(host: str, port: int) -> str:
    """As a URL has it: the colons of an IPv6 address would be taken for the port's (RFC 3986)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listening(arguments: argparse.Namespace) -> socket.socket:
    if arguments.socket is not None:
        return socket.socket(fileno=arguments.socket)
    return _listen(arguments.host, arguments.port)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Both are inherited by the sockets that are accepted.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux alone has it
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    listening.bind((host, port))
    return listening
