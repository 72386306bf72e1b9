"""Tests of the taps of a live call: all of its socket is told, and others' frames pass no tap."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from service.bridge.link import SocketLink
from service.bridge.tape import TapedSocket
from service.cassettes import files
from tests.cassettes.test_recorder import CALL, Desk

PATH = f"/twilio/stream/{CALL.call_id}.secret"


def _told(folder: Path) -> list[tuple[str, ...]]:
    (path,) = folder.iterdir()
    return [(line.from_, *line.kinds) for line in files.read(path).lines]


class Peer:
    """An ASGI server's side of a socket: connects, says two things, and goes."""

    def __init__(self) -> None:
        self.came: list[MutableMapping[str, Any]] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": '{"event":"connected"}'},
            {"type": "websocket.receive", "text": "not json"},
            {"type": "websocket.disconnect", "code": 1006},
        ]
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        return self.came.pop(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)


async def test_all_of_a_socket_is_told_also_what_came_before_its_call_was_known(
    tmp_path: Path,
) -> None:
    desk, peer = Desk(tmp_path), Peer()
    link = SocketLink(peer.receive, peer.send)
    await link.accept()
    socket = TapedSocket(link, desk.recorder, PATH)
    await socket.receive()
    carried = socket.belongs_to(CALL)
    await carried.receive()
    assert await carried.receive() is None
    await carried.close()
    socket.leave()
    await desk.recorder.close()
    assert _told(tmp_path) == [
        ("carrier", "open"),
        ("carrier", "message"),
        ("carrier", "text"),
        ("carrier", "close"),
    ]


async def test_a_socket_that_is_not_let_in_is_told_with_its_answer(tmp_path: Path) -> None:
    desk, peer = Desk(tmp_path), Peer()
    socket = TapedSocket(SocketLink(peer.receive, peer.send), desk.recorder, PATH)
    socket.belongs_to(CALL)
    await socket.refuse()
    socket.leave()
    await desk.recorder.close()
    assert _told(tmp_path) == [("carrier", "open"), ("bridge", "refused")]


async def test_the_frames_of_a_call_that_is_not_recorded_pass_no_tap(tmp_path: Path) -> None:
    peer = Peer()
    link = SocketLink(peer.receive, peer.send)
    socket = TapedSocket(link, Desk(tmp_path).recorder, PATH)
    assert socket.belongs_to(replace(CALL, record_cassette=False)) is link
