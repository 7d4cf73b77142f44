"""Drawn data sets: shapes, and symbols in cluttered scenes."""
