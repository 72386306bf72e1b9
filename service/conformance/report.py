"""A run of the kit as text, as JSON, and as JUnit XML."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from service.conformance.check import Result
from service.replay.junit import Case, junit


def as_line(result: Result) -> str:
    """One line for a reader; a failure says what was expected and what came."""
    mark = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "error": "ERROR"}
    name = result.name.replace("_", " ")
    line = f"{mark[result.verdict]:8}{result.level.upper():7}{name}"
    if result.verdict == "failed":
        line += f"\n{'':15}expected {result.expected}; {result.came}\n{'':15}({result.source})"
    elif result.came:
        line += f": {result.came}"
    return line


def as_object(result: Result) -> dict[str, Any]:
    """One result for a machine."""
    found: dict[str, Any] = msgspec.to_builtins(result)
    return found


def summary(results: Sequence[Result]) -> str:
    """How many of which verdict."""
    counts = Counter(result.verdict for result in results)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    unfit = sum(result.binding for result in results)
    return f"{len(results)} checks: {told}" + (f"; {unfit} of them binding" if unfit else "")


def as_junit(carrier: str, results: Sequence[Result]) -> bytes:
    """The document; what only SHOULD be is a failure, too, so that it is seen."""
    return junit([_case(carrier, result) for result in results], f"callbridge conform {carrier}")


def _case(carrier: str, result: Result) -> Case:
    failure = f"expected {result.expected}; {result.came} ({result.source})"
    return Case(
        group=f"{carrier}.{result.level}",
        name=result.name,
        took_s=result.took_s,
        failure=failure if result.verdict == "failed" else None,
        error=result.came if result.verdict == "error" else None,
    )
