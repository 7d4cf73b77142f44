"""HDF5 files of strangers: what they declare, and where it lies; ours appear as a whole."""

import io

import h5py
import numpy as np
import pytest

from mrcnn.files import UnwritableError
from mrcnn.weights.hdf5_files import ALWAYS_ALLOWED, WeightsError, open_hdf5, put, write_hdf5

MILLION = 1_000_000


def made(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def refused(path, words):
    with pytest.raises(WeightsError, match=words) as caught, open_hdf5(path):
        pytest.fail("it was opened")
    assert str(path) in str(caught.value)


def compressed(count):
    return lambda file: file.create_dataset("w", (count,), "f4", chunks=True, compression="gzip")


def test_more_than_a_file_can_hold_is_told_before_it_is_read(tmp_path):
    path = made(tmp_path / "a.h5", compressed(5000 * MILLION))
    refused(path, r"has [\d,]+ bytes, but declares 20,000,000,000 bytes of data")


def test_several_parts_count_together(tmp_path):
    def fill(file):
        for name in "abcd":
            file.create_dataset(f"deep/{name}", (ALWAYS_ALLOWED // 16,), "f4", chunks=True)
        file["deep"].create_dataset("e", (1,), "f4")

    refused(made(tmp_path / "a.h5", fill), "declares 16,777,220 bytes of data")


def test_what_small_files_declare_is_read_up_to_a_limit(tmp_path):
    path = made(tmp_path / "a.h5", compressed(ALWAYS_ALLOWED // 4))
    with open_hdf5(path) as file:
        assert file["w"].shape == (ALWAYS_ALLOWED // 4,)


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret").write_bytes(b"password")
    return made(tmp_path / "other.h5", lambda file: file.create_dataset("w", data=np.ones(2)))


def external_storage(file, secret):
    where = [(str(secret.with_name("secret")), 0, 8)]
    file.create_dataset("w", (8,), "u1", external=where)


def virtual(file, secret):
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "w", (2,))
    file.create_virtual_dataset("w", layout)


def external_link(file, secret):
    file.create_group("group")["w"] = h5py.ExternalLink(str(secret), "/w")


def soft_link(file, secret):
    file["a"] = np.ones(2)
    file["w"] = h5py.SoftLink("/a")


def second_name(file, secret):
    file["a"] = np.ones(2)
    file["w"] = file["a"]


@pytest.mark.parametrize("fill", [external_storage, virtual, external_link, soft_link, second_name])
def test_other_files_and_links_are_not_followed(tmp_path, secret, fill):
    path = made(tmp_path / "a.h5", lambda file: fill(file, secret))
    refused(path, "keeps '.*' in another file or place")


def test_errors_of_reading_name_the_file(tmp_path):
    path = made(tmp_path / "a.h5", lambda file: file.create_dataset("w", data=np.ones(2)))
    with pytest.raises(WeightsError, match=r"a\.h5 is not a complete HDF5 file"):
        with open_hdf5(path) as file:
            file["nothing"]


def test_a_file_appears_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_hdf5(path) as file:
        file["w"] = np.ones(2)
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with write_hdf5(path) as file:
        file["w"] = np.ones(2)
        assert path.read_text() == "old"
    with open_hdf5(path) as file:
        assert file["w"][:].tolist() == [1, 1]
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    path.write_text("old")
    monkeypatch.setattr("mrcnn.files.require_room", lambda folder, size: full(size))

    def full(size):
        assert size == 8
        raise OSError("The disk has 0 bytes left.")

    with pytest.raises(UnwritableError, match=r"a\.h5 could not be written.*0 bytes left"):
        put(io.BytesIO(b"12345678"), path)
    assert path.read_text() == "old"
