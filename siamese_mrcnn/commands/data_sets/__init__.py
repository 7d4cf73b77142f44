"""The commands that bring, convert or draw data sets."""
