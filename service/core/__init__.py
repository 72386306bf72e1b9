"""Pure rules of a live call: no I/O, no clock, no asyncio, no logging."""
