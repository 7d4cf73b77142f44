"""Images, masks and videos as arrays: read, resized, written."""
