"""Flows over HTTP: deadlines, second attempts where they are safe, and bounds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from providers.base import Flow, HttpRequest, HttpResponse
from service.calls import control as control_module
from service.calls.control import MAX_ANSWER_BYTES, Control
from service.calls.metrics import Metrics
from service.core.errors import CallGone, CarrierDown, CarrierSilent, NumberRefused, RestError
from tests.calls.fakes import FakeCarrierApi, fake_provider
from tests.calls.samples import inbound, outbound


@pytest.fixture
def carrier() -> FakeCarrierApi:
    return FakeCarrierApi()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def control(carrier: FakeCarrierApi, metrics: Metrics) -> AsyncIterator[Control]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(carrier)) as http:
        yield Control(http, {"acme": fake_provider()}, metrics)


def ask() -> Flow[HttpResponse]:
    return (yield HttpRequest("GET", "http://acme.test/x"))


async def asked_of(answer: Callable[[httpx.Request], httpx.Response]) -> HttpResponse:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return await Control(http, {}, Metrics()).run(ask())


async def test_placing_returns_the_carriers_name_of_the_call(
    control: Control, carrier: FakeCarrierApi
) -> None:
    assert await control.place(outbound(), "wss://bridge.test/s") == "CA-1"
    assert carrier.paths() == ["place"]


@pytest.mark.parametrize(("status", "error"), [(0, CarrierSilent), (503, CarrierDown)])
async def test_a_call_is_never_dialled_twice(
    control: Control, carrier: FakeCarrierApi, status: int, error: type[Exception]
) -> None:
    carrier.answers["place"] = [status]
    with pytest.raises(error):
        await control.place(outbound(), "wss://bridge.test/s")
    assert carrier.paths() == ["place"]


async def test_hanging_up_is_tried_again_where_that_may_help(
    control: Control, carrier: FakeCarrierApi, metrics: Metrics
) -> None:
    carrier.answers["hang_up"] = [503, 0]
    await control.hang_up(inbound())
    assert carrier.paths() == ["hang_up"] * 3
    counted = metrics.text().decode()
    assert 'callbridge_rest_errors_total{code="acme.503",provider="acme"} 1.0' in counted


async def test_hanging_up_gives_up_in_the_end(control: Control, carrier: FakeCarrierApi) -> None:
    carrier.answers["hang_up"] = [503] * 9
    with pytest.raises(CarrierDown):
        await control.hang_up(inbound())
    assert len(carrier.paths()) == 3


async def test_hanging_up_a_call_that_is_gone_is_no_error(
    control: Control, carrier: FakeCarrierApi
) -> None:
    carrier.answers["hang_up"] = [410]
    await control.hang_up(inbound())
    await control.hang_up(outbound())  # the carrier does not know it yet
    await control.hang_up(inbound(provider="nobody"))
    assert carrier.paths() == ["hang_up"]


async def test_a_flow_of_a_gone_call_says_so(control: Control, carrier: FakeCarrierApi) -> None:
    carrier.answers["digits/5"] = [410]
    with pytest.raises(CallGone):
        await control.send_digits(inbound(), "5")
    assert await control.send_digits(inbound(), "6")
    assert not await control.send_digits(inbound(provider="nobody"), "6")


async def test_redirects_are_not_followed() -> None:
    elsewhere = httpx.Response(302, headers={"Location": "http://evil.test/"})
    response = await asked_of(lambda request: elsewhere)
    assert response.status == 302
    assert response.headers["location"] == "http://evil.test/"


async def test_an_endless_answer_is_cut_off() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    response = await asked_of(lambda request: httpx.Response(200, content=endless()))
    assert (response.status, len(response.body)) == (200, MAX_ANSWER_BYTES)


async def test_a_carrier_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control_module, "DEADLINE_S", 0.05)

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> Any:
            await asyncio.Event().wait()

    async with httpx.AsyncClient(transport=Silent()) as http:
        response = await Control(http, {}, Metrics()).run(ask())
    assert (response.status, response.detail) == (0, "no answer in time")


async def test_a_network_that_fails_is_no_answer() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    response = await asked_of(fail)
    assert (response.status, response.detail) == (0, "ConnectError")


async def test_a_call_is_handed_over_by_its_carrier(
    control: Control, carrier: FakeCarrierApi
) -> None:
    await control.transfer(inbound(), "+14155550100")
    assert carrier.paths() == ["transfer/+14155550100"]


async def test_a_transfer_that_the_carrier_refuses_is_refused(
    control: Control, carrier: FakeCarrierApi
) -> None:
    carrier.answers["transfer/+14155550100"] = [422]
    with pytest.raises(NumberRefused):
        await control.transfer(inbound(), "+14155550100")


async def test_a_line_without_a_carrier_cannot_be_handed_over(control: Control) -> None:
    with pytest.raises(RestError) as refused:
        await control.transfer(inbound(provider="browser"), "+14155550100")
    assert refused.value.code == "browser.no_rest"


async def test_transfers_are_counted_by_what_the_carrier_said(
    control: Control, carrier: FakeCarrierApi, metrics: Metrics
) -> None:
    await control.transfer(inbound(), "+14155550100")
    carrier.answers["transfer/+14155550100"] = [422]
    with pytest.raises(NumberRefused):
        await control.transfer(inbound(), "+14155550100")
    counted = metrics.text().decode()
    assert 'callbridge_transfers_total{provider="acme",result="accepted"} 1.0' in counted
    assert 'callbridge_transfers_total{provider="acme",result="refused"} 1.0' in counted
