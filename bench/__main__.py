"""`python -m bench`, which is `make bench`: load and cost of the service beside a bare server.

Runs of the two alternate, so that what drifts on the machine hits both.
"""

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

try:
    from bench import media_path, process, report, servers, speech
except ModuleNotFoundError as missing:
    raise SystemExit(f"No {missing.name}: {sys.executable} -m pip install -e '.[bench]'") from None

CALLS = (10, 50, 100, 200, 300)
VARIANTS_AT = 200
"""The variants with a real Redis and with the detector are measured at this many calls."""

BARE, SERVICE = "bare", "callbridge"

Open = Callable[[], AbstractContextManager[servers.Server]]


def main() -> None:
    """Measure, and print a table."""
    given = _arguments()
    if given.nice:
        process.hurry(given.nice)
    print(f"{report.machine()}\ncallers say {speech.source()}\n")
    if given.only in (None, "load"):
        rows = _load(given)
        print("\n" + report.plain(rows))
        if given.markdown:
            print("\n" + report.markdown(rows))
        print("".join(f"\nnote: {note}" for note in report.notes(rows)))
    if given.only in (None, "path"):
        media_path.main()


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS, metavar="N")
    parser.add_argument("--seconds", type=float, default=4, help="length of each window")
    parser.add_argument("--rounds", type=int, default=1, help="repeat all, and take medians")
    parser.add_argument("--only", choices=("load", "path"), help="cost and lateness, or delays")
    parser.add_argument(
        "--nice", type=int, default=0, help="e.g. -20, where other work runs beside (needs root)"
    )
    parser.add_argument("--no-variants", action="store_true", help="embedded store, no detector")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown too")
    return parser.parse_args()


def _load(given: Namespace) -> list[report.Row]:
    plan = [
        (name, factory, calls) for calls in given.calls for name, factory in _servers(given, calls)
    ]
    rows: dict[tuple[str, int], report.Row] = {}
    for _ in range(given.rounds):
        for name, factory, calls in plan:
            with factory() as server:
                seen = servers.load(server, calls=calls, seconds=given.seconds)
            if (name, calls) not in rows:
                beside = rows[BARE, calls].runs if name != BARE else []
                rows[name, calls] = report.Row(name, [], beside)
            rows[name, calls].runs.append(seen)
            print(report.progress(name, seen), flush=True)
    return [*rows.values()]


def _servers(given: Namespace, calls: int) -> list[tuple[str, Open]]:
    both: list[tuple[str, Open]] = [(BARE, servers.bare), (SERVICE, servers.service)]
    if given.no_variants or calls != VARIANTS_AT:
        return both
    with_detector = partial(servers.service, detector=True)
    variants: list[tuple[str, Open]] = [(f"{SERVICE}, detector", with_detector)]
    if shutil.which("redis-server"):
        variants.append((f"{SERVICE}, Redis", partial(servers.service, real_redis=True)))
    return both + variants


if __name__ == "__main__":
    main()
