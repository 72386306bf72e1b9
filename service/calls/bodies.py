"""Request bodies, read no further than is allowed."""

from starlette.requests import ClientDisconnect, Request

from service.core.errors import BridgeError

FORM = "application/x-www-form-urlencoded"


class BodyTooLong(BridgeError):
    """More bytes, or more form fields, than anybody needs."""


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. BodyTooLong as soon as that is known."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise BodyTooLong("request.body_too_long", f"at most {max_bytes} bytes")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise BodyTooLong("request.body_too_long", f"at most {max_bytes} bytes")
    except ClientDisconnect:
        raise BridgeError("request.incomplete", "the body ended early") from None
    return bytes(body)


def check_fields(request: Request, body: bytes, *, max_fields: int) -> None:
    """BodyTooLong when form or query have more fields than anybody needs."""
    is_form = request.headers.get("content-type", "").lower().startswith(FORM)
    in_form = body.count(b"&") + 1 if is_form else 0
    in_query = request.url.query.count("&") + 1
    if max(in_form, in_query) > max_fields:
        raise BodyTooLong("request.too_many_fields", f"at most {max_fields} fields")
