"""Speech to speech by the Realtime API: what it means, what we want of it, and the connection."""
