"""The visual search application: a page and a REST interface over one model in memory."""
