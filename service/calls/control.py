"""Runs what providers ask of their carriers over HTTP: the only driver of flows.

It adds the deadline, and a second attempt where the error says that it may help and the flow is
safe to repeat: hanging up is, dialling never. No redirects, no body without end.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx
import structlog

from providers.base import Flow, HttpRequest, HttpResponse, Provider
from service.calls.metrics import Metrics
from service.calls.tape import Tape
from service.core.calls import Call
from service.core.errors import CallGone, RateLimited, RestError

DEADLINE_S = 10.0  # of a whole flow
MAX_ANSWER_BYTES = 1_048_576
ATTEMPTS = 3
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 2.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Control:
    """The carriers' REST APIs, as one thing to ask."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        providers: Mapping[str, Provider],
        metrics: Metrics,
        tape: Tape | None = None,
    ) -> None:
        self._http = http
        self._tape = tape
        self._providers = providers
        self._metrics = metrics

    async def run(self, flow: Flow[T]) -> T:
        """Go through a flow once. Raises what it raises: RestError and its kinds."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._exchange(request, deadline))
        except StopIteration as done:
            result: T = done.value
            return result
        except RestError as error:
            self._metrics.rest_errors.labels(error.code.partition(".")[0], error.code).inc()
            raise

    async def persist(self, make_flow: Callable[[], Flow[T]]) -> T:
        """Go through a flow that is safe to repeat, again where that may help."""
        for attempt in range(ATTEMPTS - 1):
            try:
                return await self.run(make_flow())
            except RestError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(_wait_s(error, attempt))
        return await self.run(make_flow())

    async def place(self, call: Call, stream_url: str) -> str:
        """Dial, once; returns the carrier's id of the call."""
        rest = self._providers[call.provider].rest
        if rest is None:
            raise RestError(f"{call.provider}.no_rest", "this carrier cannot be asked to dial")
        return await self.run(rest.place(call, stream_url))

    def reaches(self, call: Call) -> bool:
        """Whether the call's carrier can be asked to do something."""
        provider = self._providers.get(call.provider)
        return provider is not None and provider.rest is not None

    async def hang_up(self, call: Call) -> None:
        """Have the carrier end the call; one that is gone already is fine."""
        provider = self._providers.get(call.provider)
        if provider is None or provider.rest is None or call.provider_call_id is None:
            return
        rest = provider.rest
        try:
            await self.persist(lambda: rest.hang_up(call))
        except CallGone:
            log.debug("call was gone already", call_id=call.call_id)

    async def try_hang_up(self, call: Call, *, timeout_s: float | None = None) -> None:
        """As `hang_up`, for those who can do nothing about a failure but tell of it."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.hang_up(call)
        except RestError as error:
            log.warning("hang-up failed", call_id=call.call_id, code=error.code)
        except TimeoutError:
            log.warning("hang-up failed", call_id=call.call_id, code="control.timeout")

    async def transfer(self, call: Call, to: str) -> None:
        """Have the carrier connect the person with `to`. RestError: they are still with us."""
        provider = self._providers.get(call.provider)
        if provider is None or provider.rest is None:
            raise RestError(f"{call.provider}.no_rest", "this carrier cannot be asked to transfer")
        rest = provider.rest
        try:
            await self.persist(lambda: rest.transfer(call, to))
        except RestError:
            self._metrics.transfers.labels(call.provider, "refused").inc()
            raise
        self._metrics.transfers.labels(call.provider, "accepted").inc()

    async def send_digits(self, call: Call, digits: str) -> bool:
        """Press keys to the line. False: this carrier wants them as tones in the media."""
        provider = self._providers.get(call.provider)
        flow = provider.rest.send_digits(call, digits) if provider and provider.rest else None
        if flow is None:
            return False
        await self.run(flow)
        return True

    async def _exchange(self, request: HttpRequest, deadline: float) -> HttpResponse:
        recording = self._tape.command(request) if self._tape is not None else None
        response = await self._ask(request, deadline)
        if self._tape is not None:
            self._tape.answer(recording, response)
        return response

    async def _ask(self, request: HttpRequest, deadline: float) -> HttpResponse:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._send(request)
        except TimeoutError:
            return HttpResponse(0, detail="no answer in time")
        except httpx.HTTPError as error:
            return HttpResponse(0, detail=type(error).__name__)

    async def _send(self, request: HttpRequest) -> HttpResponse:
        body = bytearray()
        async with self._http.stream(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=request.body,
            follow_redirects=False,
        ) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status_code, headers, bytes(body[:MAX_ANSWER_BYTES]))


def _wait_s(error: RestError, attempt: int) -> float:
    if isinstance(error, RateLimited):
        return min(error.retry_after_ms / 1000, LONGEST_WAIT_S)
    return min(FIRST_WAIT_S * 4.0**attempt, LONGEST_WAIT_S)
