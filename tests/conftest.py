"""In which order the files of tests are given to processes, and how these look for garbage."""

import gc

import pytest

LONGEST = ("test_notebooks.py", "test_sample_notebooks.py")


# Graphs of TensorFlow are many objects, among which Python would look for garbage all the time.
gc.set_threshold(100_000, 50, 100)


def pytest_addoption(parser):
    parser.addoption("--guide", metavar="FOLDER", help="write the pictures of docs/serve.md there")


@pytest.fixture(scope="module", autouse=True)
def collected_garbage():
    """Models of earlier modules do not stay in memory."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def kernel():
    """The `kernel.Kernel` that runs the notebooks of a file."""
    from kernel import running_kernel
    from sample_notebooks import SAMPLES

    with running_kernel(SAMPLES) as running:
        yield running


def pytest_collection_finish():
    """What the libraries hold for good is not looked through again after every module."""
    gc.freeze()


def pytest_collection_modifyitems(items):
    """The longest begin, so that no process waits for them alone at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
