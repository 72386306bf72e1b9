"""The recorded calls of this repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
AGENTS = ROOT / "agents"
CASSETTES = sorted((ROOT / "fixtures").glob("*/*.jsonl"))
TALKED = ROOT / "fixtures/twilio/inbound-talked-through.jsonl"
INTERRUPTS = ROOT / "fixtures/telnyx/inbound-caller-interrupts-greeting.jsonl"
BUSY = ROOT / "fixtures/telnyx/outbound-busy.jsonl"
