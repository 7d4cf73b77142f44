"""In which order the files of tests are given to processes."""

LONGEST = "test_notebooks.py"


def pytest_collection_modifyitems(items):
    """The longest begins, so that no process waits for it alone at the end."""
    items.sort(key=lambda item: item.path.name != LONGEST)
