from typing import Any

import pytest
from mcp import types

from service.tools.mcp_results import result_of, spec_of
from service.tools.spec import TEXT_BYTES_MOST, ToolResult, ToolSpec

TEXT = types.TextContent(type="text", text="at nine")


def listed(**parts: Any) -> types.Tool:
    return types.Tool.model_validate({"name": "find", "inputSchema": {"type": "object"}} | parts)


def result(*content: types.ContentBlock, **parts: Any) -> ToolResult:
    return result_of(types.CallToolResult(content=list(content), **parts))


def test_a_tool_is_told_with_its_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tool = listed(description="Finds.", inputSchema=schema)
    assert spec_of(tool) == ToolSpec("find", "Finds.", schema)


def test_a_name_has_only_signs_that_a_model_may_write() -> None:
    spec = spec_of(listed(name="crm/find.one é" + "x" * 100))
    assert spec is not None
    assert spec.name.startswith("crm_find_one__x")
    assert len(spec.name) == 64


def test_a_long_description_is_cut_and_a_missing_one_is_the_title() -> None:
    long = spec_of(listed(description="x" * 5000))
    titled = spec_of(listed(title="Find one"))
    assert long is not None
    assert titled is not None
    assert (len(long.description), titled.description) == (1024, "Find one")


@pytest.mark.parametrize(
    "schema", [{"type": "array"}, {"type": "object", "description": "x" * 20_000}]
)
def test_a_tool_whose_schema_no_model_can_take_is_left_out(schema: dict[str, Any]) -> None:
    assert spec_of(listed(inputSchema=schema)) is None


def test_texts_are_told_in_their_order() -> None:
    resource = types.TextResourceContents(uri="file:///a", text="or ten")
    embedded = types.EmbeddedResource(type="resource", resource=resource)
    assert result(TEXT, embedded).text == "at nine\nor ten"


def test_what_is_no_text_is_named() -> None:
    image = types.ImageContent(type="image", data="AAAA", mime_type="image/png")
    link = types.ResourceLink(type="resource_link", name="plan", uri="https://crm.test/plan")
    assert result(image, link).text == (
        "(Something that is no text: image.)\n(A link: plan, https://crm.test/plan)"
    )


def test_structured_content_is_told_where_there_is_no_text() -> None:
    assert result(structured_content={"at": 9}).text == '{"at":9}'
    assert result(TEXT, structured_content={"at": 9}).text == "at nine"


def test_nothing_is_said_to_be_nothing() -> None:
    assert result() == ToolResult("Done. The tool answered nothing more.")


def test_an_error_is_told_as_one() -> None:
    assert result(TEXT, is_error=True) == ToolResult("The tool failed. at nine", "tool.failed")
    assert result(is_error=True).text == "The tool failed."


def test_what_is_told_is_bounded() -> None:
    many = result(*[types.TextContent(type="text", text="x" * 5000)] * 3)
    assert len(many.text) < TEXT_BYTES_MOST + 100
