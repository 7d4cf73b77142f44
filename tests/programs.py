"""Programs that run beside the tests: how many devices there are is decided once a process."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import keras

TESTS = Path(__file__).parent


@contextlib.contextmanager
def running(program, *arguments):
    """Run a Python program on the backend of the tests; it ends with the context at the latest.

    Args:
        program: its path below tests/.
        arguments: of its command line.
    """
    paths = [str(TESTS), str(TESTS / "golden"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, TESTS / program, *arguments],
        env={
            **os.environ,
            "KERAS_BACKEND": keras.backend.backend(),
            "PYTHONPATH": os.pathsep.join(paths),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def assert_succeeds(process):
    """Wait for the end of a program, and show its last words if it failed."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
