"""Structured log lines: one per step of a call, a fixed message and named fields.

Numbers dialled are masked, and keys that could hold secrets or what people say are dropped,
whoever puts them in. Lines go to stderr: coloured on a terminal, JSON elsewhere.
"""

import logging
import re
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict

NEVER_LOGGED = frozenset(
    {"text", "heard_text", "transcript", "digits", "digit", "token", "authorization", "secret"}
)
NUMBER = re.compile(r"\+\d{5,15}")


def configure(style: Literal["auto", "console", "json"] = "auto") -> None:
    """Set up logging for this process; `auto`: as suits where the lines go."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if not console else _keep,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # The socket server logs paths, and a path may hold a stream's token.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # The MCP client ("mcp", "client") logs what tool servers answer when it does not understand it.
    for name in ("httpx2", "mcp", "client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def redact(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Drop what must not be logged and mask every number dialled."""
    return {
        key: NUMBER.sub(_mask, value) if isinstance(value, str) else value
        for key, value in line.items()
        if key not in NEVER_LOGGED
    }


def _mask(found: re.Match[str]) -> str:
    number = found.group()
    return f"{number[:3]}…{number[-2:]}"


def _keep(_logger: Any, _method: str, line: EventDict) -> EventDict:
    return line
