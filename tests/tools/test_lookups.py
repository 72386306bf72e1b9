import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.replay import virtual
from service.tools.http import client
from service.tools.lookups import LookedUp, LookupFault, Lookups, at_pointer
from tests.tools.servers import agent

CALL = {"caller": "+14155550100"}
RFC_6901 = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


def looked_up(answer: Any, *lookups: dict[str, Any], **secrets: str) -> tuple[LookedUp, float]:
    """What is found, and the seconds it took. `answer`: from a request to a response."""

    async def scene() -> tuple[LookedUp, float]:
        async with client(httpx.MockTransport(answer)) as http:
            found = await Lookups(http, secrets, CALL).run(agent(lookups=list(lookups)).lookups)
        return found, asyncio.get_running_loop().time()

    return virtual.run(scene())


def lookup(path: str = "", **parts: Any) -> dict[str, Any]:
    return {"url": f"http://crm.test/{path}", "variables": {"name": "/name"}} | parts


def answering(value: Any, status: int = 200) -> Any:
    return lambda _request: httpx.Response(status, json=value)


def test_pointers_fill_variables() -> None:
    answer = answering({"customer": {"name": "Ana", "age": 7, "tags": ["a"], "vip": True}})
    found, _ = looked_up(
        answer,
        lookup(
            variables={
                "name": "/customer/name",
                "age": "/customer/age",
                "tag": "/customer/tags/0",
                "vip": "/customer/vip",
                "tags": "/customer/tags",
            }
        ),
    )
    assert found == LookedUp(
        {"name": "Ana", "age": "7", "tag": "a", "vip": "true", "tags": '["a"]'}
    )


def test_the_call_is_told_in_the_url_the_headers_or_the_body() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"name": "Ana"})

    looked_up(
        answer,
        lookup("by/{caller}", headers={"Authorization": "Bearer {secret.CRM}"}, method="POST"),
        CRM="k3y",
    )
    assert str(asked[0].url) == "http://crm.test/by/%2B14155550100"
    assert asked[0].headers["authorization"] == "Bearer k3y"
    assert json.loads(asked[0].content) == CALL


def test_lookups_go_out_at_once_and_none_waits_for_a_slow_one() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30 if request.url.path == "/slow" else 1)
        return httpx.Response(200, json={"name": request.url.path})

    found, took_s = looked_up(
        answer,
        lookup("slow", timeout_s=2),
        lookup("b", variables={"b": "/name"}),
        lookup("c", variables={"c": "/name"}),
    )
    assert found.variables == {"b": "/b", "c": "/c"}
    assert [fault.code for fault in found.faults] == ["lookup.timeout"]
    assert took_s == pytest.approx(2, abs=0.01)


def test_a_lookup_waits_for_the_one_whose_variable_it_names_within_its_own_time() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.8)
        return httpx.Response(200, json={"id": "7", "seen": str(request.url)})

    chain = (
        lookup("a", variables={"id": "/id"}),
        lookup("b/{id}", variables={"b": "/seen"}),
        lookup("c/{id}", variables={"c": "/seen"}, timeout_s=1.5),
    )
    found, took_s = looked_up(answer, *chain)
    assert found.variables == {"id": "7", "b": "http://crm.test/b/7"}
    assert [fault.code for fault in found.faults] == ["lookup.timeout"]
    assert took_s == pytest.approx(1.6, abs=0.01)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answering({"name": "Ana"}, 404), "lookup.http_404"),
        (lambda _: httpx.Response(200, html="<html>"), "lookup.bad_answer"),
        (lambda _: httpx.Response(200), "lookup.bad_answer"),
        (lambda _: httpx.Response(200, content=b"[" * 100_000), "lookup.bad_answer"),
        (lambda _: httpx.Response(200, content=b'"' + b"x" * 300_000), "lookup.too_large"),
        (answering({"name": None}), "lookup.no_value"),
        (answering([]), "lookup.no_value"),
    ],
)
def test_trouble_is_a_fault_and_never_an_exception(answer: Any, code: str) -> None:
    found, _ = looked_up(answer, lookup())
    assert found.variables == {}
    assert [fault.code for fault in found.faults] == [code]
    assert found.faults[0].detail.startswith("lookups[0]: ")


def test_a_url_with_a_hole_in_its_path_is_not_asked() -> None:
    found, _ = looked_up(answering({}), lookup("{nobody}/x"))
    fault = LookupFault(
        "lookup.bad_arguments", "lookups[0]: nobody is needed, as text or a number."
    )
    assert found.faults == (fault,)


def test_a_server_that_is_away_is_a_fault() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    found, _ = looked_up(refuse, lookup())
    assert [fault.code for fault in found.faults] == ["lookup.unreachable"]


def test_values_are_cut() -> None:
    found, _ = looked_up(answering({"name": "x" * 5000}), lookup())
    assert len(found.variables["name"]) == 1000


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/foo/2", None),
        ("/foo/01", None),
        ("/foo/-", None),
        ("/foo/\u0661", None),
        ("/foo/0/x", None),
        ("/nothing", None),
    ],
)
def test_pointers_are_those_of_rfc_6901(pointer: str, value: Any) -> None:
    assert at_pointer(RFC_6901, pointer) == value


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_key_has_a_pointer(outer: str, inner: str) -> None:
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in (outer, inner))
    assert at_pointer({outer: {inner: "here"}}, pointer) == "here"
