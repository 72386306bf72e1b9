"""Breaks one line of the bridge at a time, and shows which recorded call finds it: `python -m
bench.mutations`.

Works on a copy of this repository; a line that is not there any more is a fault of this file.
Ends with 1 when a break passes unnoticed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[1]
COPIED = ("service", "providers", "agents", "fixtures")
SHOWN = 2
WIDTH = 160
FURTHER = " " * 12
FOUND = 1
"""What `callbridge replay` ends with when a call differs."""


class Break(Struct, frozen=True):
    """One line that is wrong on purpose, the cassettes that are to notice, and what they say."""

    rule: str
    file: str
    before: str
    after: str
    points_at: str
    cassettes: tuple[str, ...]


BREAKS = (
    Break(
        "barge-in: the carrier is not told to fall silent",
        "service/core/dialog.py",
        "return [*commands, ClearAudio(), *self._speaking.interrupt(now_ms)]",
        "return [*commands, *self._speaking.interrupt(now_ms)]",
        "barge-in",
        (
            "twilio/inbound-caller-interrupts-greeting",
            "telnyx/inbound-caller-interrupts-greeting",
        ),
    ),
    Break(
        "barge-in: who speaks does not interrupt",
        "service/core/dialog.py",
        "                return self._barge_in(now_ms)\n",
        "                return []\n",
        "barge-in",
        ("twilio/inbound-caller-interrupts-twice", "telnyx/inbound-caller-interrupts-twice"),
    ),
    Break(
        "mark ledger: what was sent counts as heard",
        "service/core/playout.py",
        "by_clock = self.position_ms - self.ahead_ms(now_ms)",
        "by_clock = self.position_ms",
        "the ledger of marks",
        ("twilio/inbound-caller-hangs-up-mid-sentence", "telnyx/inbound-caller-interrupts-twice"),
    ),
    Break(
        "mark ledger: marks that come back because of a clear count",
        "service/core/playout.py",
        "        self._pending.clear()\n",
        "",
        "the ledger of marks",
        ("twilio/inbound-two-keys-at-once", "telnyx/inbound-two-keys-at-once"),
    ),
    Break(
        "mark ledger: a mark that never comes is waited for for ever",
        "service/core/playout.py",
        "            if now_ms < mark.expected_ms + MARK_GRACE_MS:",
        "            if now_ms < mark.expected_ms + MARK_GRACE_MS * 100:",
        "the ledger of marks",
        ("twilio/inbound-marks-lost", "telnyx/inbound-marks-lost"),
    ),
    Break(
        "users: what they want said is refused",
        "service/calls/api.py",
        "        return await self._tell(request, SayRequested(say.text))",
        '        return problem(409, "call.ended", "the call has ended")',
        "what users may do to a call",
        ("twilio/inbound-user-has-something-said", "telnyx/inbound-user-has-something-said"),
    ),
    Break(
        "Twilio's signature: any will do",
        "providers/twilio/signature.py",
        "if hmac.compare_digest(_hmac(token, url, signed_fields).encode(), told):",
        "if told:",
        "the signature check",
        (
            "twilio/outbound-webhook-signed-with-another-key",
            "twilio/outbound-webhook-changed-after-signing",
        ),
    ),
    Break(
        "Twilio's signature: the form's fields are left out",
        "providers/twilio/signature.py",
        'return "".join(name + value for name, value in sorted(set(fields)))',
        'return ""',
        "the signature check",
        ("twilio/outbound-busy",),
    ),
    Break(
        "Telnyx's signature: nobody looks at it",
        "providers/telnyx/signature.py",
        "        key.verify(signature, _signed_bytes(timestamp, body))",
        "        pass",
        "the signature check",
        (
            "telnyx/outbound-webhook-signed-with-another-key",
            "telnyx/outbound-webhook-changed-after-signing",
        ),
    ),
    Break(
        "Telnyx's signature: it never grows old",
        "providers/telnyx/signature.py",
        "TOLERANCE_S = 300",
        "TOLERANCE_S = 3000",
        "the signature check",
        ("telnyx/outbound-webhook-ten-minutes-old",),
    ),
    Break(
        "reorder window: frames are heard as they come",
        "service/core/reorder.py",
        "        self._held[number] = (item, now_ms)\n",
        "        return [item]\n",
        "the reorder window",
        ("twilio/inbound-long-frames-out-of-order", "telnyx/inbound-long-frames-out-of-order"),
    ),
    Break(
        "reorder window: a repeated frame is heard twice",
        "service/core/reorder.py",
        "        elif not 0 <= ahead <= MAX_AHEAD_FRAMES:",
        "        elif ahead > MAX_AHEAD_FRAMES:",
        "the reorder window",
        ("twilio/inbound-frames-doubled", "telnyx/inbound-frames-doubled"),
    ),
    Break(
        "call table: an ended call can be moved again",
        "service/core/calls.py",
        "    if call.state is CallState.ENDED:\n        return _after_end(call, event)\n",
        "",
        "the call table",
        ("twilio/outbound-news-backwards", "telnyx/outbound-news-backwards"),
    ),
    Break(
        "call table: the last word about the end counts, not the first",
        "service/core/calls.py",
        "return call if call.pending_end is not None else replace(call, pending_end=end)",
        "return replace(call, pending_end=end)",
        "the call table",
        ("telnyx/inbound-agent-hangs-up-and-the-webhook-is-first",),
    ),
    Break(
        "token check: it opens a socket after the stream's stop",
        "service/bridge/endpoint.py",
        "or call.stream_stopped_at:",
        "or False:",
        "the token check",
        ("twilio/inbound-socket-with-a-late-token",),
    ),
    Break(
        "token check: the secret in the token is not compared",
        "service/calls/store.py",
        'not hmac.compare_digest((secret or "").encode(), given.encode(errors="replace"))',
        "not given",
        "the token check",
        (
            "twilio/inbound-socket-with-a-foreign-token",
            "telnyx/inbound-socket-with-a-foreign-token",
        ),
    ),
    Break(
        "token check: a start may name another call",
        "service/bridge/endpoint.py",
        "elif not await self._is_for(call, started):",
        "elif False:",
        '{"code":1008}',
        ("twilio/inbound-socket-for-another-call", "telnyx/inbound-socket-for-another-call"),
    ),
)


def main(words: Sequence[str]) -> int:
    """Try each break whose rule has all these words in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only breaks whose rule has these words")
    given = parser.parse_args(words)
    wanted = [one for one in BREAKS if all(word in one.rule for word in given.words)]
    unnoticed = 0
    for one in wanted:
        with tempfile.TemporaryDirectory(prefix="callbridge-") as name:
            unnoticed += not _try(one, Path(name))
    print(f"\n{len(wanted)} breaks, {unnoticed} unnoticed by a cassette that should have seen them")
    return 1 if unnoticed else 0


