"""What the tests of tools share: apps on real ports of this machine, and agents with tools."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from service.agents import Agent

LOOPBACK = ("127.0.0.0/8",)


@asynccontextmanager
async def serving(
    app: Any, *, port: int = 0, certificate: Path | None = None
) -> AsyncIterator[int]:
    """The port on 127.0.0.1 where the app is served."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="auto",
        timeout_graceful_shutdown=1,
        ssl_certfile=str(certificate) if certificate else None,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task
        listener.close()


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def agent(**parts: Any) -> Agent:
    return Agent.model_validate({"name": "a", "engine": "offline", "greeting": "Hi.", **parts})


def http_tool(**parts: Any) -> dict[str, Any]:
    tool = {"kind": "http", "name": "find", "description": "Finds.", "url": "http://crm.test/x"}
    return tool | parts
