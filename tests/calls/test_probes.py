"""Health, metrics and the API's description: without a key, from anywhere."""

import asyncio

import httpx
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from service.calls.openapi import document
from service.calls.redis import open_redis
from tests.calls.house import House
from tests.calls.samples import StoppedClock
from tests.redis_server import RedisServer


async def get(house: House, path: str) -> httpx.Response:
    async with house.client("203.0.113.9") as client:
        return await client.get(path)


async def test_a_house_at_work_is_alive_and_ready(house: House) -> None:
    assert (await get(house, "/healthz")).status_code == 200
    assert (await get(house, "/readyz")).status_code == 200


async def test_a_house_that_drains_is_alive_but_not_ready(house: House) -> None:
    house.draining = True
    assert (await get(house, "/healthz")).status_code == 200
    response = await get(house, "/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "ready.draining")


async def test_a_house_without_redis_is_not_ready_until_it_is_back(
    redis_server: RedisServer, clock: StoppedClock
) -> None:
    client = open_redis(redis_server.url)
    house = House(client, clock)
    assert (await get(house, "/readyz")).status_code == 200
    await asyncio.to_thread(redis_server.stop)
    response = await asyncio.wait_for(get(house, "/readyz"), 10)
    assert (response.status_code, response.json()["code"]) == (503, "ready.store_away")
    await asyncio.to_thread(redis_server.start)
    assert (await get(house, "/readyz")).status_code == 200
    await client.aclose()


async def test_metrics_are_prometheus_text_and_bear_our_name(house: House) -> None:
    house.metrics.lagged(0.003)
    response = await get(house, "/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    names = [line.split()[2] for line in response.text.splitlines() if line.startswith("# TYPE")]
    assert all(name.startswith("callbridge_") for name in names)
    assert "# TYPE callbridge_calls_live gauge" in response.text
    assert "callbridge_loop_lag_seconds 0.003" in response.text


async def test_the_description_is_valid_openapi(house: House) -> None:
    described = (await get(house, "/openapi.json")).json()
    OpenAPIV31SpecValidator(described).validate()
    assert described == document()


async def test_a_client_can_look_up_why_something_cannot_be_said() -> None:
    say = document()["paths"]["/v1/calls/{call_id}/say"]["post"]
    for code in ("call.ended", "call.not_connected", "engine.cannot_speak"):
        assert code in say["responses"]["409"]["description"]


async def test_every_route_is_described_and_every_description_is_served(house: House) -> None:
    served = {
        (method.lower(), route.path)
        for route in house.app.routes
        if isinstance(route, Route) and route.path.startswith("/v1")
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {
        (method, path)
        for path, methods in document()["paths"].items()
        for method in methods
        if path.startswith("/v1")
    }
    assert served == described


async def test_the_page_to_try_it_needs_nothing_from_elsewhere(house: House) -> None:
    page = await get(house, "/docs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/docs/docs.js", "/docs/docs.css"):
        assert path in page.text
        asset = await get(house, path)
        assert asset.status_code == 200
        assert "http" not in asset.text
