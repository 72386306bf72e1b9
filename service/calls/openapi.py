"""The description of the REST API, made from the models that the handlers use (OpenAPI 3.1)."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from msgspec import Struct
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.calls import models

REF = "#/components/schemas/{model}"


class Operation(Struct, frozen=True, kw_only=True):
    """One thing that the API does."""

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    problems: tuple[int, ...] = ()
    codes: Mapping[int, tuple[str, ...]] = {}  # of problems that a client may want to tell apart
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    streams: bool = False
    open: bool = False  # needs no key
    text: str | None = None  # answers with this media type instead of JSON
    media_type: str = "application/json"  # of the JSON it answers with


ONE = "/v1/calls/{call_id}"
OPERATIONS = (
    Operation(
        method="post",
        path="/v1/calls",
        name="placeCall",
        summary="Place a call",
        body=models.PlaceCall,
        headers=("Idempotency-Key",),
        answers={201: models.Call},
        problems=(400, 409, 413, 415, 422, 502, 503, 504),
        codes={409: ("idempotency.key_reused", "idempotency.in_progress")},
    ),
    Operation(
        method="get",
        path="/v1/calls",
        name="listCalls",
        summary="List calls, newest first",
        query=models.ListCalls,
        answers={200: models.Calls},
        problems=(422,),
    ),
    Operation(
        method="get",
        path=ONE,
        name="getCall",
        summary="Read a call",
        answers={200: models.Call},
        problems=(404,),
    ),
    Operation(
        method="get",
        path=ONE + "/events",
        name="listCallEvents",
        summary="Read a call's events, or follow them until the call ends",
        query=models.ListEvents,
        headers=("Last-Event-ID",),
        answers={200: models.Events},
        problems=(400, 404, 422),
        streams=True,
    ),
    Operation(
        method="get",
        path="/v1/events",
        name="listEvents",
        summary="Read the events of all calls, or follow them",
        query=models.ListEvents,
        headers=("Last-Event-ID",),
        answers={200: models.Events},
        problems=(400, 422),
        streams=True,
    ),
    Operation(
        method="get",
        path=ONE + "/transcript",
        name="getTranscript",
        summary="Read the conversation",
        answers={200: models.Transcript},
        problems=(404,),
    ),
    Operation(
        method="post",
        path=ONE + "/hangup",
        name="hangUp",
        summary="Hang up; an ended call is 200 and no error",
        answers={200: models.Call, 202: models.Call},
        problems=(404, 502, 504),
    ),
    Operation(
        method="post",
        path=ONE + "/say",
        name="say",
        summary="Have the agent say something now",
        body=models.Say,
        answers={202: models.Call},
        problems=(400, 404, 409, 413, 415, 422),
        codes={
            409: (
                "call.ended",
                "call.transferred",
                "call.not_connected",
                "engine.cannot_speak",
            )
        },
    ),
    Operation(
        method="post",
        path=ONE + "/dtmf",
        name="pressKeys",
        summary="Press keys to the line",
        body=models.PressKeys,
        answers={202: models.Call},
        problems=(400, 404, 409, 413, 415, 422),
        codes={409: ("call.ended", "call.transferred", "call.not_connected")},
    ),
    Operation(
        method="post",
        path=ONE + "/transfer",
        name="transfer",
        summary="Hand the call to another number, once what is being said has been heard",
        body=models.TransferTo,
        answers={202: models.Call},
        problems=(400, 404, 409, 413, 415, 422),
        codes={
            409: (
                "call.ended",
                "call.transferred",
                "call.not_connected",
                "carrier.cannot_transfer",
            )
        },
    ),
    Operation(
        method="post",
        path=ONE + "/instructions",
        name="instruct",
        summary="Tell the agent what to know or do from now on",
        body=models.Instruct,
        answers={202: models.Call},
        problems=(400, 404, 409, 413, 415, 422),
        codes={409: ("call.ended", "call.transferred", "call.not_connected")},
    ),
    Operation(
        method="get",
        path="/v1/agents",
        name="listAgents",
        summary="List the agents",
        answers={200: models.Agents},
    ),
    Operation(
        method="get",
        path="/v1/agents/schema",
        name="getAgentSchema",
        summary="Read the JSON Schema of agent files, for editors",
        answers={200: None},
        open=True,
        media_type="application/schema+json",
    ),
    Operation(
        method="get",
        path="/healthz",
        name="isAlive",
        summary="Is the process alive?",
        answers={200: None},
        open=True,
    ),
    Operation(
        method="get",
        path="/readyz",
        name="isReady",
        summary="Can it take calls?",
        answers={200: None},
        problems=(503,),
        open=True,
    ),
    Operation(
        method="get",
        path="/metrics",
        name="getMetrics",
        summary="Prometheus metrics",
        answers={200: None},
        open=True,
        text="text/plain",
    ),
)

MEANINGS = {
    200: "Done",
    201: "Placed",
    202: "Accepted",
    400: "Not understood",
    401: "A key is needed",
    404: "No such call",
    409: "Not possible now",
    413: "Too long",
    415: "Not JSON",
    422: "Cannot be accepted; `errors` says what",
    502: "The carrier refused or failed",
    503: "Not now; `Retry-After` says when",
    504: "The carrier did not answer in time",
}

HEADERS = {
    "Idempotency-Key": "The same key and body within 24 h give the first answer again",
    "Last-Event-ID": "Follow from after this event",
}


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "callbridge",
            "version": version("callbridge"),
            "summary": "Places, follows and ends phone calls that AI agents answer.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _schemas() -> dict[str, Any]:
    used = {
        model
        for operation in OPERATIONS
        for model in (operation.body, *operation.answers.values())
        if model is not None
    }
    ordered = sorted(used | {models.Problem}, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.body is not None:
        content = {"application/json": {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.open:
        described["security"] = []
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{call_id}" in operation.path:
        of_path = {"name": "call_id", "in": "path", "required": True}
        parameters.append({**of_path, "schema": {"type": "string"}})
    if operation.query is not None:
        parameters += _query(operation.query)
    parameters += [
        {"name": name, "in": "header", "description": HEADERS[name], "schema": {"type": "string"}}
        for name in operation.headers
    ]
    return parameters


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {"name": name, "in": "query", "schema": _inline(field, schema.get("$defs", {}))}
        for name, field in schema["properties"].items()
    ]


def _inline(field: Any, definitions: Mapping[str, Any]) -> Any:
    """A field's schema with what it refers to in its place."""
    if isinstance(field, list):
        return [_inline(one, definitions) for one in field]
    if not isinstance(field, dict):
        return field
    if "$ref" in field:
        return definitions[field["$ref"].rpartition("/")[2]]
    return {name: _inline(value, definitions) for name, value in field.items()}


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, model in operation.answers.items():
        responses[str(status)] = {
            "description": MEANINGS[status],
            "content": _content(operation, model),
        }
    problems = operation.problems if operation.open else (401, *operation.problems, 503)
    for status in sorted(set(problems)):
        content = {"application/problem+json": {"schema": _ref(models.Problem)}}
        codes = ", ".join(f"`{code}`" for code in operation.codes.get(status, ()))
        meaning = f"{MEANINGS[status]}: {codes}" if codes else MEANINGS[status]
        responses[str(status)] = {"description": meaning, "content": content}
    return responses


def _content(operation: Operation, model: type[BaseModel] | None) -> dict[str, Any]:
    if operation.text is not None:
        return {operation.text: {"schema": {"type": "string"}}}
    schema = {"type": "object"} if model is None else _ref(model)
    content: dict[str, Any] = {operation.media_type: {"schema": schema}}
    if operation.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return content


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}
