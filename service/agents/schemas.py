"""Whether a tool's parameters are the JSON Schema of an object (draft 2020-12).

A schema is written out in full: a `$ref` could lead out of the file, or back to itself.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from service.agents.lines import Place

SCHEMA_BYTES_MOST = 16 * 1024
MESSAGE_MOST = 200

Found = Iterator[tuple[Place, str]]


def schema_faults(place: Place, schema: dict[str, Any]) -> Found:
    """What is wrong with the schema, each fault with its place."""
    if schema.get("type") != "object":
        yield (*place, "type"), "expected object"
    if len(json.dumps(schema).encode()) > SCHEMA_BYTES_MOST:
        yield place, f"larger than {SCHEMA_BYTES_MOST // 1024} KiB"
        return
    yield from _references(place, schema)
    yield from dict.fromkeys(_rules_broken(place, schema))


def _rules_broken(place: Place, schema: dict[str, Any]) -> Found:
    """A rule may stand in several parts of the draft, and is broken once for each."""
    for error in _judge().iter_errors(schema):
        cause = best_match([error]) or error
        yield (*place, *cause.absolute_path), f"not JSON Schema: {cause.message[:MESSAGE_MOST]}"


@cache
def _judge() -> Draft202012Validator:
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=checker)


def _references(place: Place, value: Any) -> Found:
    if isinstance(value, dict):
        for key, below in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(below, str):
                yield (*place, key), "write the schema out: there are no references here"
            yield from _references((*place, key), below)
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from _references((*place, i), below)
