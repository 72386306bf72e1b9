"""The Realtime API: sessions over a socket, spoken and written, and transcription alone."""
