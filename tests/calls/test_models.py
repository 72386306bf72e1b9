"""What the REST API accepts, beside what its handlers show."""

import pytest
from pydantic import ValidationError

from service.calls.models import PlaceCall

ORDER = {"provider": "acme", "to": "+14155550100", "from": "+14155550123"}


def test_overrides_are_bounded_as_a_whole() -> None:
    lines = {"says": ["x" * 2000] * 9}
    PlaceCall.model_validate(ORDER | {"overrides": {"idle": lines}})
    with pytest.raises(ValidationError, match="at most 32 KiB") as refused:
        PlaceCall.model_validate(ORDER | {"overrides": {"idle": lines, "filler": lines}})
    assert [error["loc"] for error in refused.value.errors()] == [("overrides",)]
