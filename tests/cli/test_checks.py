"""What `callbridge doctor` makes of each part of the settings, the world being played or real."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import redis

from providers.base import Finding
from service.calls.control import Control
from service.calls.metrics import Metrics
from service.cli import checks
from service.settings import Settings
from tests.redis_server import RedisServer

PUBLIC = "https://bridge.example.org"
Reply = Callable[[httpx.Request], httpx.Response]


def settings(**given: str) -> Settings:
    return Settings.load({name.upper(): value for name, value in given.items()})


@asynccontextmanager
async def control(reply: Reply) -> AsyncIterator[Control]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        yield Control(http, {}, Metrics())


def grades(findings: list[Finding]) -> list[str]:
    return [finding.grade for finding in findings]


# Public URL ------------------------------------------------------------------------------------


async def look_at(url: str, reply: Reply) -> list[Finding]:
    async with control(reply) as asked:
        return await checks.public_url(settings(callbridge_public_url=url), asked)


def healthy(request: httpx.Request) -> httpx.Response:
    well = request.url.path == "/healthz" and request.method == "GET"
    return httpx.Response(200, json={"status": "ok"}) if well else httpx.Response(404)


@pytest.mark.parametrize(
    ("url", "grade"),
    [
        (PUBLIC, "ok"),
        ("http://bridge.example.org", "fail"),
        ("http://10.0.0.7:8080", "fail"),
        ("http://127.0.0.1:8080", "note"),
        ("http://localhost:8080", "note"),
        ("http://[::1]:8080", "note"),
    ],
)
async def test_only_this_machine_may_be_called_without_tls(url: str, grade: str) -> None:
    assert grades(await look_at(url, healthy)) == [grade, "ok"]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<h1>You are about to visit</h1>"),
        httpx.Response(200, json={"status": "UP"}),
        httpx.Response(200, json=["ok"]),
        httpx.Response(302, headers={"location": "https://elsewhere.example/"}),
        httpx.Response(502),
    ],
)
async def test_something_else_behind_the_public_url_is_a_fault(response: httpx.Response) -> None:
    findings = await look_at(PUBLIC, lambda _request: response)
    assert grades(findings) == ["ok", "fail"]
    assert f"HTTP {response.status_code}" in findings[1].what


async def test_nobody_behind_the_public_url_is_a_fault() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    findings = await look_at(PUBLIC, refuse)
    assert findings[1].grade == "fail"
    assert "ConnectError" in findings[1].what


# Redis -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


async def test_the_embedded_store_is_said_to_be_forgetful() -> None:
    (only,) = await checks.redis(settings())
    assert only.grade == "note"
    assert "forgotten" in only.what


async def test_a_redis_that_keeps_what_it_is_told_is_fine(server: RedisServer) -> None:
    assert grades(await checks.redis(settings(redis_url=server.url))) == ["ok", "ok"]


async def test_a_redis_without_an_append_only_file_may_forget(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as client:
        client.config_set("appendonly", "no")
        findings = await checks.redis(settings(redis_url=server.url))
        client.config_set("appendonly", "yes")
    assert grades(findings) == ["ok", "note"]


async def test_a_redis_that_wants_a_password_is_a_fault(server: RedisServer) -> None:
    url = server.url.replace("//", "//:s3cret@")
    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", "0ther")
        (only,) = await checks.redis(settings(redis_url=url))
        client.config_set("requirepass", "")
    assert only.grade == "fail"
    assert "s3cret" not in only.what + only.advice


async def test_a_redis_that_keeps_to_itself_is_noted(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as client:
        client.acl_setuser("shy", enabled=True, passwords="+s3cret", commands=["+ping"])
    url = server.url.replace("//", "//shy:s3cret@")
    assert grades(await checks.redis(settings(redis_url=url))) == ["note"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
async def test_no_redis_is_a_fault(url: str) -> None:
    (only,) = await checks.redis(settings(redis_url=url))
    assert only.grade == "fail"
    assert "REDIS_URL" in only.advice


@pytest.mark.parametrize("url", ["redis://127.0.0.1:port/0", "redis://127.0.0.1:99999999/0"])
async def test_a_redis_url_that_cannot_be_read_is_a_fault(url: str) -> None:
    assert grades(await checks.redis(settings(redis_url=url))) == ["fail"]


@pytest.mark.parametrize(
    ("version", "grade"), [("6.0.16", "fail"), ("6.2.0", "ok"), ("10.0.1", "ok"), ("5", "fail")]
)
async def test_redis_is_6_2_or_newer(version: str, grade: str) -> None:
    async with redis_of(version) as url:
        assert grades(await checks.redis(settings(redis_url=url))) == [grade, "note"]


@asynccontextmanager
async def redis_of(version: str) -> AsyncIterator[str]:
    """The URL of a server that says OK to everything but INFO."""
    info = f"# Server\r\nredis_version:{version}\r\naof_enabled:0\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while count := await reader.readline():
            words = []
            for _ in range(int(count[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2)).strip())
            told = b"$%d\r\n%b\r\n" % (len(info), info)
            writer.write(told if words[0] == b"INFO" else b"+OK\r\n")
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0?protocol=2"


# Keys, agents ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"callbridge_api_keys": "ops=s3cret", "callbridge_public_url": PUBLIC}, ["ok"]),
        ({"callbridge_public_url": PUBLIC}, ["fail"]),
        ({}, ["ok"]),
        ({"callbridge_insecure": "true"}, ["ok", "note"]),
        (
            {
                "callbridge_insecure": "true",
                "callbridge_api_keys": "ops=s3cret",
                "callbridge_public_url": PUBLIC,
            },
            ["ok", "fail"],
        ),
    ],
)
def test_what_the_world_can_reach_is_locked(given: dict[str, str], expected: list[str]) -> None:
    assert grades(checks.api_keys(settings(**given))) == expected


AGENT = "name: {}\nengine: echo\ngreeting: Hello.\n"


def test_agents_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(AGENT.format(name))
    (only,) = checks.agents(settings(callbridge_agents=str(tmp_path)))
    assert only.grade == "ok"
    assert "one, two" in only.what


def test_an_agent_whose_engine_has_no_key_stands_in_the_way_of_its_calls(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nengine: openai-pipeline\ngreeting: Hello.\n")
    (tmp_path / "b.yaml").write_text("name: b\nengine: loopback\n")
    well, fault = checks.agents(settings(callbridge_agents=str(tmp_path)))
    assert (well.grade, fault.grade) == ("ok", "fail")
    assert fault.what.startswith(f"{tmp_path / 'a.yaml'}:2: ")
    assert "OPENAI_API_KEY" in fault.what
    assert fault.advice


def test_every_fault_of_the_agent_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(AGENT.format("one") + "speed: 3\nwings: 2\n")
    (tmp_path / "two.yml").write_text("- what\n")
    findings = checks.agents(settings(callbridge_agents=str(tmp_path)))
    assert {finding.grade for finding in findings} == {"fail"}
    told = " ".join(finding.what for finding in findings)
    assert all(word in told for word in ("one.yaml", "speed", "wings", "two.yml"))


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_no_agent_at_all_is_a_fault(tmp_path: Path, folder: str) -> None:
    given = settings(callbridge_agents=str(tmp_path / folder))
    assert grades(checks.agents(given)) == ["fail"]


# OpenAI ----------------------------------------------------------------------------------------


async def test_no_key_is_off() -> None:
    async with control(lambda _request: httpx.Response(500)) as asked:
        assert grades(await checks.openai(settings(), asked)) == ["off"]


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("", "https://api.openai.com/v1/models"),
        ("http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1/models"),
    ],
)
async def test_a_good_key_may_list_the_models(base: str, url: str) -> None:
    asked_for = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked_for.append((str(request.url), request.headers["authorization"]))
        return httpx.Response(200, json={"object": "list", "data": []})

    given = settings(openai_api_key="sk-s3cret", openai_base_url=base)
    async with control(reply) as asked:
        assert grades(await checks.openai(given, asked)) == ["ok"]
    assert asked_for == [(url, "Bearer sk-s3cret")]


@pytest.mark.parametrize(("status", "grade"), [(401, "fail"), (500, "fail"), (404, "note")])
async def test_a_refused_key_is_a_fault_and_never_shown(status: int, grade: str) -> None:
    async with control(lambda _request: httpx.Response(status, text="sk-s3cret")) as asked:
        (only,) = await checks.openai(settings(openai_api_key="sk-s3cret"), asked)
    assert only.grade == grade
    assert "s3cret" not in only.what + only.advice
