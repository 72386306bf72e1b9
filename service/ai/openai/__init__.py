"""OpenAI, or any server that talks like it: where it is, with which key, and what goes wrong."""
