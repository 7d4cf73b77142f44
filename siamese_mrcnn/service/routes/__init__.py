"""The REST interface, a file for each kind of thing that it is about."""
