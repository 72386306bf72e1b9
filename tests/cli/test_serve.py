"""`callbridge serve`: where it says that it is."""

import asyncio
import re
import socket
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from tests.service.process import environment, refused


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")]
)
async def test_any_free_port_is_told_as_a_url_that_can_be_opened(host: str, shown: str) -> None:
    command = ["-m", "service", "serve", "--host", host, "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env=environment({"CALLBRIDGE_LOG_FORMAT": "json"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            told = re.search(rb"http://\S+/docs", await process.stdout.readuntil(b"/docs"))
        assert told is not None
        url = told[0].decode()
        assert urlsplit(url).netloc.rpartition(":")[0] == shown
        async with httpx.AsyncClient() as http:
            assert (await http.get(url.replace("/docs", "/healthz"))).status_code == 200
    finally:
        process.terminate()
        await process.wait()


def test_an_address_that_cannot_be_had_is_named_as_one() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        done = refused({}, "--host", "::1", "--port", str(port))
    assert done.returncode == 1
    assert f"cannot listen on [::1]:{port}:" in done.stderr
