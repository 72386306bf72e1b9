"""Recorded calls: the format, the recorder, and what is taken out before a file is shown."""
