"""Spans reach a collector where one is named."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

PROGRAM = """
import os
from datetime import UTC, datetime
from opentelemetry import trace
from service import traces
from service.bridge.spans import STEPS, trace_answer

traces.configure(os.environ)
latency = {f"{step}_ms": 10 for step in STEPS} | {"response_ms": 50}
turn = {"turn_id": "t1", "interrupted": False, "began_ago_ms": 0, "latency": latency}
trace_answer("call_1", turn, datetime.now(UTC))
provider = trace.get_tracer_provider()
print(type(provider).__module__)
if hasattr(provider, "shutdown"):
    provider.shutdown()
"""


class Collector(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.came.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def run(**env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_an_answer_reaches_the_collector_that_is_named() -> None:
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{collector.server_port}"
        run(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_COMPRESSION="none")
        collector.shutdown()
        [(path, body)] = collector.came
        assert path == "/v1/traces"
        assert b"first_token" in body
        assert b"callbridge.call_id" in body


def test_without_a_collector_nothing_of_the_sdk_is_started() -> None:
    assert "sdk" not in run(OTEL_EXPORTER_OTLP_ENDPOINT="")
