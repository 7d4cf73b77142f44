"""Files of weights: read by name, written whole, found again."""
