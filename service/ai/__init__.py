"""The voices: each engine listens and answers."""
