"""Taps of the calls' slow life: webhooks, commands to carriers, what users do; and the answers.

They cost one look while nothing is recorded. Nothing is decided here.
"""

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from starlette.responses import Response

from providers.base import HttpRequest, HttpResponse, Provider, WebhookRequest
from service.calls.records import Event
from service.cassettes.lines import (
    answer_line,
    asked_line,
    command_line,
    granted_line,
    reply_line,
    webhook_line,
)
from service.cassettes.recorder import Recorder, Recording
from service.cassettes.writer import Order
from service.core.calls import Call

REFUSED = 300
"""From this status on nothing has been done."""


class Tape:
    """Where the calls room writes down what passes through it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def stamp(self) -> Order:
        """This moment: a webhook comes before anybody knows which call it is about."""
        return self._recorder.stamp()

    def webhook(
        self, came: Order, provider: Provider, webhook: WebhookRequest, response: Response
    ) -> None:
        """A verified webhook that came then and is answered now."""
        if self._recorder.idle or provider.webhooks is None:
            return
        notice = provider.webhooks.parse(webhook)
        recording = self._recorder.named_in(f"{notice.call_id} {notice.provider_call_id}")
        if recording is None:
            return
        path = f"{webhook.path}?{webhook.query}" if webhook.query else webhook.path
        asked = (webhook.method, path, webhook.headers, webhook.body)
        recording.put_at(came, webhook_line, *asked, size_bytes=len(webhook.body))
        body = bytes(response.body)
        recording.put(reply_line, response.status_code, body, size_bytes=len(body))

    def asked(self, came: Order, method: str, path: str, body: bytes, response: Response) -> None:
        """What somebody did to a call then by the REST API; a refusal has done nothing."""
        if self._recorder.idle or response.status_code >= REFUSED:
            return
        recording = self._recorder.named_in(path)
        if recording is not None:
            recording.put_at(came, asked_line, method, path, body, size_bytes=len(body))
            answer = bytes(response.body)
            recording.put(granted_line, response.status_code, answer, size_bytes=len(answer))

    def command(self, request: HttpRequest) -> Recording | None:
        """A command to a carrier; None: its call is not recorded.

        Each names its call: in its URL, or in the media socket's URL that it brings.
        """
        if self._recorder.idle:
            return None
        named = unquote(request.url) + " " + request.body.decode(errors="replace")
        recording = self._recorder.named_in(named)
        if recording is not None:
            path = unquote(urlsplit(request.url).path)
            size_bytes = len(request.body)
            recording.put(command_line, request.method, path, request.body, size_bytes=size_bytes)
        return recording

    def answer(self, recording: Recording | None, response: HttpResponse) -> None:
        """What the carrier answered to it."""
        if recording is not None:
            body = response.body
            recording.put(answer_line, response.status, body, size_bytes=len(body))

    def wrote(self, call: Call, entries: Iterable[Event]) -> None:
        """The store has taken these entries of a call."""
        self._recorder.wrote(call, ((entry.type, entry.at, entry.data) for entry in entries))
