"""What a model wrote as a tool's arguments: JSON that fits the tool's schema, or words why not.

Arguments that the schema does not speak of are refused: a caller who talks the model into adding
one must not reach the server behind the tool with it.
"""

from functools import lru_cache
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry

from service.tools.spec import ToolFailed

ARGUMENTS_BYTES_MOST = 16 * 1024
ERRORS_TOLD = 3
ERROR_LENGTH = 200
BAD = "tool.bad_arguments"

_OPEN_OR_CLOSED = {"additionalProperties", "unevaluatedProperties"}


def read_arguments(text: str, schema: dict[str, Any], *, checked: bool = True) -> dict[str, Any]:
    """The arguments; empty text is none at all. ToolFailed says in words what is wrong with them.

    Not `checked`: any JSON object will do.
    """
    arguments = _object(text)
    if checked:
        _check(arguments, schema)
    return arguments


def _object(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    data = text.encode("utf-8", "replace")
    if len(data) > ARGUMENTS_BYTES_MOST:
        raise ToolFailed(BAD, f"The arguments are longer than {ARGUMENTS_BYTES_MOST} bytes.")
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise ToolFailed(BAD, "The arguments are not JSON. Write a JSON object.") from None
    if not isinstance(value, dict):
        raise ToolFailed(BAD, "The arguments are no JSON object. Write one, such as {}.")
    return value


def _check(arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    errors = sorted(
        _judge(msgspec.json.encode(schema)).iter_errors(arguments), key=lambda e: e.json_path
    )
    if errors:
        told = [_words(error.json_path, error.message) for error in errors[:ERRORS_TOLD]]
        raise ToolFailed(BAD, f"The arguments do not fit: {'; '.join(told)}.")


@lru_cache(maxsize=256)  # an agent's schemas stay the same from call to call
def _judge(schema_json: bytes) -> Validator:
    schema = msgspec.json.decode(schema_json)
    if not _OPEN_OR_CLOSED & schema.keys():
        schema["unevaluatedProperties"] = False
    # An empty registry: a reference must not make the validator fetch it from anywhere.
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(schema, registry=Registry(), format_checker=checker)


def _words(path: str, message: str) -> str:
    where = path.removeprefix("$").lstrip(".")
    return f"{where}: {message}"[:ERROR_LENGTH] if where else message[:ERROR_LENGTH]
