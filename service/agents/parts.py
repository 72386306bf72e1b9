"""What the parts of an agent file are made of: strict values, and texts of a known form.

The docstrings of classes and fields are what an editor shows: they go into the JSON Schema.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema, core_schema


class Part(BaseModel):
    """A mapping of an agent file. Unknown keys are faults, and nothing is converted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True)
class Form:
    """Text that must match `pattern` as a whole; `expected` tells a person what that is."""

    pattern: str
    expected: str

    def check(self, text: str) -> str:
        """The text. ValueError when it is of another form."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"expected {self.expected}")
        return text

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


LISTED = BeforeValidator(_listed)
"""A list of the file becomes a tuple, which stays as it is."""

_STRIPPED = StringConstraints(strip_whitespace=True, min_length=1, pattern=r"\S")

Name = Annotated[
    str, Form("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "letters, digits, - and _, at most 64")
]
Word = Annotated[
    str,
    Form("[a-z][a-z0-9_]{0,31}", "a word of small letters, digits and _, at most 32"),
]
Number = Annotated[str, Form(r"\+[1-9][0-9]{6,14}", "a number like +14155550100")]
Line = Annotated[str, _STRIPPED, StringConstraints(max_length=2000)]
Phrase = Annotated[str, _STRIPPED, StringConstraints(max_length=200)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]
"""A line, or "" for none."""
Description = Annotated[str, _STRIPPED, StringConstraints(max_length=1024)]
ModelName = Annotated[str, Form(r"[^\s\x00-\x1f]{1,200}", "a name without blanks")]
Seconds = Annotated[float, Field(ge=0.1, le=30)]
Instructions = Annotated[str, StringConstraints(max_length=20_000)]
Language = Annotated[str, Form("([a-z]{2})?", "two letters (ISO 639-1) such as en, or nothing")]
MaxDuration = Annotated[int, Field(ge=1, le=86_400)]
