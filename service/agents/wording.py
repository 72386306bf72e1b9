"""What pydantic finds wrong, in words for whoever wrote the file, and where that is in it."""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from service.agents.lines import Place

_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "there is no such key here",
    "string_type": lambda _: "expected text; a number or a sign stands in quotes",
    "int_type": lambda _: "expected a whole number",
    "int_from_float": lambda _: "expected a whole number",
    "float_type": lambda _: "expected a number",
    "finite_number": lambda _: "expected a number",
    "bool_type": lambda _: "expected true or false",
    "tuple_type": lambda _: "expected a list",
    "dict_type": lambda _: "expected keys with values",
    "model_type": lambda _: "expected keys with values",
    "model_attributes_type": lambda _: "expected a word, or keys with values",
    "literal_error": lambda known: f"expected {known['expected']}",
    "union_tag_not_found": lambda _: "kind is missing",
    "union_tag_invalid": lambda known: (
        f"there is no {known['tag']}: expected {known['expected_tags']}"
    ),
    "string_pattern_mismatch": lambda _: "is empty",
    "string_too_short": lambda _: "is empty",
    "string_too_long": lambda known: f"longer than {known['max_length']} characters",
    "too_long": lambda known: f"more than {known['max_length']}",
    "too_short": lambda known: f"fewer than {known['min_length']}",
    "greater_than_equal": lambda known: f"less than {known['ge']}",
    "less_than_equal": lambda known: f"more than {known['le']}",
}


def told(invalid: ValidationError) -> Iterator[tuple[Place, str]]:
    """Each fault: its place in the document, and what is wrong there."""
    for error in invalid.errors(include_url=False, include_input=False):
        words = _WORDS.get(error["type"])
        message = words(error.get("ctx", {})) if words else error["msg"]
        yield _place(error["loc"]), message.removeprefix("Value error, ")


def _place(path: Place) -> Place:
    """Without what stands in no file: the kind of a tool among others, and that it is a key."""
    if path[0:1] == ("tools",):
        path = path[:2] + path[3:]
    return path[:-1] if path[-1:] == ("[key]",) else path
