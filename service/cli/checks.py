"""What `callbridge doctor` looks at: one function for each part of the settings.

They ask and change nothing, and tell trouble as findings. Which carriers there are is the catalog's
affair: here they are providers that can be examined or not.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec
from redis.exceptions import RedisError

from providers.base import Finding, Flow, HttpRequest, HttpResponse, Provider
from service.agents import AgentBook
from service.app import access_to_openai
from service.calls.control import Control
from service.calls.redis import open_redis, reaching_redis
from service.clock import Clock
from service.core.errors import ConfigError, StoreAway
from service.engines import lacks
from service.settings import Settings, is_loopback

OLDEST_REDIS = (6, 2)
OPENAI_API_BASE = "https://api.openai.com/v1"


def api_keys(settings: Settings) -> list[Finding]:
    """Who may use the REST API: holders of keys, or this machine alone."""
    local = _is_local(settings)
    findings = []
    if settings.callbridge_api_keys:
        findings.append(Finding("ok", "the REST API asks for a key"))
    elif local:
        findings.append(Finding("ok", "no key is set: the REST API answers this machine alone"))
    else:
        what = "no key is set, and a proxy on this machine may pass anybody on to the REST API"
        findings.append(Finding("fail", what, "set CALLBRIDGE_API_KEYS to name=secret"))
    if settings.callbridge_insecure:
        what = "CALLBRIDGE_INSECURE lets unsigned webhooks and sockets in"
        findings.append(Finding("note" if local else "fail", what, "set it to false"))
    return findings


async def public_url(settings: Settings, control: Control) -> list[Finding]:
    """Whether carriers can trust the public URL, and whether this service answers there."""
    url = settings.callbridge_public_url
    response = await control.run(_get(f"{url}/healthz"))
    return [_transport(settings), _health(url, response)]


async def redis(settings: Settings) -> list[Finding]:
    """Whether the store is there, new enough, and remembers."""
    if settings.embedded:
        what = "the store is embedded: calls are forgotten when the service ends"
        return [Finding("note", what, "set REDIS_URL to keep them")]
    try:
        info = await _redis_info(settings.redis_url)
    except StoreAway as away:
        what = f"Redis does not answer ({away.detail})"
        return [Finding("fail", what, "start it, or correct REDIS_URL")]
    except ValueError:
        return [Finding("fail", "REDIS_URL cannot be read", "correct it: redis://host:6379/0")]
    except RedisError as refusal:
        return [Finding("note", f"Redis does not tell about itself ({type(refusal).__name__})")]
    return [_redis_version(str(info["redis_version"])), _redis_memory(info)]


def agents(settings: Settings) -> list[Finding]:
    """Whether there are agents, and what is wrong with their files."""
    book = AgentBook(settings.callbridge_agents)
    try:
        book.load()
    except ConfigError as error:
        advice = "correct the file, or CALLBRIDGE_AGENTS"
        return [Finding("fail", fault, advice) for fault in error.detail.splitlines()]
    advice = "set what is missing, or name another engine"
    lacking = book.lacking(lacks(access_to_openai(settings)))
    return [
        Finding("ok", f"{len(book)} can be read: {', '.join(agent.name for agent in book)}"),
        *(Finding("fail", missing, advice) for missing in lacking),
    ]


async def openai(settings: Settings, control: Control) -> list[Finding]:
    """Whether the key for engines elsewhere is good, when there is one."""
    if not settings.openai_api_key:
        return [Finding("off", "OPENAI_API_KEY is not set: engines that need it cannot be used")]
    base = settings.openai_base_url.rstrip("/") or OPENAI_API_BASE
    headers = {"authorization": f"Bearer {settings.openai_api_key}"}
    response = await control.run(_get(f"{base}/models", headers))
    if response.status == 200:
        return [Finding("ok", "the key is accepted")]
    if response.status == 404:
        return [Finding("note", "the server has no list of models, so the key was not tried")]
    what = f"the key cannot be used: {_answer(response)}"
    return [Finding("fail", what, "check OPENAI_API_KEY and OPENAI_BASE_URL")]


def carriers(providers: Iterable[Provider]) -> list[Finding]:
    """Which carriers are switched on."""
    names = [provider.name for provider in providers if provider.examine]
    if names:
        return [Finding("ok", f"switched on: {', '.join(names)}")]
    return [Finding("off", "none is switched on; .env.example names what each one needs")]


async def carrier(provider: Provider, control: Control, clock: Clock) -> list[Finding]:
    """What the carrier has of us, beside the settings."""
    if provider.examine is None:
        return []
    return await control.run(provider.examine(clock.utc().timestamp()))


def _is_local(settings: Settings) -> bool:
    return is_loopback(urlsplit(settings.callbridge_public_url).hostname or "")


def _transport(settings: Settings) -> Finding:
    url = settings.callbridge_public_url
    if _is_local(settings):
        what = f"{url} is for this machine alone: carriers cannot reach it"
        return Finding("note", what, "set CALLBRIDGE_PUBLIC_URL to what they can reach")
    if not url.startswith("https:"):
        what = f"{url} is not https: calls could be listened to on the way"
        return Finding("fail", what, "put a TLS proxy in front, and https:// into the setting")
    return Finding("ok", f"{url} is https")


def _health(url: str, response: HttpResponse) -> Finding:
    try:
        answer = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        answer = None
    if response.status == 200 and answer == {"status": "ok"}:
        return Finding("ok", "the service answers there")
    what = f"the service does not answer at {url}/healthz: {_answer(response)}"
    return Finding("fail", what, "start it, and have the proxy in front of it pass all paths on")


async def _redis_info(url: str) -> dict[str, object]:
    client = open_redis(url)
    try:
        with reaching_redis():
            info: dict[str, object] = await client.info()
    finally:
        await client.aclose()
    return info


def _redis_version(version: str) -> Finding:
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if parts >= OLDEST_REDIS:
        return Finding("ok", f"Redis {version} answers")
    return Finding("fail", f"Redis {version} is too old", "use 6.2 or newer")


def _redis_memory(info: dict[str, object]) -> Finding:
    if info.get("aof_enabled"):
        return Finding("ok", "Redis keeps an append-only file")
    what = "Redis keeps no append-only file: a crash may lose the last minutes"
    return Finding("note", what, "set its appendonly to yes")


def _get(url: str, headers: dict[str, str] | None = None) -> Flow[HttpResponse]:
    return (yield HttpRequest("GET", url, headers or {}))


def _answer(response: HttpResponse) -> str:
    if response.status == 0:
        return f"there was no answer ({response.detail})"
    return f"HTTP {response.status}"
