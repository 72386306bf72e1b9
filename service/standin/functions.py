"""Functions as both APIs take them, and arguments as a model writes them."""

import json
import re
from collections.abc import Mapping
from typing import Any

from service.standin.refusals import Refusal

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_function(function: Mapping[str, Any], where: str) -> None:
    """Refusal when its name cannot be called, or its parameters are no object's schema."""
    name = function["name"]
    if not _NAME.fullmatch(name):
        message = f"Invalid '{where}.name': expected a string that matches '^[a-zA-Z0-9_-]+$'."
        raise Refusal(message, code="invalid_value", param=f"{where}.name")
    parameters = function.get("parameters", {"type": "object"})
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        message = f"Invalid schema for function '{name}': schema must be of 'type: \"object\"'."
        raise Refusal(message, code="invalid_function_parameters", param=f"{where}.parameters")


def as_text(arguments: dict[str, Any] | str) -> str:
    """Arguments given as text are left as they are, JSON or not."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
