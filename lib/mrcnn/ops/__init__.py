"""Arithmetic on boxes and maps that knows nothing of networks."""
