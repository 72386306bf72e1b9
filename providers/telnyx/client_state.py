"""Our call id inside Telnyx's `client_state`: opaque base64 that it repeats in every later webhook.

It names a call and proves nothing: only webhooks whose signature holds are believed at all.
Telnyx documentation, "Receiving Webhooks for Programmable Voice".
"""

import base64
import binascii

import msgspec

from service.core.calls import CallId

_MAX_ID_CHARS = 64


class _State(msgspec.Struct):
    call_id: str


_decoder = msgspec.json.Decoder(_State)


def pack(call_id: CallId) -> str:
    """The state to give with a command that begins our part in a call."""
    return base64.b64encode(msgspec.json.encode(_State(call_id))).decode("ascii")


def unpack(client_state: object) -> CallId | None:
    """The call that a webhook's state names; None for states that are not ours."""
    if not isinstance(client_state, str):
        return None
    try:
        call_id = _decoder.decode(base64.b64decode(client_state, validate=True)).call_id
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return None
    return CallId(call_id) if 0 < len(call_id) <= _MAX_ID_CHARS else None
