"""Recorded calls: cassettes, the virtual clock they run on, and what they must come out as."""
