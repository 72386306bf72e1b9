"""Starts what is measured, each on a free port and on the first core; the generator has the second.

A server is started anew for every run, so that its memory tells what the calls of that run need.
Everything stays on loopback: where the service would ring Twilio up, a stand-in answers.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection, socket
from urllib.request import urlopen

import msgspec
from msgspec import Struct

from bench.load import Seen
from bench.process import pin
from providers.twilio.signature import sign

SERVER_CORE, OTHER_CORE = 0, 1
ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
START_S = 20
RAMP_S = 8

LOOPBACK = "name: default\nengine: loopback\n"
ONLY_LOOPBACK = {"default": LOOPBACK}


class Server(Struct, frozen=True):
    """A server that is ready for calls."""

    pid: int
    url: str
    signature: str = ""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What a socket's upgrade must carry."""
        return [("X-Twilio-Signature", self.signature)] if self.signature else []


class Twilio(BaseHTTPRequestHandler):
    """Twilio's REST API, as far as a bridge that hangs up needs it."""

    def do_POST(self) -> None:
        """Every change of a call is done."""
        body = json.dumps({"sid": self.path.rsplit("/", 1)[-1], "status": "completed"}).encode()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def bare() -> Iterator[Server]:
    """The bare Starlette echo."""
    port = free_port()
    with process([sys.executable, "-m", "bench.bare", str(port)], port) as pid:
        yield Server(pid, f"ws://127.0.0.1:{port}/twilio/stream")


@contextmanager
def service(
    *,
    agents: Mapping[str, str] = ONLY_LOOPBACK,
    real_redis: bool = False,
    detector: bool = False,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """The service with these agents and everything switched on."""
    with ExitStack() as stack:
        port = free_port()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        for name, text in agents.items():
            (folder / f"{name}.yaml").write_text(text)
        env = {
            "CALLBRIDGE_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "CALLBRIDGE_AGENTS": str(folder),
            "CALLBRIDGE_MAX_CALLS": "5000",
            "CALLBRIDGE_MAX_LOOP_LAG_MS": "60000",  # sockets come faster here than calls ever do
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_API_BASE": stack.enter_context(_twilio()),
            "REDIS_URL": stack.enter_context(_redis()) if real_redis else "embedded://",
            **(env or {}),
        }
        module = "bench.detector" if detector else "service"
        command = [sys.executable, "-m", module, "serve", "--host", "127.0.0.1"]
        pid = stack.enter_context(process([*command, "--port", str(port)], port, env=env))
        url = f"ws://127.0.0.1:{port}/twilio/stream"
        yield Server(pid, url, sign(AUTH_TOKEN, url))


def load(server: Server, *, calls: int, seconds: float) -> Seen:
    """Run the generator against a server."""
    generator = _generator(server, calls, seconds)
    out, _ = generator.communicate()
    if generator.returncode:
        raise SystemExit(f"the load generator failed with {generator.returncode}")
    return msgspec.json.decode(out, type=Seen)


@contextmanager
def load_beside(server: Server, *, calls: int, seconds: float) -> Iterator[None]:
    """Calls that talk while something else is measured."""
    generator = _generator(server, calls, seconds)
    try:
        time.sleep(RAMP_S)
        yield
    finally:
        generator.kill()
        generator.communicate()


def metrics(server: Server) -> str:
    """The service's metrics, as Prometheus reads them."""
    with urlopen(server.url.replace("ws:", "http:").replace("/twilio/stream", "/metrics")) as got:
        text: bytes = got.read()
    return text.decode()


def _generator(server: Server, calls: int, seconds: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "bench.load", "--url", server.url]
    command += ["--calls", str(calls), "--seconds", str(seconds), "--pid", str(server.pid)]
    command += ["--signature", server.signature]
    generator = subprocess.Popen(command, stdout=subprocess.PIPE)
    pin(generator.pid, OTHER_CORE)
    return generator


@contextmanager
def process(
    command: list[str], port: int, *, core: int = SERVER_CORE, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A process that listens on a port, until it is no longer needed."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
        )
        pin(process.pid, core)
        try:
            if not _listens(port, process):
                log.seek(0)
                said = log.read().decode(errors="replace")
                raise SystemExit(f"{' '.join(command)} did not start:\n{said}")
            yield process.pid
        finally:
            process.kill()  # its calls are over, and how it shuts down is not measured here
            process.wait()


def _listens(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it takes connections in time; uvicorn does once its application has started."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


@contextmanager
def _twilio() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Twilio)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _redis() -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with process(command, port, core=OTHER_CORE):
        yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
