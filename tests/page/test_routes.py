"""How the page's files are served."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from service.page.routes import routes

FILES = [route.path for route in routes()]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Starlette(routes=routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/worklet.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
async def test_files_say_what_they_are(
    client: httpx.AsyncClient, path: str, media_type: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert int(response.headers["content-length"]) == len(response.content) > 0
    assert (await client.head(path)).status_code == 200


@pytest.mark.parametrize("path", FILES)
async def test_nothing_foreign_or_inline_may_run(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "microphone=(self)" in headers["permissions-policy"]


@pytest.mark.parametrize("path", FILES)
async def test_a_file_that_is_the_same_is_not_sent_again(
    client: httpx.AsyncClient, path: str
) -> None:
    first = await client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for offered in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get(path, headers={"If-None-Match": offered})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert "content-security-policy" in again.headers
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_everything_the_page_names_is_there(client: httpx.AsyncClient) -> None:
    named = {"/page/worklet.js"}
    for path in FILES:
        text = (await client.get(path)).text
        named |= {f"/page/{name}" for name in re.findall(r'from "\./(\w+\.js)"', text)}
        named |= set(re.findall(r'(?:src|href)="(/page/[^"]+)"', text))
    assert len(named) >= 6
    for path in named:
        assert (await client.get(path)).status_code == 200


async def test_only_the_pages_files_are_served(client: httpx.AsyncClient) -> None:
    for path in ("/page/", "/page/routes.py", "/page/%2e%2e/settings.py", "/page/../settings.py"):
        assert (await client.get(path)).status_code == 404
    assert (await client.post("/")).status_code == 405
