"""The softphone: the page at `/`, with which a person puts themselves on the line."""
