"""A call that goes well, in the log: one line for each step of its life, whoever brought it about.

Called where the store has written a change, so a step that two instances hear of is told once.
"""

import structlog

from service.core.calls import Call, CallState

log = structlog.get_logger(__name__)


def log_opened(call: Call) -> None:
    """A call is known of, before anybody has answered it. Numbers are masked by the log itself."""
    log.info(
        "Call opened",
        **_name(call),
        direction=str(call.direction),
        agent=call.agent,
        to=call.to,
        from_=call.from_,
    )


def log_step(before: Call, after: Call) -> None:
    """What a change has brought the call to, if that is a step."""
    if before.answered_at is None and after.answered_at is not None:
        log.info("Call answered", **_name(after))
    if before.stream_started_at is None and after.stream_started_at is not None:
        log.info("Call bridged", **_name(after), instance=after.owner)
    if before.transferred_at is None and after.transferred_at is not None:
        log.info("Call transferred", **_name(after))
    if before.transferred_at is not None and after.transferred_at is None:
        log.info("Call came back", **_name(after))
    if after.state is CallState.ENDED and before.state is not CallState.ENDED and after.end:
        log.info(
            "Call ended",
            **_name(after),
            outcome=str(after.end.outcome),
            cause=after.end.cause,
            ended_by=after.end.ended_by,
            duration_ms=after.duration_ms,
        )


def _name(call: Call) -> dict[str, str]:
    return {"call_id": call.call_id, "provider": call.provider}
