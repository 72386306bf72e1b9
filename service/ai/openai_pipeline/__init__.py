"""Recognition, a language model and speech, each from a server of its own: a conversation."""
