"""One live call: a socket on one side, an engine on the other."""
