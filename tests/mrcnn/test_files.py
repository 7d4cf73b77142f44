"""A file is replaced whole or not at all: errors, a full disk and a killed process included."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mrcnn import files
from mrcnn.files import UnwritableError, atomic_path, new_folder, written_whole
from mrcnn.locks import InUseError

SAVE_BY_HAND = """
import sys, time
from mrcnn import files
from mrcnn.files import atomic_path

with atomic_path(sys.argv[1]) as temporary, open(temporary, "wb") as file:
    file.write(b"half of the new")
    file.flush()
    print("halfway", flush=True)
    time.sleep(60)
"""

# Writing beyond the limit fails as on a full disk. HDF5 itself crashes there at some sizes.
FULL_DISK = """
import resource, sys
import keras
import numpy as np
from mrcnn.weights.checkpoints import save_optimizer
from mrcnn.weights.half_precision import halve
from mrcnn.weights.hdf5 import save_keras_weights, save_original_weights

folder = sys.argv[1]
model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1000, name="fc")])
model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
tensors = {"fc/kernel": np.ones((100, 1000), "f"), "fc/bias": np.ones(9, "f")}
save_original_weights(tensors, f"{folder}/whole.h5", [("fc", ["fc"])])
for size in (100, 40_000, 150_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for save in (
        lambda: save_original_weights(tensors, f"{folder}/new.h5", [("fc", ["fc"])]),
        lambda: save_keras_weights(model, f"{folder}/new.weights.h5"),
        lambda: save_optimizer(model, f"{folder}/new.weights.h5", {}),
        lambda: halve(f"{folder}/whole.h5", f"{folder}/half.h5"),
    ):
        try:
            save()
        except OSError as error:
            print(error)
"""


def start(program, *arguments):
    """Run a program that may use the packages; output is read from pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("old")
    return path


def test_the_file_appears_when_it_is_complete(path):
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names_in(path.parent) == ["weights.h5"]


def test_the_folder_is_made(tmp_path):
    with atomic_path(tmp_path / "run" / "one" / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "run" / "one" / "file").read_text() == "new"


def test_the_temporary_name_is_hidden_and_has_the_suffix_asked_for(path):
    with atomic_path(path, suffix=".weights.h5") as temporary:
        assert temporary.name.startswith(".weights.h5") and str(temporary).endswith(".weights.h5")
        assert temporary.parent == path.parent  # a move across disks would not be atomic
        temporary.write_text("new")


@pytest.mark.parametrize("error", [OSError("no space"), ValueError("other")])
def test_an_error_leaves_the_old_file_and_nothing_else(path, error):
    with pytest.raises((OSError, ValueError)), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names_in(path.parent) == ["weights.h5"]


def test_errors_that_have_nothing_to_do_with_files_pass_unchanged(path):
    with pytest.raises(ValueError, match=r"^other$"), atomic_path(path):
        raise ValueError("other")


def test_the_sentence_names_the_file_and_says_that_the_old_one_is_safe(path):
    with pytest.raises(UnwritableError, match=r"weights\.h5 could.*unchanged.*no space"):
        with atomic_path(path):
            raise OSError("no space")


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(path):
    with pytest.raises(OSError, match="could not be written"):
        with atomic_path(path / "below a file" / "weights.h5"):
            pytest.fail("there is nothing to write to")


def save_elsewhere(path):
    """Save another file into the folder, as a process does that has not seen the folder yet."""
    files._clear_leftovers.cache_clear()
    with written_whole(path.with_name("other.txt")) as file:
        file.write("other")


def test_a_killed_process_leaves_the_old_file_and_nothing_for_long(path):
    process = start(SAVE_BY_HAND, path)
    assert process.stdout.readline() == "halfway\n"
    save_elsewhere(path)
    (unfinished,) = path.parent.glob(".*")
    assert unfinished.read_text() == "half of the new"  # what is being written stays
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert path.read_text() == "old" and unfinished.exists()
    save_elsewhere(path)
    assert names_in(path.parent) == ["other.txt", "weights.h5"]


def test_what_may_be_of_another_computer_goes_after_a_day(path):
    gone = [".a.json.999999999.partial", ".a.weights.h5.1@00000000.partial.weights.h5"]
    new, old = [".a.json.7@00000000.partial"], [".mine.partial", "b.8.partial", ".c.5.partial.d-e"]
    for name in gone + new + old:
        (path.parent / name).write_text("half")
    (path.parent / ".folder.6.partial").mkdir()
    old.append(".folder.6.partial")
    for name in gone + old:
        os.utime(path.parent / name, (0, time.time() - 25 * 3600))
    save_elsewhere(path)
    assert names_in(path.parent) == sorted([*new, *old, "other.txt", "weights.h5"])


def test_a_disk_with_too_little_room_is_refused_before_anything_is_written(path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10**6))
    with pytest.raises(OSError, match=r"has 1\.0 MB left, but 3\.0 MB are needed\. Free 2\.0 MB"):
        with atomic_path(path, size=3 * 10**6):
            pytest.fail("there is no room")
    with atomic_path(path, size=10**6) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_leaves_the_old_files_and_says_so(tmp_path):
    names = ["half.h5", "new.h5", "new.optimizer.h5", "new.weights.h5"]
    for name in names:
        (tmp_path / name).write_text("old")
    process = start(FULL_DISK, tmp_path)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    for name in names:
        assert output.count(f"{tmp_path / name} could not be written") == 3, errors
        assert (tmp_path / name).read_text() == "old"
    assert names_in(tmp_path) == [*names, "whole.h5"]


def test_two_programs_do_not_make_one_folder(tmp_path):
    with new_folder(tmp_path / "drawn") as unfinished:
        (unfinished / "half.txt").write_text("half")
        with pytest.raises(InUseError), new_folder(tmp_path / "drawn"):
            pytest.fail("it is being made")
        assert (unfinished / "half.txt").read_text() == "half"


def test_a_new_folder_is_whole_or_not_there(tmp_path):
    path = tmp_path / "data" / "drawn"
    with pytest.raises(KeyboardInterrupt), new_folder(path) as unfinished:
        (unfinished / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert not path.exists()
    with new_folder(path) as unfinished:
        assert not [path for path in unfinished.iterdir() if path.suffix == ".txt"]
        (unfinished / "whole.txt").write_text("whole")
    assert [each.name for each in sorted(tmp_path.rglob("*"))] == ["data", "drawn", "whole.txt"]


def test_interrupted_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as file:
        file.write("half of the new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with written_whole(path) as file:
        file.write("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
