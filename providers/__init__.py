"""Carriers: each folder turns one carrier's words into the bridge's own and back, without I/O."""
