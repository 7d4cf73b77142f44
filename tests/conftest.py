"""In which order the files of tests are given to processes."""

LONGEST = ("test_notebooks.py", "test_sample_notebooks.py")


def pytest_collection_modifyitems(items):
    """The longest begin, so that no process waits for them alone at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
