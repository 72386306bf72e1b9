"""What a call's record says about the bridge, in the words of a verdict.

Pure: reads records, raises Failed.
"""

import base64
from collections.abc import Iterator
from typing import Any

from service.conformance.check import Failed
from service.twin.record import CallRecord, Receipt, StreamRecord

SOCKET_CODES = ("31950", "31951", "100003", "100004", "100005", "binary")
"""What the carriers' twins warn of on the media socket."""

UNANSWERED_CODES = ("11200", "12100", "12200", "12300", "31920", "webhook", "connection_failed")
"""What they warn of when nobody takes up a call, or with something that is no answer."""


def stream_of(record: CallRecord) -> StreamRecord:
    """The call's first media stream. Failed when it never got one."""
    if not record.streams:
        raise Failed("a media stream", why_not(record))
    return record.streams[0]


def why_not(record: CallRecord) -> str:
    """Why a call has no stream, as far as the carrier can tell."""
    if record.warnings:
        return "; ".join(f"{w.code}: {w.detail}" for w in record.warnings[:3])
    if record.receipts and not _good(record.receipts[0]):
        first = record.receipts[0]
        return f"{first.what} was answered with {first.status or 'nothing'}"
    return f"none came; the call ended as {record.status or 'nothing'}"


def must_live(record: CallRecord) -> StreamRecord:
    """The stream that was there until the caller hung up. Failed when the bridge closed it."""
    stream = stream_of(record)
    if stream.ended != "hangup":
        raise Failed("the socket to stay open", _closed(stream))
    return stream


def _closed(stream: StreamRecord) -> str:
    if stream.ended == "closed":
        return f"the bridge closed it with {stream.close_code}"
    return f"it ended: {stream.ended or 'no end'}"


def check_receipts(record: CallRecord, *, within_ms: int | None = None) -> None:
    """Every webhook was answered with 2xx, and in time."""
    for receipt in record.receipts:
        if not _good(receipt):
            came = f"HTTP {receipt.status}" if receipt.status else "no answer in time"
            raise Failed(f"2xx for {receipt.what}", came)
        if within_ms is not None and receipt.took_ms > within_ms:
            raise Failed(
                f"an answer to {receipt.what} within {within_ms} ms", f"it took {receipt.took_ms}"
            )


def _good(receipt: Receipt) -> bool:
    return 200 <= receipt.status < 300


def check_warnings(record: CallRecord, *codes: str, but: bool = False) -> None:
    """The carrier had nothing to say of these codes; with `but`: of all others."""
    for warned in record.warnings:
        if (warned.code in codes) is not but:
            raise Failed("nothing the carrier refuses", f"{warned.code}: {warned.detail}")


def media(record: CallRecord) -> Iterator[tuple[int, bytes]]:
    """The bridge's sound, each message with its time in the call."""
    for at_ms, message in _from_bridge(record):
        if message.get("event") == "media":
            yield at_ms, _payload(message)


def media_after_clear(record: CallRecord) -> Iterator[tuple[int, bytes]]:
    """The same from the first `clear` on, times counted from it."""
    cleared_ms: int | None = None
    for at_ms, message in _from_bridge(record):
        if message.get("event") == "clear" and cleared_ms is None:
            cleared_ms = at_ms
        elif message.get("event") == "media" and cleared_ms is not None:
            yield at_ms - cleared_ms, _payload(message)


def _from_bridge(record: CallRecord) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in record.lines:
        message = line.get("message")
        if line["lane"] == "stream" and line["from"] == "bridge" and isinstance(message, dict):
            yield line["at_ms"], message


def _payload(message: dict[str, Any]) -> bytes:
    content = message.get("media")
    payload = content.get("payload") if isinstance(content, dict) else None
    try:
        return base64.b64decode(payload or "", validate=True)
    except (ValueError, TypeError):
        return b""


def is_silence(payload: bytes) -> bool:
    """Whether nothing is to be heard: G.711 silence is one or two values over and over."""
    return len(set(payload)) <= 2


def orders(record: CallRecord) -> list[str]:
    """The REST commands that the bridge gave for this call: the last word of each path."""
    return [
        line["request"]["path"].rpartition("/")[2]
        for line in record.lines
        if line["lane"] == "rest" and line["from"] == "bridge"
    ]


def refusals(record: CallRecord) -> list[dict[str, Any]]:
    """The carrier's answers to REST commands that it did not carry out."""
    return [
        line["response"]
        for line in record.lines
        if line["lane"] == "rest"
        and line["from"] == "carrier"
        and line["response"]["status"] >= 400
    ]


def closes(record: CallRecord, from_: str) -> list[int | None]:
    """The codes with which this side closed sockets."""
    return [
        line["close"]["code"]
        for line in record.lines
        if line["lane"] == "stream" and line["from"] == from_ and "close" in line
    ]


def was_refused(record: CallRecord) -> bool:
    """Whether an upgrade was answered with something else than 101."""
    return any("refused" in line for line in record.lines)
