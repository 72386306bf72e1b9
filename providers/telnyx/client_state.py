"""Our call id inside Telnyx's `client_state`: opaque base64 that it repeats in every later webhook.

It names a call and proves nothing: only webhooks whose signature holds are believed at all.
Telnyx documentation, "Receiving Webhooks for Programmable Voice".
"""

import base64
import binascii

import msgspec

from service.core.calls import CallId

TRANSFERRED = "transferred"

_MAX_ID_CHARS = 64


class _State(msgspec.Struct, omit_defaults=True):
    call_id: str
    leg: str = ""  # "" the person's, which is the call itself


_decoder = msgspec.json.Decoder(_State)


def pack(call_id: CallId, leg: str = "") -> str:
    """The state to give with a command that begins our part in a call.

    `leg` is TRANSFERRED for the other one, which rings at whom the call is handed to.
    """
    return base64.b64encode(msgspec.json.encode(_State(call_id, leg))).decode("ascii")


def unpack(client_state: object) -> CallId | None:
    """The call that a webhook's state names; None for states that are not ours."""
    state = _read(client_state)
    return CallId(state.call_id) if state is not None else None


def is_transferred(client_state: object) -> bool:
    """Whether a webhook's state is that of whom a call was handed to."""
    state = _read(client_state)
    return state is not None and state.leg == TRANSFERRED


def _read(client_state: object) -> _State | None:
    if not isinstance(client_state, str):
        return None
    try:
        state = _decoder.decode(base64.b64decode(client_state, validate=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return None
    return state if 0 < len(state.call_id) <= _MAX_ID_CHARS else None
