"""What an operator relies on in deploy/, read from the files: no container engine is needed."""

import re
from pathlib import Path
from typing import Any

import yaml

from service.calls.metrics import Metrics

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def _stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the Dockerfile, as (keyword, rest)."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in lines]
    starts = [i for i, (keyword, _) in enumerate(pairs) if keyword == "FROM"]
    return [pairs[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]


def _compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return document


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_image_runs_as_an_ordinary_user() -> None:
    users = [rest for keyword, rest in _stages()[-1] if keyword == "USER"]
    assert users
    assert users[-1].split(":")[0] not in ("root", "0")


def test_the_image_has_no_compiler_and_takes_only_wheels_with_known_hashes() -> None:
    text = " && ".join(rest for stage in _stages() for keyword, rest in stage if keyword == "RUN")
    assert "apt-get" not in text
    from_index = [c for c in text.split("&&") if "pip install" in c and "--requirement" in c]
    assert from_index
    for command in from_index:
        assert "--require-hashes" in command
        assert "--no-deps" in command  # the lock is complete, and nothing else is to come in
        assert "--only-binary :all:" in command


def test_the_image_says_whether_it_is_healthy() -> None:
    (check,) = (rest for keyword, rest in _stages()[-1] if keyword == "HEALTHCHECK")
    assert "/healthz" in check
    assert "timeout=" in check


def test_every_file_that_the_image_copies_exists_and_is_let_through() -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split("\n")
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    for stage in _stages():
        for keyword, rest in stage:
            if keyword != "COPY" or rest.startswith("--from"):
                continue
            for source in rest.split()[:-1]:
                assert source in let_through
                assert (ROOT / source).exists()
    assert ".env" not in let_through


def test_redis_keeps_what_it_was_told() -> None:
    redis = _compose()["services"]["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert any(volume.endswith(":/data") for volume in redis["volumes"])


def test_the_drain_ends_before_the_process_is_killed() -> None:
    bridge = _compose()["services"]["bridge"]
    drain = int(bridge["environment"]["CALLBRIDGE_DRAIN_SECONDS"])
    assert _seconds(bridge["stop_grace_period"]) > drain


def test_only_the_proxy_is_reachable_from_outside() -> None:
    services = _compose()["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert services["bridge"]["environment"]["CALLBRIDGE_PUBLIC_URL"].startswith("https://")
    caddyfile = (DEPLOY / "Caddyfile").read_text("utf-8")
    assert "reverse_proxy bridge:8080" in caddyfile
    assert re.search(r"@inside path .*/metrics", caddyfile)


def test_every_metric_to_alert_on_is_exported() -> None:
    exported = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in Metrics().registry.collect()
    }
    readme = (DEPLOY / "README.md").read_text("utf-8")
    named = set(re.findall(r"`(callbridge_[a-z_]+)`", readme))
    assert named
    assert named <= exported
