"""Whole instances as processes, and what is done to them: a package, so that its pair ends with it."""
