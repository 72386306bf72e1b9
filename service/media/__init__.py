"""Sound as bytes: formats, detectors, tones."""
