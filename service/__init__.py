"""The bridge between phone carriers and AI voices. Importing this package does nothing."""
