"""Peers that misbehave: they are given up, and nobody else notices."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from service.twin.caller import HangUp, Say, Silence, Step
from service.twin.socket import Dial, Socket, SocketGone
from tests.resilience.instance import Instance
from tests.resilience.world import CALLING, DIALLED, World, delays_ms, returned, until_true, voice

RECEIVE_BYTES = 4096
PINGS = 3000
LATE_MS = 1000
GROWTH_BYTES = 8_000_000


class DeafSocket:
    """A media socket of somebody who talks and never reads."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.close_code: int | None = None

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        await self._connection.wait_closed()
        return
        yield ""

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed:
            raise SocketGone from None

    async def close(self, code: int = 1000) -> None:
        self._connection.transport.abort()

    async def abort(self) -> None:
        self._connection.transport.abort()


def deaf(instance: Instance) -> Dial:
    async def dial(url: str, headers: Mapping[str, str]) -> Socket:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", instance.port))
        connection = await connect(
            url.replace("wss://", "ws://"),
            sock=raw,
            additional_headers=headers,
            compression=None,
            proxy=None,
            ping_interval=None,
        )
        connection.transport.pause_reading()
        for number in range(PINGS):  # what they are answered with fills the way back
            await connection.ping(f"{number:0100}")
        return DeafSocket(connection)

    return dial


def sockets(instance: Instance) -> int:
    """Open connections of an instance's port."""
    found = psutil.Process(instance.pid).net_connections("tcp")
    return len([c for c in found if c.laddr.port == instance.port and c.raddr])


async def test_a_peer_that_stops_reading_is_given_up_and_nobody_else_notices(here: World) -> None:
    said = voice(9000)
    instance = here.instances[0]
    process = psutil.Process(instance.pid)
    steps: list[Step] = [Say(said), Silence(300), HangUp()]
    calling = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
    await here.bridged()
    before_bytes, before = process.memory_info().rss, sockets(instance)
    here.balancer.telnyx_sockets = deaf(instance)
    shouting = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, [Say(voice(30_000, seed=2))]))
    await here.bridged(count=2)
    record = await calling
    assert said in returned(record)
    assert max(delays_ms(record)) < LATE_MS
    [given_up] = here.telnyx.records
    end = await here.ended(given_up)
    assert (end["outcome"], end["cause"]) == ("carrier_failed", "socket_lost")
    assert len(instance.logged("Socket is dead")) == 1
    assert process.memory_info().rss - before_bytes < GROWTH_BYTES
    await shouting
    await until_true(lambda: sockets(instance) <= before)
