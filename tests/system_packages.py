"""Installs or names what the tests need from the system; run by `make packages` before any venv.

It uses the standard library alone. As root on Debian or Ubuntu it installs what is missing with
apt-get; elsewhere it changes nothing and says what to get, and how.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SOUNDS = Path("/usr/share/asterisk/sounds/en")
SOUNDS_URL = (
    "https://downloads.asterisk.org/pub/telephony/sounds/asterisk-core-sounds-en-wav-current.tar.gz"
)


class Need(NamedTuple):
    """One thing that must be there."""

    what: str
    there: bool
    apt: str
    elsewhere: str


def venv_needs() -> list[Need]:
    """What `python -m venv` needs."""
    there = all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return [Need("Python's venv with pip", there, package, "the installer of python.org")]


def tests_needs() -> list[Need]:
    """What the tests start or read."""
    chromium = any(shutil.which(name) for name in ("chromium", "chromium-browser"))
    return [
        Need(
            "redis-server", bool(shutil.which("redis-server")), "redis-server", "brew install redis"
        ),
        Need("chromium", chromium, "chromium", "brew install chromium"),
        Need(
            f"human speech in {SOUNDS}",
            (SOUNDS / "vm-goodbye.wav").is_file(),
            # The first has the sounds, the second the link `en` to them.
            "asterisk-core-sounds-en-wav asterisk-core-sounds-en",
            f"unpack {SOUNDS_URL} there",
        ),
    ]


def install(packages: list[str]) -> None:
    """Install Debian packages without asking anything."""
    # RUNLEVEL=1: the Redis that Debian would start at once is of no use here.
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    print(f"installing {' '.join(packages)} with apt-get", flush=True)
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "--quiet=2", *command], env=env, check=True)


def main() -> int:
    """0 when everything is there in the end."""
    needs = venv_needs if "--venv-only" in sys.argv[1:] else lambda: venv_needs() + tests_needs()
    missing = [need for need in needs() if not need.there]
    apt_get = shutil.which("apt-get") is not None
    if missing and apt_get and os.geteuid() == 0:
        install([package for need in missing for package in need.apt.split()])
        importlib.invalidate_caches()
        missing = [need for need in needs() if not need.there]
    for need in missing:
        print(f"missing: {need.what}")
        print(f"  get it: {f'apt-get install {need.apt}' if apt_get else need.elsewhere}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
