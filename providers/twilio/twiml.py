"""The TwiML documents that our answers to Twilio consist of; pure text.

Follows "TwiML for Programmable Voice". Nothing but `<Hangup/>` may stand behind `</Connect>`:
whatever else did would be played to a person whose conversation is over.
"""

from xml.sax.saxutils import quoteattr

HANG_UP = "<Hangup/>"
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
