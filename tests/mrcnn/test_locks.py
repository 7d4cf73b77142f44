"""One program at a time in a folder, whatever becomes of it."""

import errno
import logging
import signal
import subprocess
import sys

import pytest

from mrcnn import locks
from mrcnn.locks import LOCK, InUseError, alone_in

HOLD = """
import sys, time
from mrcnn.locks import alone_in

with alone_in(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another program that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_another_program_is_kept_out_until_it_ends_or_is_killed(tmp_path, holder):
    with pytest.raises(InUseError, match=r"at work in .*run\. Wait until it ends"):
        with alone_in(tmp_path / "run"):
            pytest.fail("the folder is in use")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with alone_in(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK).exists()
    assert not list((tmp_path / "run").iterdir())


def test_the_same_program_does_not_enter_twice_at_once(tmp_path):
    with alone_in(tmp_path):
        with pytest.raises(InUseError), alone_in(tmp_path):
            pytest.fail("the folder is in use")
        assert (tmp_path / LOCK).exists()  # the one refused did not remove it
    with alone_in(tmp_path):
        pass


def test_an_error_sets_free(tmp_path):
    with pytest.raises(ValueError, match="mine"), alone_in(tmp_path):
        raise ValueError("mine")
    with alone_in(tmp_path):
        pass


def test_a_lock_whose_file_was_deleted_meanwhile_keeps_nobody_out(tmp_path, monkeypatch):
    """Another program ends between our opening of its file and our locking of it."""
    lock, tries = locks._lock, []

    def deleted_at_first(file):
        lock(file)
        tries.append(file)
        if len(tries) == 1:
            (tmp_path / LOCK).unlink()

    monkeypatch.setattr(locks, "_lock", deleted_at_first)
    with alone_in(tmp_path):
        assert len(tries) == 2
        with pytest.raises(InUseError), alone_in(tmp_path):
            pytest.fail("the folder is in use")


def test_a_drive_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", refuse)
    with caplog.at_level(logging.WARNING), alone_in(tmp_path):
        assert "keep other programs out" in caplog.text
