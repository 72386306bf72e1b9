"""What an MCP server says, as engines know it: its tools as specs, its results as texts.

Pure. A server is not ours: what it lists and what it answers is cut to size.
"""

import re
from collections.abc import Iterable

from mcp import types

from service.tools.answers import bounded, json_text
from service.tools.spec import ToolResult, ToolSpec

SCHEMA_BYTES_MOST = 16 * 1024
DESCRIPTION_MOST = 1024
NAME_MOST = 64
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def spec_of(tool: types.Tool) -> ToolSpec | None:
    """What the model is told of it; None when its schema cannot be given to a model.

    Names may have signs that OpenAI's APIs do not take: each becomes "_".
    """
    schema = {"type": "object", **tool.input_schema}
    if schema["type"] != "object" or len(json_text(schema)) > SCHEMA_BYTES_MOST:
        return None
    description = tool.description or tool.title or ""
    return ToolSpec(_ODD.sub("_", tool.name)[:NAME_MOST], description[:DESCRIPTION_MOST], schema)


def result_of(result: types.CallToolResult) -> ToolResult:
    """The result as text: its content, else its structured content."""
    text = "\n".join(part for part in _parts(result.content) if part)
    if not text and result.structured_content is not None:
        text = json_text(result.structured_content)
    if result.is_error:
        return ToolResult(bounded(f"The tool failed. {text}".strip()), "tool.failed")
    if not text:
        return ToolResult("Done. The tool answered nothing more.")
    return ToolResult(bounded(text))


def _parts(content: Iterable[types.ContentBlock]) -> Iterable[str]:
    for block in content:
        match block:
            case types.TextContent(text=text):
                yield text
            case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
                yield text
            case types.ResourceLink(name=name, uri=uri):
                yield f"(A link: {name}, {uri})"
            case _:
                yield f"(Something that is no text: {block.type}.)"
