"""The tools that the bridge itself has: end and transfer calls, press keys, take what is typed.

A model chooses among what the agent file names. It never writes a number to dial.
"""

import re
from typing import Any

from service.agents import CollectDigitsTool, EndCallTool, SendDtmfTool, TransferCallTool
from service.core.events import DigitsRequested, EndRequested, TransferRequested
from service.tools.keypad import DIGITS_MOST, Keypad, Wish
from service.tools.spec import ToolFailed, ToolResult, ToolSpec, Usable

BuiltIn = EndCallTool | TransferCallTool | SendDtmfTool | CollectDigitsTool

ENDED_BY_AGENT = "agent_ended"
_KEYS = re.compile("[0-9A-D*#w]{1,32}")


def built_in(tool: BuiltIn, says: str, keypad: Keypad) -> Usable:
    """The tool, ready for use. `says`: its sentence, filled in."""
    match tool:
        case EndCallTool():
            return _end_call(tool, says)
        case TransferCallTool():
            return _transfer_call(tool, says)
        case SendDtmfTool():
            return _send_dtmf(tool, says)
        case CollectDigitsTool():
            return _collect_digits(tool, says, keypad)


def _end_call(tool: EndCallTool, says: str) -> Usable:
    text = _first_say(says, "The call ends as soon as the caller has heard your goodbye.")

    async def run(_arguments: dict[str, Any]) -> ToolResult:
        return ToolResult(text, effect=EndRequested(ENDED_BY_AGENT))

    return Usable(_spec(tool, {}), run, says)


def _transfer_call(tool: TransferCallTool, says: str) -> Usable:
    names = list(tool.to)
    to = {"type": "string", "enum": names, "description": "Who to transfer the call to."}
    text = _first_say(says, "The call is transferred as soon as the caller has heard your words.")

    async def run(arguments: dict[str, Any]) -> ToolResult:
        number = tool.to[arguments.get("to", names[0])]
        return ToolResult(text, effect=TransferRequested(number))

    # Where there is but one way to go, nothing needs to be chosen.
    return Usable(_spec(tool, {"to": to}, ["to"] if len(names) > 1 else []), run, says)


def _send_dtmf(tool: SendDtmfTool, says: str) -> Usable:
    digits = {
        "type": "string",
        "pattern": f"^{_KEYS.pattern}$",
        "description": "The keys, such as 1 or 123#; w waits half a second.",
    }

    async def run(arguments: dict[str, Any]) -> ToolResult:
        keys = arguments["digits"]
        if not _KEYS.fullmatch(keys):  # a schema's "$" lets a line's end pass
            raise ToolFailed("tool.bad_arguments", "These are no keys of a telephone.")
        return ToolResult("The keys are pressed.", effect=DigitsRequested(keys))

    return Usable(_spec(tool, {"digits": digits}, ["digits"]), run, says)


def _collect_digits(tool: CollectDigitsTool, says: str, keypad: Keypad) -> Usable:
    count = {"type": "integer", "minimum": 1, "maximum": DIGITS_MOST}
    most = {"exclusiveMinimum": 0, "type": "number"}
    properties = {
        "min_digits": count | {"description": "The fewest digits that will do. Default 1."},
        "max_digits": count | {"description": f"The most digits. Default {DIGITS_MOST}."},
        "finish_key": {
            "enum": ["#", "*", ""],
            "description": 'The key that ends the number. Default "#"; "" for none.',
        },
        "timeout_s": most
        | {"maximum": 60, "description": "Seconds to wait for the first key. Default 10."},
        "between_s": most
        | {"maximum": 15, "description": "Seconds to wait for each further key. Default 4."},
    }

    async def run(arguments: dict[str, Any]) -> ToolResult:
        wish = Wish(**arguments)
        if wish.min_digits > wish.max_digits:
            raise ToolFailed("tool.bad_arguments", "min_digits is more than max_digits.")
        return await keypad.collect(wish)

    return Usable(_spec(tool, properties), run, says)


def _spec(tool: BuiltIn, properties: dict[str, Any], required: list[str] | None = None) -> ToolSpec:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required or [],
        "additionalProperties": False,
    }
    return ToolSpec(tool.name, tool.description, parameters)


def _first_say(says: str, otherwise: str) -> str:
    return f'Say now: "{says}" {otherwise}' if says else otherwise
