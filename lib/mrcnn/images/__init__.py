"""Images and masks as arrays: read, resized."""
