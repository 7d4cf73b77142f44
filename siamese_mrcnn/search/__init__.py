"""Searching photos for things that references show, and a library of such things."""
