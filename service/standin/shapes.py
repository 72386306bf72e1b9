"""Is it what the API takes? Checked against the openai package's own types, unknown keys refused.

Those types are TypedDicts that say nothing of other keys, so their pydantic schemas are made
strict here. What does not fit becomes a Refusal in the words that OpenAI uses.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import ErrorDetails, SchemaValidator, ValidationError

from service.standin.refusals import Refusal

_KEPT = ("metadata", "serialization")
_KINDS = ("type", "role")  # the fields that say what something is
_TYPES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}
_WANTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
}


class Shape:
    """One of the package's types, as a check; `lax` takes numbers written as text, as forms do."""

    def __init__(self, params: Any, *, lax: bool = False) -> None:
        self._validator = SchemaValidator(_strict(TypeAdapter(params).core_schema))
        self._lax = lax

    def check(self, data: Any) -> Any:
        """The data, when it fits; Refusal with the first fault when it does not."""
        try:
            return self._validator.validate_python(data, strict=not self._lax)
        except ValidationError as faults:
            details = faults.errors(include_url=False)
        raise _refusal(details, data)


def _strict(node: Any) -> Any:
    """A core schema in which no unknown key passes and nothing is put off until it is read."""
    if isinstance(node, list | tuple):
        return type(node)(_strict(part) for part in node)
    if not isinstance(node, dict):
        return node
    made = {key: part if key in _KEPT else _strict(part) for key, part in node.items()}
    if made.get("type") == "typed-dict":
        made["extra_behavior"] = "forbid"
    elif made.get("type") == "generator":  # of Iterable[...], which is a list in JSON
        made["type"] = "list"
    return made


def _refusal(details: Sequence[ErrorDetails], data: Any) -> Refusal:
    """In the words of the branch that fits best, where a type has several."""
    branches: defaultdict[tuple[str, ...], list[tuple[str, ErrorDetails]]] = defaultdict(list)
    for detail in details:
        path, labels = _place(detail, data)
        branches[labels].append((path, detail))
    [(path, detail), *_] = min(branches.values(), key=_misfit)
    if detail["type"] == "extra_forbidden":
        return Refusal(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)
    if detail["type"] == "missing":
        message = f"Missing required parameter: '{path}'."
        return Refusal(message, code="missing_required_parameter", param=path)
    wanted = _WANTED.get(detail["type"])
    got = detail["input"]
    if wanted is not None:
        kind = _TYPES.get(type(got), "something else")
        message = f"Invalid type for '{path}': expected {wanted}, but got {kind} instead."
        return Refusal(message, code="invalid_type", param=path)
    message = f"Invalid value: {str(got)[:80]!r}. {detail['msg']}."
    return Refusal(message, code="invalid_value", param=path)


def _misfit(branch: Sequence[tuple[str, ErrorDetails]]) -> tuple[bool, int]:
    """How little a branch fits: worst, when it is another kind of thing altogether."""
    foreign = any(
        detail["type"] == "literal_error" and path.endswith(_KINDS) for path, detail in branch
    )
    return foreign, len(branch)


def _place(detail: ErrorDetails, data: Any) -> tuple[str, tuple[str, ...]]:
    """Where in the data it is, and by which branches of the type one gets there."""
    path = ""
    labels: list[str] = []
    steps = detail["loc"]
    for number, step in enumerate(steps, 1):
        last = number == len(steps) and detail["type"] in ("missing", "extra_forbidden")
        if isinstance(step, int) and isinstance(data, list) and step < len(data):
            path, data = f"{path}[{step}]", data[step]
        elif isinstance(data, dict) and (step in data or last):
            path, data = f"{path}.{step}" if path else str(step), data.get(str(step))
        else:
            labels.append(str(step))
    return path, tuple(labels)
