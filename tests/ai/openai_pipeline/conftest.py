"""One voice for all tests here: its worker process takes a second to start."""

import asyncio
from collections.abc import Iterator

import pytest

from service.standin import Voice


@pytest.fixture(scope="package")
def voice() -> Iterator[Voice]:
    shared = Voice()
    yield shared
    asyncio.run(shared.aclose())
