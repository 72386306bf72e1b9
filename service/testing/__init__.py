"""Tests of agents: a pytest plugin that calls them, scripted in code, on virtual time."""
