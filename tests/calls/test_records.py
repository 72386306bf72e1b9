"""A call as it is written down, and read again."""

from service.calls.records import from_fields, public, to_fields
from tests.calls.samples import outbound


def test_what_a_call_has_otherwise_is_written_and_not_shown() -> None:
    call = outbound(overrides={"realtime": {"voice": "cedar"}, "instructions": "Be brief."})
    assert from_fields(to_fields(call)) == call
    assert "overrides" not in public(call)


def test_a_call_written_by_an_older_version_has_nothing_otherwise() -> None:
    fields = to_fields(outbound())
    del fields["overrides"]
    assert from_fields(fields).overrides == {}
