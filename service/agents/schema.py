"""The JSON Schema of an agent file (draft 2020-12): what editors complete and check it by.

It says the shape; what can only be told from the whole is said by `callbridge agents check`.
"""

from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from service.agents.model import Agent

SCHEMA_ID = "urn:callbridge:agent"


class _Plain(GenerateJsonSchema):
    """Without titles that only say a key again, and strict about keys that have a form."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            found["additionalProperties"] = False
        return found


@cache
def agent_schema() -> dict[str, Any]:
    """The schema, as JSON."""
    head = {"$schema": _Plain.schema_dialect, "$id": SCHEMA_ID}
    return head | Agent.model_json_schema(schema_generator=_Plain)