def _try(one: Break, copy: Path) -> bool:
    """Whether every cassette notices."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / one.file
    text = file.read_text("utf-8")
    if text.count(one.before) != 1:
        raise SystemExit(f"{one.file} has not once: {one.before}")
    file.write_text(text.replace(one.before, one.after), "utf-8")
    print(f"\n## {one.rule}\n\n    {one.file}")
    print(_indented(one.before, "    - "))
    print(_indented(one.after or "(nothing)", "    + "))
    noticed = [_notices(one, cassette, copy) for cassette in one.cassettes]
    return all(noticed)


def _indented(text: str, head: str) -> str:
    return "\n".join(head + line for line in textwrap.dedent(text).strip("\n").splitlines())


def _notices(one: Break, cassette: str, copy: Path) -> bool:
    """Whether the cassette fails, and one of its differences points at the rule."""
    command = (sys.executable, "-m", "service", "replay", f"fixtures/{cassette}.jsonl")
    run = subprocess.run(
        [*command, "--agents", "agents"], cwd=copy, capture_output=True, text=True, check=False
    )
    summary, *rest = run.stdout.splitlines() or [run.stderr.strip() or "nothing was said"]
    found = _differences(rest)
    pointing = [text for text in found if one.points_at in text]
    if run.returncode != FOUND:
        print(f"\n    {summary}: NOT NOTICED")
    elif not pointing:
        print(f"\n    {summary}: POINTS ELSEWHERE\n" + "\n".join(found[:SHOWN]))
    else:
        print(f"\n    {summary}\n" + "\n".join(pointing[:SHOWN]))
    return run.returncode == FOUND and bool(pointing)


def _differences(lines: Sequence[str]) -> list[str]:
    """Each with its further lines."""
    found: list[str] = []
    for line in lines:
        if line.startswith(FURTHER) and found:
            found[-1] += "\n" + line[:WIDTH]
        elif line.strip():
            found.append(line[:WIDTH])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
