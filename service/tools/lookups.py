"""Variables from elsewhere, asked for before the greeting: HTTP requests that answer with JSON.

All go out at once, save one whose URL or headers name what an earlier one finds. The time of each
runs from the start, so that the greeting waits no longer than the longest of them.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from service.agents import Lookup
from service.tools.answers import Answer, json_text
from service.tools.http import Request, fetch
from service.tools.spec import ToolFailed
from service.tools.templates import fill_headers, fill_url, names_in

VALUE_LENGTH = 1000
"""Characters of a value that are kept: it goes into instructions and sentences."""


class LookupFault(Struct, frozen=True):
    """A lookup that filled less than it should: `code` like "lookup.timeout"."""

    code: str
    detail: str  # which one, and what of it; no values


class LookedUp(Struct, frozen=True):
    """What the agent's lookups gave; `variables` holds those that were found."""

    variables: dict[str, str] = {}
    faults: tuple[LookupFault, ...] = ()


class Lookups:
    """One call's lookups under way."""

    def __init__(
        self, http: httpx.AsyncClient, secrets: Mapping[str, str], variables: Mapping[str, str]
    ) -> None:
        self._http = http
        self._secrets = secrets
        self._known = dict(variables)
        self._found: dict[str, str] = {}
        self._faults: list[LookupFault] = []

    async def run(self, lookups: tuple[Lookup, ...]) -> LookedUp:
        """Ask them all. Never raises for their trouble."""
        began_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            for place, lookup in enumerate(lookups):
                earlier = [tasks[i] for i in _needed(lookup, lookups[:place])]
                until_s = began_s + lookup.timeout_s
                tasks.append(group.create_task(self._one(place, lookup, earlier, until_s=until_s)))
        return LookedUp(self._found, tuple(self._faults))

    async def _one(
        self, place: int, lookup: Lookup, earlier: list["asyncio.Task[None]"], *, until_s: float
    ) -> None:
        try:
            async with asyncio.timeout_at(until_s):
                if earlier:
                    await asyncio.wait(earlier)
                answer = await fetch(self._http, self._request(lookup))
                document = _document(answer)
        except TimeoutError:
            self._fault(
                place, "timeout", f"There was no answer within {lookup.timeout_s:g} seconds."
            )
        except ToolFailed as failed:
            self._fault(place, failed.code.removeprefix("tool."), failed.text)
        else:
            self._take(place, lookup, document)

    def _request(self, lookup: Lookup) -> Request:
        return Request(
            method=lookup.method,
            url=fill_url(lookup.url, self._known),
            headers=fill_headers(lookup.headers, self._known, self._secrets),
            json=self._known if lookup.method == "POST" else None,
            timeout_s=lookup.timeout_s,
        )

    def _take(self, place: int, lookup: Lookup, document: Any) -> None:
        for name, pointer in lookup.variables.items():
            value = at_pointer(document, pointer)
            if value is None:
                self._fault(place, "no_value", f"The answer has nothing for {name}.")
            else:
                text = value if isinstance(value, str) else json_text(value)
                self._found[name] = self._known[name] = text[:VALUE_LENGTH]

    def _fault(self, place: int, code: str, detail: str) -> None:
        self._faults.append(LookupFault(f"lookup.{code}", f"lookups[{place}]: {detail}"))


def at_pointer(document: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901), None where there is none."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and _is_index(key) and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document


def _is_index(key: str) -> bool:
    """RFC 6901, 4: digits without a leading zero."""
    return key.isascii() and key.isdecimal() and len(key) < 9 and (key == "0" or key[0] != "0")


def _needed(lookup: Lookup, earlier: tuple[Lookup, ...]) -> list[int]:
    """Which of the earlier ones find what this one names."""
    names = names_in(lookup.url).union(*(names_in(text) for text in lookup.headers.values()))
    return [i for i, before in enumerate(earlier) if names & before.variables.keys()]


def _document(answer: Answer) -> Any:
    if not 200 <= answer.status < 300:
        raise ToolFailed(f"tool.http_{answer.status}", "The server refused.")
    if not answer.whole:
        raise ToolFailed("tool.too_large", "The answer is too large.")
    try:
        return msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):
        raise ToolFailed("tool.bad_answer", "The answer is not JSON.") from None
