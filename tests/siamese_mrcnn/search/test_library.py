"""A library of references: kept whole whatever happens, encoded once for each model."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from mrcnn.files import UnwritableError
from mrcnn.images.image import ImageError, read_image
from mrcnn.locks import InUseError, alone_in
from siamese_mrcnn.config import Config
from siamese_mrcnn.search import library as library_module
from siamese_mrcnn.search import library_index
from siamese_mrcnn.search.library import ReferenceLibrary
from siamese_mrcnn.search.library_index import LibraryError
from siamese_mrcnn.search.reference import Reference
from tiny import picture


class Encoder:
    """A model whose vectors are the mean colours of the shots, times its weight."""

    def __init__(self, weight=1.0, **settings):
        self.config = type("Changed", (Config,), {"NAME": f"encoder{weight}", **settings})()
        self.weight, self.encoded = weight, []

    def encode_things(self, things):
        self.encoded += things
        return {
            name: [
                np.mean([crop.mean(axis=(0, 1)) for crop in crops], axis=0, dtype=np.float32)[None]
            ]
            for name, crops in things.items()
        }


@pytest.fixture
def library(tmp_path):
    return ReferenceLibrary(tmp_path / "library")


@pytest.fixture
def filled(library):
    library.add(
        "mug", [Reference(picture(30, 40, 1)), Reference(picture(50, 60, 2), (5, 10, 45, 50))]
    )
    library.add("key", Reference(picture(300, 200, 3)))
    return library


def content(library):
    """Every file below the folder with its bytes."""
    files = (path for path in library.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(library.folder)): path.read_bytes() for path in files}


def test_what_was_added_is_there(filled):
    again = ReferenceLibrary(str(filled.folder))
    assert again.names() == ["key", "mug"]
    assert "mug" in again and "cup" not in again and "" not in again
    first, second = again.crops("mug")
    np.testing.assert_array_equal(first, picture(30, 40, 1))
    np.testing.assert_array_equal(second, picture(50, 60, 2)[5:45, 10:50])
    assert read_image(again.thumbnail("key")).shape == (128, 85, 3)
    assert read_image(again.thumbnail("mug")).shape == (30, 40, 3)


def test_shots_are_appended(filled):
    filled.add("mug", [Reference(picture(20, 20, 5))])
    assert [crop.shape[0] for crop in filled.crops("mug")] == [30, 40, 20]
    assert read_image(filled.thumbnail("mug")).shape == (30, 40, 3)
    assert filled.entries()["mug"].shots == 3


def test_references_may_be_files(library, tmp_path):
    path = tmp_path / "a.png"
    library_module._save(picture(30, 40, 1), path)
    library.add("mug", Reference(path, (0, 0, 10, 20)))
    np.testing.assert_array_equal(library.crops("mug")[0], picture(30, 40, 1)[:10, :20])


def test_removing_and_renaming(filled):
    key = filled.crops("key")
    filled.rename("key", "  the key ")
    assert filled.names() == ["mug", "the key"]
    np.testing.assert_array_equal(filled.crops("the key"), key)
    with pytest.raises(LibraryError, match="thing 'the key' already"):
        filled.rename("mug", "the key")
    filled.rename("mug", "mug")
    filled.remove("mug")
    assert filled.names() == ["the key"]
    assert {path.name for path in filled.folder.iterdir()} == {
        "library.json",
        filled.entries()["the key"].id,
    }
    for method in (filled.remove, filled.crops, filled.thumbnail):
        with pytest.raises(LibraryError, match=r"no thing 'tha key'.*Did you mean 'the key'"):
            method("tha key")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("x" * 65, "has 65"),
        ("a/b", "slash"),
        ("a\\b", "slash"),
        ("..", "dot"),
        (".hidden", "dot"),
        ("a\nb", "control"),
        ("a\x1b[2J", "control"),
        ("a\u202eb", "control"),
        ("a\udc80", "control"),
        (3, "must be a text"),
    ],
)
def test_names_that_cannot_serve(filled, name, words):
    before = content(filled)
    with pytest.raises(LibraryError, match=words):
        filled.add(name, Reference(picture(9, 9)))
    with pytest.raises(LibraryError, match=words):
        filled.rename("mug", name)
    assert content(filled) == before


def test_names_of_any_language_and_length_are_no_file_names(filled):
    for name in ("CON", "Becher 'rot' & *?:", "カップ" * 21, "x" * 64, "e\u0301"):
        filled.add(name, Reference(picture(9, 9)))
    assert "\u00e9" in filled
    folders = {path.name for path in filled.folder.iterdir()} - {"library.json"}
    assert all(library_index.SAFE_ID.fullmatch(name) for name in folders) and len(folders) == 7


def test_nothing_is_added_if_one_picture_is_none(filled, tmp_path):
    before = content(filled)
    good = Reference(picture(9, 9))
    for bad in (Reference(tmp_path / "no.png"), Reference(picture(9, 9), (0, 0, 10, 9))):
        with pytest.raises(ImageError):
            filled.add("mug", [good, bad])
    with pytest.raises(LibraryError, match="at least one reference"):
        filled.add("mug", [])
    assert content(filled) == before


# --- vectors ------------------------------------------------------------------------------------


def test_vectors_are_made_once_for_each_model_and_shots(filled):
    one, other = Encoder(1.0), Encoder(2.0)
    (vector,) = filled.vectors("mug", one)
    np.testing.assert_array_equal(vector, one.encode_things({"mug": filled.crops("mug")})["mug"][0])
    one.encoded.clear()
    (again,) = ReferenceLibrary(filled.folder).vectors("mug", one)
    np.testing.assert_array_equal(again, vector)
    assert again.dtype == np.float32 and one.encoded == []
    assert list(filled.all_vectors(one)) == ["key", "mug"] and one.encoded == ["key"]
    known = filled.entries()
    assert known["mug"].weights == known["key"].weights is not None
    filled.vectors("mug", other)
    assert other.encoded == ["mug"]
    assert filled.entries()["mug"].weights != known["mug"].weights
    filled.add("mug", Reference(picture(20, 20, 5)), model=other)
    assert other.encoded == ["mug", "mug"]
    filled.vectors("mug", other)
    assert other.encoded == ["mug", "mug"]


def test_settings_of_detecting_do_not_matter_to_vectors(filled):
    for settings, count in (
        ({}, 1),
        ({"DETECTION_MIN_CONFIDENCE": 0.3, "IMAGES_PER_GPU": 7}, 0),
        ({"SUBTRACT_MEAN_FROM_REFERENCE": False}, 1),
    ):
        model = Encoder(**settings)
        filled.vectors("key", model)
        assert len(model.encoded) == count


def test_damaged_vectors_are_made_anew(filled, caplog):
    model = Encoder()
    (vector,) = filled.vectors("key", model)
    path = filled.folder / filled.entries()["key"].id / "vectors.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    np.testing.assert_array_equal(filled.vectors("key", model)[0], vector)
    assert model.encoded == ["key", "key"] and "encoded anew" in caplog.text


def test_vectors_serve_though_they_cannot_be_kept(filled, caplog, monkeypatch):
    def fail(*_):
        raise UnwritableError("the disk is full")

    monkeypatch.setattr(library_module, "write_vectors", fail)
    assert filled.vectors("key", Encoder())[0].shape == (1, 3)
    assert "the disk is full" in caplog.text


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("fails_at", range(4))
def test_a_full_disk_changes_nothing(filled, monkeypatch, fails_at):
    """Two pictures, the thumbnail and the index are written: each is the one that fails once."""
    before, written = content(filled), []
    atomic_path = library_module.atomic_path

    def full(path, **options):
        written.append(path)
        if len(written) > fails_at:
            raise UnwritableError(f"{path}: no space left")
        return atomic_path(path, **options)

    monkeypatch.setattr(library_module, "atomic_path", full)
    monkeypatch.setattr("mrcnn.files.atomic_path", full)
    with pytest.raises(UnwritableError):
        filled.add("cup", [Reference(picture(9, 9)), Reference(picture(8, 8))])
    monkeypatch.undo()
    assert content(filled) == before and len(written) == fails_at + 1
    assert len(list(filled.folder.iterdir())) == 3


KILLED = """
import os, signal, sys
import numpy as np
from siamese_mrcnn.search import library
from siamese_mrcnn.search.reference import Reference

