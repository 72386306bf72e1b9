"""The way to a Redis, on which an answer may get lost: the command was carried out all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.redis_server import RedisServer

CHUNK_BYTES = 65_536


class LossyWay:
    """Passes everything on, but for the answer to one command."""

    def __init__(self, server_port: int) -> None:
        self.url = ""
        self.lost = 0
        self._server_port = server_port
        self._doomed: bytes | None = None

    def lose_answer_to(self, command: bytes) -> None:
        """To the next command that holds these bytes."""
        self._doomed = command

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until one of its ends closes or an answer is lost."""
        answers, commands = await asyncio.open_connection("127.0.0.1", self._server_port)
        doomed = asyncio.Event()
        back = asyncio.create_task(self._answer(answers, writer, doomed))
        while data := await reader.read(CHUNK_BYTES):
            if self._doomed is not None and self._doomed in data:
                self._doomed = None
                doomed.set()
            commands.write(data)
        commands.close()
        await back

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if doomed.is_set():
                self.lost += 1
                break
            writer.write(data)
        writer.close()


@asynccontextmanager
async def lossy_way(server: RedisServer) -> AsyncIterator[LossyWay]:
    """A way to this server."""
    way = LossyWay(server.port)
    listening = await asyncio.start_server(way.carry, "127.0.0.1", 0)
    way.url = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    try:
        yield way
    finally:
        listening.close()
