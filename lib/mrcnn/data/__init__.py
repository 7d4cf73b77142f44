"""From a data set to batches to learn from, and from detections back to the user's image."""
