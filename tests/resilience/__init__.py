"""Whole instances as processes. A package, so that the pair of them ends with its tests."""
