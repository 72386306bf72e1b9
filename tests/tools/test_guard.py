import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.tools.addresses import Allowed
from service.tools.guard import AddressForbidden, GuardedTransport, Resolve
from service.tools.http import client
from tests.tools.servers import LOOPBACK, serving, trusting

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.headers['host']}")


APP = Starlette(routes=[Route("/", hello)])


def resolving(*answers: list[str]) -> tuple[Resolve, list[str]]:
    """A resolver that gives these answers in turn, and what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


@asynccontextmanager
async def guarded(*hosts: str, resolve: Resolve | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with client(GuardedTransport(Allowed.read(hosts), resolve=resolve)) as http:
        yield http


async def test_a_name_that_resolves_to_a_private_address_is_not_connected_to() -> None:
    resolve, _ = resolving(["127.0.0.1", "::1", "169.254.169.254"])
    async with serving(APP) as port, guarded(resolve=resolve) as http:
        with pytest.raises(AddressForbidden):
            await http.get(f"http://crm.test:{port}/")


@pytest.mark.parametrize("hosts", [LOOPBACK, ("crm.test",)])
async def test_a_setting_lets_tools_reach_it(hosts: tuple[str, ...]) -> None:
    resolve, _ = resolving(["127.0.0.1"])
    async with serving(APP) as port, guarded(*hosts, resolve=resolve) as http:
        answer = await http.get(f"http://crm.test:{port}/")
        assert answer.text == f"hello crm.test:{port}"


async def test_of_several_addresses_only_those_allowed_are_tried() -> None:
    resolve, _ = resolving(["10.0.0.1", "127.0.0.1", "127.0.0.2"])
    async with serving(APP) as port, guarded("127.0.0.1", resolve=resolve) as http:
        answer = await http.get(f"http://crm.test:{port}/")
        assert answer.extensions["network_stream"].get_extra_info("server_addr")[0] == "127.0.0.1"


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    resolve, _ = resolving(["127.0.0.2", "127.0.0.1"])
    async with serving(APP) as port, guarded(*LOOPBACK, resolve=resolve) as http:
        assert (await http.get(f"http://crm.test:{port}/")).status_code == 200


async def test_a_name_that_changes_its_mind_after_the_check_changes_nothing() -> None:
    resolve, asked = resolving(["127.0.0.1"], ["10.0.0.1"])
    async with serving(APP) as port, guarded("127.0.0.1", resolve=resolve) as http:
        first = await http.get(f"http://crm.test:{port}/", headers={"connection": "close"})
        assert first.status_code == 200
        assert asked == ["crm.test"]
        with pytest.raises(AddressForbidden):
            await http.get(f"http://crm.test:{port}/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_the_system_resolver_is_judged_too_however_an_address_is_written(host: str) -> None:
    async with serving(APP) as port, guarded() as http:
        with pytest.raises(AddressForbidden):
            await http.get(f"http://{host}:{port}/")


async def test_localhost_is_private_to_the_system_resolver() -> None:
    async with serving(APP) as port:
        async with guarded() as http:
            with pytest.raises(AddressForbidden):
                await http.get(f"http://localhost:{port}/")
        async with guarded("localhost") as http:
            assert (await http.get(f"http://localhost:{port}/")).status_code == 200


async def test_a_name_without_an_address_cannot_be_reached() -> None:
    async def nothing(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    async with guarded(resolve=nothing) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("http://crm.test/")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(APP) as port, guarded(*LOOPBACK) as http:
        assert (await http.get(f"http://127.0.0.1:{port}/")).status_code == 200


async def test_tls_names_the_host_and_wants_its_certificate(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path / "crm.pem", "crm.test")
    resolve, _ = resolving(["127.0.0.1"])
    transport = GuardedTransport(Allowed.read(LOOPBACK), resolve=resolve, tls=trusting(certificate))
    async with serving(APP, certificate=certificate) as port, client(transport) as http:
        assert (await http.get(f"https://crm.test:{port}/")).status_code == 200
        with pytest.raises(httpx.ConnectError, match=r"other\.test"):
            await http.get(f"https://other.test:{port}/")


async def test_errors_while_an_answer_comes_in_are_those_of_httpx() -> None:
    async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with _raw(cut_off) as port, guarded(*LOOPBACK) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"http://127.0.0.1:{port}/")


@asynccontextmanager
async def _raw(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _certificate(path: Path, name: str) -> Path:
    """A certificate for this name, signed by itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(LONG_AGO)
        .not_valid_after(LONG_AGO + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path
