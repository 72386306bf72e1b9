"""The TwiML documents that our answers to Twilio consist of; pure text.

Follows "TwiML for Programmable Voice". Nothing but `<Hangup/>` may stand behind `</Connect>`:
whatever else did would be played to a person whose conversation is over.
"""

from xml.sax.saxutils import escape, quoteattr

HANG_UP = "<Hangup/>"
DIAL_TIMEOUT_S = 30
REJECT_BUSY = '<Reject reason="busy"/>'  # as the first verb: the call is declined and costs nothing


def response(verbs: str) -> bytes:
    """A whole document."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'.encode()


def connect_stream(stream_url: str, *, done_url: str, status_url: str) -> str:
    """Open a two-way media socket; when it closes, `done_url` is asked what comes next.

    `stream_url` has no query: Twilio would strip it or fail (error 31920).
    """
    return (
        f'<Connect action={quoteattr(done_url)} method="POST">'
        f"<Stream url={quoteattr(stream_url)}"
        f' statusCallback={quoteattr(status_url)} statusCallbackMethod="POST"/>'
        f"</Connect>{HANG_UP}"
    )


def dial(
    number: str, *, caller_id: str, done_url: str, leg_url: str, limit_s: int | None = None
) -> str:
    """Connect the person with somebody else; when that is over, `done_url` is asked what next.

    They hear it ring, and are charged for one call, until somebody picks up (answerOnBridge).
    `leg_url` is told of the end of the leg that is dialled; `limit_s`: how long it may last.
    """
    caller = f" callerId={quoteattr(caller_id)}" if caller_id else ""
    limit = "" if limit_s is None else f' timeLimit="{limit_s}"'
    return (
        f'<Dial{caller} answerOnBridge="true" timeout="{DIAL_TIMEOUT_S}"{limit}'
        f' action={quoteattr(done_url)} method="POST">'
        f'<Number statusCallback={quoteattr(leg_url)} statusCallbackMethod="POST"'
        f' statusCallbackEvent="completed">{escape(number)}</Number></Dial>'
    )
