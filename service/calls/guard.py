"""What stands before every handler of the REST API: the key, the origin, the errors as problems."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from service.calls.access import Access, forwarded
from service.calls.bodies import BodyTooLong, read_body
from service.calls.problems import from_error, problem
from service.core.errors import AccessDenied, BridgeError
from service.settings import is_loopback

Handler = Callable[[Request], Awaitable[Response]]
Body = TypeVar("Body", bound=BaseModel)

MAX_FAULTS = 20


class Refused(BridgeError):
    """A request that cannot be served as it is; `response` says why."""

    def __init__(self, response: Response) -> None:
        super().__init__("request.refused")
        self.response = response


class Guard:
    """Lets requests through to handlers."""

    def __init__(self, access: Access, *, max_body_bytes: int) -> None:
        self._access = access
        self._max_body_bytes = max_body_bytes

    def __call__(self, handler: Handler) -> Handler:
        """The handler, for those who may; `request.state.key_name` says who asks."""

        async def guarded(request: Request) -> Response:
            try:
                request.state.key_name = self._check(request)
                return await handler(request)
            except Refused as refused:
                return refused.response
            except BridgeError as error:
                return from_error(error)

        return guarded

    def _check(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        given = key.strip() if scheme.lower() == "bearer" else None
        client = request.client.host if request.client else ""
        name = self._access.check(given, client, forwarded=forwarded(request.headers))
        if self._access.open_to_loopback:
            self._check_host(request)
        return name

    def _check_host(self, request: Request) -> None:
        """Without keys, a web page could have its own name point here (DNS rebinding), and a proxy
        that says nothing of itself could let the world in under our public name.
        """
        if not is_loopback(request.url.hostname or ""):
            raise AccessDenied("access.foreign_host", "no API key is set: ask as localhost")

    async def read(self, request: Request, model: type[Body]) -> tuple[Body, bytes]:
        """The JSON body, and its bytes. Refused for anything else than the model wants.

        The bytes are also in `request.state.body`, for who comes after the handler.

        The media type is insisted on because a foreign page may post plain text, but not JSON.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Refused(problem(415, "request.not_json", "expected application/json"))
        try:
            body = await read_body(request, max_bytes=self._max_body_bytes)
        except BodyTooLong as too_long:
            raise Refused(problem(413, too_long.code, too_long.detail)) from None
        request.state.body = body
        try:
            return model.model_validate_json(body), body
        except ValidationError as invalid:
            raise Refused(_invalid(invalid)) from None

    def read_query(self, request: Request, model: type[Body]) -> Body:
        """What the URL asks for. Refused for anything else than the model wants."""
        try:
            return model.model_validate(dict(request.query_params))
        except ValidationError as invalid:
            raise Refused(_invalid(invalid)) from None


def invalid_request(errors: list[dict[str, str]]) -> Response:
    """422 with every fault."""
    return problem(422, "request.invalid", "the request cannot be accepted", errors=errors)


def _invalid(invalid: ValidationError) -> Response:
    found = invalid.errors(include_input=False, include_url=False, include_context=False)
    if any(fault["type"] == "json_invalid" for fault in found):
        return problem(400, "request.not_json", "the body is not JSON")
    return invalid_request(
        [
            {
                "pointer": pointer(fault["loc"]),
                "message": fault["msg"].removeprefix("Value error, "),
            }
            for fault in found[:MAX_FAULTS]
        ]
    )


def pointer(path: tuple[int | str, ...]) -> str:
    """Where in a body: RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
