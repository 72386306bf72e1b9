"""Carriers' webhooks: read within bounds, verified, understood, answered.

They come twice, late, in any order and to several instances at once; the store makes one call and
one entry of that. Nothing here knows which carrier it talks to. Follows the interface, section 4.
"""

from collections.abc import Callable, Mapping

import structlog
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from providers.base import Answer, Provider, WebhookRequest
from service.calls.bodies import BodyTooLong, check_fields, read_body
from service.calls.problems import from_error, problem
from service.calls.reception import Reception
from service.calls.tape import Tape
from service.core.errors import BridgeError, SignatureInvalid, StoreAway

log = structlog.get_logger(__name__)


class Gate(Struct, frozen=True, kw_only=True):
    """What a webhook must satisfy before anybody reads it."""

    max_body_bytes: int
    max_form_fields: int
    insecure: bool
    now_s: Callable[[], float]


def routes(
    providers: Mapping[str, Provider], *, reception: Reception, gate: Gate, tape: Tape | None = None
) -> list[Route]:
    """One route for each webhook of each provider."""
    return [
        Route(f"/{name}{path}", _endpoint(provider, reception, gate, tape), methods=["GET", "POST"])
        for name, provider in providers.items()
        if provider.webhooks is not None
        for path in provider.webhooks.paths
    ]


def _endpoint(
    provider: Provider, reception: Reception, gate: Gate, tape: Tape | None
) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        response, result = await _respond(provider, reception, gate, tape, request)
        reception.metrics.webhooks.labels(provider.name, result).inc()
        return response

    return endpoint


async def _respond(
    provider: Provider, reception: Reception, gate: Gate, tape: Tape | None, request: Request
) -> tuple[Response, str]:
    """The response, and the word under which it is counted."""
    try:
        webhook = await _let_in(provider, gate, request)
    except BodyTooLong as too_long:
        return problem(413, too_long.code, too_long.detail), "too_long"
    except SignatureInvalid as forged:
        log.warning("webhook refused", provider=provider.name, code=forged.code)
        return problem(403, forged.code), "forged"
    except BridgeError as error:
        return _failed(provider, error)
    if tape is None:
        return await _answer(provider, reception, webhook)
    came = tape.stamp()
    response, result = await _answer(provider, reception, webhook)
    tape.webhook(came, provider, webhook, response)
    return response, result


async def _answer(
    provider: Provider, reception: Reception, webhook: WebhookRequest
) -> tuple[Response, str]:
    try:
        answer = await reception.take(provider, webhook)
    except StoreAway as away:
        return from_error(away), "store_away"
    except BridgeError as error:
        return _failed(provider, error)
    return _plain(answer), "answered"


def _failed(provider: Provider, error: BridgeError) -> tuple[Response, str]:
    log.warning("webhook failed", provider=provider.name, code=error.code)
    return from_error(error), "failed"


async def _let_in(provider: Provider, gate: Gate, request: Request) -> WebhookRequest:
    body = await read_body(request, max_bytes=gate.max_body_bytes)
    check_fields(request, body, max_fields=gate.max_form_fields)
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    webhook = WebhookRequest(
        method=request.method,
        path=raw_path.partition(b"?")[0].decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        received_s=gate.now_s(),
    )
    if not gate.insecure and provider.webhooks is not None:
        provider.webhooks.verify(webhook, webhook.received_s)
    return webhook


def _plain(answer: Answer) -> Response:
    return Response(answer.body, answer.status, headers=dict(answer.headers))
