import json
from typing import Any

import httpx
import pytest
import respx

from service.agents import HttpTool
from service.tools.addresses import Allowed
from service.tools.guard import GuardedTransport
from service.tools.http import Request, client
from service.tools.requests import http_tool, request_of
from service.tools.spec import ToolFailed
from tests.tools.servers import agent
from tests.tools.servers import http_tool as described

STRING = {"type": "string"}


def made(arguments: dict[str, Any], **parts: Any) -> Request:
    """The request that these arguments become; the call's variables are caller and name."""
    return request_of(
        tool_of(**parts),
        arguments,
        variables={"caller": "+14155550100", "name": "Ana"},
        secrets={"CRM": "k3y"},
    )


def tool_of(**parts: Any) -> HttpTool:
    tool = agent(tools=[described(**parts)]).tools[0]
    assert isinstance(tool, HttpTool)
    return tool


def declaring(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(names, STRING)}


def test_what_the_url_does_not_name_goes_into_the_query_of_a_get() -> None:
    request = made(
        {"date": "2026-11-20", "n": 2, "tags": ["a", "b"], "none": None, "who": {"a": 1}},
        url="http://crm.test/on/{date}?by={caller}",
        parameters=declaring("date", "n", "tags", "none", "who"),
    )
    assert request.url == (
        "http://crm.test/on/2026-11-20?by=%2B14155550100&n=2&tags=a&tags=b&who=%7B%22a%22%3A1%7D"
    )
    assert request.json is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_what_the_url_does_not_name_goes_into_the_body_of_a_post(method: str) -> None:
    request = made(
        {"date": "2026-11-20", "n": 2},
        method=method,
        url="http://crm.test/on/{date}",
        parameters=declaring("date", "n"),
    )
    assert (request.method, request.json) == (method, {"n": 2})


def test_an_argument_that_was_not_declared_never_stands_for_a_variable() -> None:
    request = made({"caller": "+19995550100"}, url="http://crm.test/{caller}")
    assert request.url == "http://crm.test/%2B14155550100"


def test_an_argument_that_is_not_given_is_not_taken_from_a_variable() -> None:
    with pytest.raises(ToolFailed, match=r"tool\.bad_arguments"):
        made({}, url="http://crm.test/{name}", parameters=declaring("name"))


def test_headers_carry_secrets_and_the_calls_variables() -> None:
    request = made({}, headers={"Authorization": "Bearer {secret.CRM}", "X-Caller": "{caller}"})
    assert request.headers == {"Authorization": "Bearer k3y", "X-Caller": "+14155550100"}


def test_a_missing_secret_is_a_clear_fault() -> None:
    with pytest.raises(ToolFailed, match=r"tool\.no_secret"):
        made({}, headers={"Authorization": "Bearer {secret.NONE}"})


def test_the_tools_timeout_is_the_requests() -> None:
    assert made({}, timeout_s=2.5).timeout_s == 2.5


@respx.mock
async def test_an_answer_becomes_a_result() -> None:
    route = respx.post("http://crm.test/book").respond(201, json={"id": 7})
    tool = tool_of(method="POST", url="http://crm.test/book", parameters=declaring("date"))
    async with client(GuardedTransport(Allowed.read(()))) as http:
        usable = http_tool(tool, "One moment.", http, variables={}, secrets={})
        result = await usable.run({"date": "2026-11-20"})
    assert (result.text, result.code) == ('{"id":7}', "ok")
    assert json.loads(route.calls.last.request.content) == {"date": "2026-11-20"}
    assert usable.says == "One moment."
    assert usable.spec.parameters == declaring("date")


@respx.mock
@pytest.mark.parametrize(("method", "code"), [("GET", "tool.empty"), ("DELETE", "ok")])
async def test_nothing_is_an_answer_to_what_asks_for_nothing(method: str, code: str) -> None:
    respx.route(url="http://crm.test/x").mock(httpx.Response(200))
    async with client(GuardedTransport(Allowed.read(()))) as http:
        usable = http_tool(tool_of(method=method), "", http, variables={}, secrets={})
        assert (await usable.run({})).code == code
