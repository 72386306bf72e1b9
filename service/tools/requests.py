"""The HTTP tools of an agent file: a model's arguments become a request, its answer a result.

Pure up to the request, which `http.py` sends.
"""

from collections.abc import Mapping
from typing import Any

import httpx

from service.agents import HttpTool
from service.tools.answers import result_of
from service.tools.http import Request, fetch
from service.tools.spec import ToolResult, ToolSpec, Usable
from service.tools.templates import add_query, as_text, fill_headers, fill_url, names_in

_WITHOUT_BODY = ("GET", "DELETE")


def http_tool(
    tool: HttpTool,
    says: str,
    http: httpx.AsyncClient,
    *,
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
) -> Usable:
    """The tool, ready for use. `says`: its sentence, filled in."""

    async def run(arguments: dict[str, Any]) -> ToolResult:
        request = request_of(tool, arguments, variables=variables, secrets=secrets)
        answer = await fetch(http, request)
        return result_of(answer, empty_is_fine=tool.method != "GET")

    return Usable(ToolSpec(tool.name, tool.description, tool.parameters), run, says)


def request_of(
    tool: HttpTool,
    arguments: Mapping[str, Any],
    *,
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
) -> Request:
    """The request. What the URL does not name goes into the query or a JSON body.

    ToolFailed "tool.bad_arguments" or "tool.no_secret".
    """
    url = fill_url(tool.url, {**variables, **_declared(tool, arguments)})
    in_url = names_in(tool.url)
    rest = {name: value for name, value in arguments.items() if name not in in_url}
    headers = fill_headers(tool.headers, variables, secrets)
    if tool.method in _WITHOUT_BODY:
        url, body = add_query(url, _fields(rest)), None
    else:
        body = rest
    return Request(
        method=tool.method, url=url, headers=headers, json=body, timeout_s=tool.timeout_s
    )


def _declared(tool: HttpTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the tool's author named: no other may stand for a variable of the call.

    One that is not given is nothing, even where a variable has its name.
    """
    properties = tool.parameters.get("properties")
    names = properties if isinstance(properties, dict) else {}
    return {name: arguments.get(name) for name in names}


def _fields(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Fields of a query: a list gives one for each of its values, null gives none."""
    fields: list[tuple[str, str]] = []
    for name, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        fields += [(name, as_text(one)) for one in values if one is not None]
    return fields
