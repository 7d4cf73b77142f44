"""A file is replaced whole or not at all: errors, a full disk and a killed process included."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mrcnn import files
from mrcnn.files import atomic_path, hdf5_size, new_folder, written_whole
from mrcnn.weights.hdf5 import save_original_weights
from mrcnn.weights.layout import flat

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

# Writing beyond the limit fails like writing on a full disk does.
FULL_DISK = """
import resource, sys
import keras
import numpy as np
from mrcnn.weights.hdf5 import save_keras_weights, save_original_weights

resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1000, name="fc")])
tensors = {"fc/kernel": np.ones((100, 1000), "f"), "fc/bias": np.ones(9, "f")}
for save in (
    lambda: save_original_weights(tensors, f"{sys.argv[1]}/new.h5", [("fc", ["fc"])]),
    lambda: save_keras_weights(model, f"{sys.argv[1]}/new.weights.h5"),
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


@pytest.mark.parametrize("error", [OSError("no space"), RuntimeError("h5"), ValueError("other")])
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
    with pytest.raises(OSError, match=r"weights\.h5 could not be written.*unchanged.*no space"):
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


def test_the_size_asked_for_is_that_of_the_file_or_a_little_more(tmp_path):
    tensors = {f"fc{number}/kernel": np.ones((100, 20), "f") for number in range(40)}
    groups = flat([name.split("/")[0] for name in tensors])
    save_original_weights(tensors, tmp_path / "weights.h5", groups)
    size = (tmp_path / "weights.h5").stat().st_size
    assert size <= hdf5_size(tensors.values()) < 2 * size


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_leaves_the_old_files_and_says_so(tmp_path):
    names = ["new.h5", "new.weights.h5"]
    for name in names:
        (tmp_path / name).write_text("old")
    output, errors = start(FULL_DISK, tmp_path).communicate()
    for name in names:
        assert f"{tmp_path / name} could not be written" in output, errors
        assert (tmp_path / name).read_text() == "old"
    assert names_in(tmp_path) == names


def test_a_new_folder_is_whole_or_not_there(tmp_path):
    path = tmp_path / "data" / "drawn"
    with pytest.raises(KeyboardInterrupt), new_folder(path) as unfinished:
        (unfinished / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert not path.exists()
    with new_folder(path) as unfinished:
        assert not list(unfinished.iterdir())
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
