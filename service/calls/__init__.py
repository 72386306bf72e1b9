"""The slow life of a call: webhooks, REST, Redis."""