replace, left = os.replace, [int(sys.argv[2])]

def die(*names):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    replace(*names)

os.replace = die
crops = [Reference(np.zeros((9, 9, 3), np.uint8))] * 2
library.ReferenceLibrary(sys.argv[1]).add(sys.argv[3], crops)
"""


@pytest.mark.parametrize("name", ["mug", "cup"])
@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_killed_add_changes_nothing_and_can_be_done_again(filled, moved, name):
    before = content(filled)
    crops = {each: filled.crops(each) for each in filled.names()}
    command = [sys.executable, "-c", KILLED, str(filled.folder), str(moved), name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    after = content(filled)
    assert {path: after[path] for path in before} == before
    assert filled.names() == ["key", "mug"]
    for each, shots in crops.items():
        for one, other in zip(filled.crops(each), shots, strict=True):
            np.testing.assert_array_equal(one, other)
    filled.add(name, Reference(picture(7, 7)))
    assert filled.crops(name)[-1].shape == (7, 7, 3)
    assert len(filled.crops(name)) == (3 if name == "mug" else 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 1, "things": {"mug": {}}}',
        '{"format": 1, "things": {"mug": {"id": "../../../etc", "shots": 1, "added": ""}}}',
        '{"format": 1, "things": {"mug": {"id": "0123456789ab", "shots": true, "added": ""}}}',
        '{"format": 1, "things": {"mug": {"id": "0123456789ab", "shots": 0, "added": ""}}}',
        '{"format": 1, "things": {"mug": {"id": 7, "shots": 1, "added": ""}}}',
        '{"format": 1, "things": {"mug": "x"}}',
        "[" * 100_000,
        '{"format": 2, "things": {}}',
    ],
)
def test_a_damaged_index_loses_nothing(filled, text):
    (filled.folder / "library.json").write_text(text)
    before = content(filled)
    calls = (
        filled.names,
        lambda: "mug" in filled,
        lambda: filled.add("mug", Reference(picture(9, 9))),
        lambda: filled.remove("mug"),
        lambda: filled.rename("mug", "cup"),
        lambda: filled.vectors("mug", Encoder()),
    )
    for call in calls:
        with pytest.raises(LibraryError, match="Nothing was changed"):
            call()
    assert content(filled) == before


def test_bytes_that_are_no_text_are_a_damaged_index(filled):
    (filled.folder / "library.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(LibraryError, match="is damaged"):
        filled.names()


def test_a_missing_picture_is_told(filled):
    (filled.folder / filled.entries()["key"].id / "shot_1.png").unlink()
    with pytest.raises(ImageError, match="no image file"):
        filled.vectors("key", Encoder())


def test_threads_add_one_after_the_other(filled):
    def add(number):
        ReferenceLibrary(filled.folder).add(f"thing{number}", Reference(picture(9, 9, number)))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(filled.names()) == 10


def test_another_program_is_waited_for_and_then_told(filled, monkeypatch):
    monkeypatch.setattr(library_module, "PATIENCE", 0)
    with alone_in(filled.folder):
        assert filled.names() == ["key", "mug"]
        with pytest.raises(InUseError):
            filled.remove("mug")
    filled.remove("mug")


def test_the_index_can_be_read(filled):
    things = json.loads((filled.folder / "library.json").read_text())["things"]
    assert set(things["mug"]) == {"id", "shots", "added", "weights"}
