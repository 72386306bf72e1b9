"""`callbridge doctor`: every setting beside the world, one line each, with what to do about it.

It changes nothing. Numbers are masked and no secret is shown, so its output can be passed on.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx

from providers.base import Finding, Provider
from providers.catalog import catalog
from service import logs
from service.calls.control import DEADLINE_S, Control
from service.calls.metrics import Metrics
from service.cli import checks
from service.cli.rehearsal import rehearse
from service.clock import Clock
from service.core.errors import ConfigError
from service.settings import Settings, environment

Show = Callable[[str, Finding], None]
"""Prints a finding about a part."""


def main(argv: list[str]) -> int:
    """0: nothing is in the way of a call, 1: something is, 2: called wrongly."""
    parser = argparse.ArgumentParser(
        prog="callbridge doctor", description="Check every setting against the world."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    show = _show_json if parser.parse_args(argv).json else _show_text
    return 0 if asyncio.run(examine(environment(), show)) else 1


async def examine(
    env: Mapping[str, str], show: Show, *, transport: httpx.AsyncBaseTransport | None = None
) -> bool:
    """Show every finding, in a fixed order; whether none of them is a fault."""
    well = True

    def tell(part: str, findings: list[Finding]) -> None:
        nonlocal well
        for finding in findings:
            well = well and finding.grade != "fail"
            show(part, finding)

    try:
        settings = Settings.load(env)
    except ConfigError as error:
        tell("settings", _faults(error))
        return well
    providers, findings = _providers(settings)
    tell("settings", findings)
    async with httpx.AsyncClient(transport=transport, timeout=DEADLINE_S) as http:
        control = Control(http, providers, Metrics())
        async with asyncio.TaskGroup() as group:
            examinations = [
                ("public url", checks.public_url(settings, control)),
                ("redis", checks.redis(settings)),
                ("engine", rehearse()),
                ("openai", checks.openai(settings, control)),
                *((p.name, checks.carrier(p, control, Clock())) for p in providers.values()),
            ]
            running = [(part, group.create_task(_guarded(check))) for part, check in examinations]
            tell("api keys", checks.api_keys(settings))
            tell("agents", checks.agents(settings))
            tell("carriers", checks.carriers(providers.values()))
            for part, task in running:
                tell(part, await task)
    return well


async def _guarded(check: Coroutine[Any, Any, list[Finding]]) -> list[Finding]:
    """A URL among the settings may have a good form and lead nowhere at all, as port 99999."""
    try:
        return await check
    except (httpx.InvalidURL, OverflowError):
        return [Finding("fail", "a URL among its settings leads nowhere", "correct it")]


def _providers(settings: Settings) -> tuple[dict[str, Provider], list[Finding]]:
    try:
        return catalog(settings), [Finding("ok", "they can be read and fit together")]
    except ConfigError as error:
        return {}, [*_faults(error), Finding("note", "no carrier is asked before that is right")]


def _faults(error: ConfigError) -> list[Finding]:
    advice = "correct it; .env.example tells each setting's form"
    return [Finding("fail", fault, advice) for fault in error.detail.splitlines()]


def _show_text(part: str, finding: Finding) -> None:
    label = "FAIL" if finding.grade == "fail" else finding.grade
    told = f"{finding.what}; {finding.advice}" if finding.advice else finding.what
    masked = logs.redact(None, "", {"told": told})["told"]
    print(f"{label:5}{part:11}{masked}", flush=True)


def _show_json(part: str, finding: Finding) -> None:
    line = {
        "part": part,
        "result": finding.grade,
        "what": finding.what,
        "advice": finding.advice or None,
    }
    print(json.dumps(logs.redact(None, "", line), ensure_ascii=False), flush=True)
