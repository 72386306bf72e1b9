"""What an agent does beside talking: tools of the bridge, HTTP requests, MCP servers, lookups.

Reaches public addresses only, unless a setting allows others. Trouble becomes words for the model
and a code for the record; nothing here ends a call or speaks on it.
"""

from service.tools.lookups import LookedUp, LookupFault
from service.tools.spec import TOOLS_IN_A_ROW, ToolResult, ToolSpec
from service.tools.toolbox import Toolbox
from service.tools.tools import Tools

__all__ = [
    "TOOLS_IN_A_ROW",
    "LookedUp",
    "LookupFault",
    "ToolResult",
    "ToolSpec",
    "Toolbox",
    "Tools",
]
