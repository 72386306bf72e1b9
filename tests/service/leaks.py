"""What must not stand in any log line: numbers dialled, tokens, secrets, digits, words."""

import re

from tests.service.carriers import SECONDARY_TOKEN, STREAM_KEY
from tests.service.rest_api import AUTH_TOKEN, TELNYX_KEY

NEVER = (
    re.compile(r"\+?1415555\d{4}"),  # numbers dialled
    re.compile(r"call_[0-9A-HJKMNP-TV-Z]{26}\.[A-Za-z0-9_-]+"),  # a stream's token
    re.compile(r"X-Amz-Signature|x-twilio-signature|Bearer ", re.IGNORECASE),
    re.compile(r"(tester|other)-secret"),
    *(re.compile(re.escape(secret)) for secret in (AUTH_TOKEN, SECONDARY_TOKEN)),
    *(re.compile(re.escape(secret)) for secret in (STREAM_KEY, TELNYX_KEY)),
    re.compile(r"Hello there|this is the desk|open at nine|One moment|Still here|long sentence"),
    re.compile(r"159#0|1w#"),
    re.compile(r"Traceback"),
)


def leaks(log: str) -> list[str]:
    """The lines that say too much, or tell of a crash."""
    return [row for row in log.splitlines() if any(never.search(row) for never in NEVER)]
