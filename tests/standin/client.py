"""The official client on the stand-in, in this process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from msgspec import Struct
from openai import AsyncOpenAI

from service.standin import KEY, Fault, Script, Standin, Voice, transport

URL = "http://standin/v1"


class Place(Struct, frozen=True):
    """Where the stand-in is, as engines name it."""

    url: str = URL
    key: str = KEY


def script(**parts: Any) -> Script:
    return Script.model_validate(parts)


def fault(at: str, does: str, **parts: Any) -> Fault:
    return Fault.model_validate({"at": at, "does": does, **parts})


def standin(voice: Voice | None = None, **parts: Any) -> Standin:
    """A stand-in with this script; `voice` where it must speak or recognise."""
    return Standin(script(**parts), voice=voice or Voice())


@asynccontextmanager
async def client_of(
    server: Standin, *, key: str = KEY, read_s: float | None = None
) -> AsyncIterator[AsyncOpenAI]:
    timeout = httpx.Timeout(5.0, read=read_s)
    async with httpx.AsyncClient(transport=transport(server.app), timeout=timeout) as http:
        yield AsyncOpenAI(
            api_key=key,
            base_url=URL,
            max_retries=0,
            timeout=cast("Any", timeout),
            http_client=cast("Any", http),
        )


def say(text: str, *earlier: Mapping[str, Any]) -> dict[str, Any]:
    """A chat request in which the user says this."""
    messages = [*earlier, {"role": "user", "content": text}]
    return {"model": "gpt-4.1-mini", "messages": messages}
