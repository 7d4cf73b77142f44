"""`siamese-mrcnn references`, and `detect` that searches for what they keep."""

import csv
import json

import cv2
import numpy as np
import pytest

from command_line import call, misunderstood, refused
from mrcnn.data.postprocessing import Detections
from siamese_mrcnn.commands import common
from siamese_mrcnn.named_things import label
from siamese_mrcnn.search.library import ReferenceLibrary
from siamese_mrcnn.search.reference import Reference


class Brightness:
    """A model that finds each thing in a strip of its own, the surer the brighter its crops are.

    Negatives it finds where the first thing is, and only there.
    """

    threshold = None

    def __init__(self, config):
        self.config, self.encoded, self.searched = config, [], []

    def encode_things(self, things):
        self.encoded += things
        return {
            name: [np.float32([[np.mean([crop.mean() for crop in crops]) / 255]])]
            for name, crops in things.items()
        }

    def encode_references(self, references):
        return "vectors"

    def encode_queries(self, images):
        return images

    def detect_encoded(self, queries, vectors):
        assert vectors == "vectors"
        return [self._found(queries[0], 0, 0.9)]

    def detect_things_and_negatives(self, query, things, negatives):
        self.searched.append((list(things), list(negatives)))
        found = {
            name: self._found(query, number, float(vectors[0][0, 0]))
            for number, (name, vectors) in enumerate(things.items())
        }
        for vectors in negatives.values():
            first = next(iter(found))
            if (vectors[0] > found[first].scores).any():
                found[first] = found[first].rows([])
        return label(found), []

    @staticmethod
    def _found(image, number, score):
        mask = np.zeros((*image.shape[:2], 1), bool)
        mask[10 * number : 10 * number + 8, :20] = True
        box = [10 * number, 0, 10 * number + 8, 20]
        ones = np.ones(1, np.int32)
        return Detections(
            rois=np.int32([box]), class_ids=ones, scores=np.float32([score]), masks=mask
        )


@pytest.fixture
def models(monkeypatch):
    """The models made so far."""
    made = []

    def make(arguments, **overrides):
        made.append(Brightness(common.configuration(arguments, **overrides)))
        return made[-1]

    monkeypatch.setattr(common, "detection_model", make)
    return made


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with three pictures of one colour each, and photos to search."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("dark", 60), ("grey", 120), ("light", 220)):
        cv2.imwrite(f"{name}.png", np.full((30, 40, 3), value, np.uint8))
    for name in ("a", "b"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        cv2.imwrite(f"photos/{name}.png", np.full((50, 60, 3), 90, np.uint8))
    return tmp_path


@pytest.fixture
def filled(here, capsys):
    """A library in the default folder: mug, dark, and key, light."""
    assert call("references", "add", "mug", "dark.png", "--box", "0,0,10,20") == 0
    assert call("references", "add", "key", "light.png") == 0
    capsys.readouterr()
    return ReferenceLibrary("references")


def detect(*arguments, out="out"):
    fixed = ("--image", "photos", "--weights", "w", "--out", out)
    return call("detect", *arguments, *fixed)


def found_in(path="out/a_found.json"):
    with open(path) as file:
        data = json.load(file)
    return data, [(each.get("label"), round(each["score"], 2)) for each in data["detections"]]


# --- references ---------------------------------------------------------------------------------


def test_adding_listing_renaming_and_removing(here, capsys):
    add = ("references", "add", "mug", "dark.png", "grey.png")
    assert call(*add, "--box", "0,0,10,20", "1,1,5,5") == 0
    assert call("references", "add", "mug", "light.png", "--box", "0,0,3,3") == 0
    assert call("references", "add", "key", "light.png") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["mug: 2 pictures in references", "mug: 3 pictures in references"]
    assert said[2] == "key: 1 picture in references"
    shots = ReferenceLibrary(here / "references").crops("mug")
    assert [crop.shape for crop in shots] == [(10, 20, 3), (4, 4, 3), (3, 3, 3)]
    assert [crop.mean() for crop in shots] == [60, 120, 220]
    assert call("references", "rename", "key", "the key") == 0
    assert call("references", "list") == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:2] == ["the", "key"]
    assert call("references", "remove", "mug") == 0
    assert ReferenceLibrary("references").names() == ["the key"]
    assert call("references", "list", "--library", "other") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "other holds nothing yet."


def test_references_name_what_is_wrong(filled, capsys):
    assert "Did you mean 'mug'" in refused(capsys, "references", "remove", "mugs")
    assert "begins with a dot" in refused(capsys, "references", "add", "..", "dark.png")
    assert "no image file no.png" in refused(capsys, "references", "add", "x", "no.png")
    two = ("references", "add", "x", "dark.png", "grey.png", "--box", "0,0,5,5")
    assert "2 references need as many --box" in refused(capsys, *two)
    assert "of 30 x 40 pixels" in refused(
        capsys, "references", "add", "x", "dark.png", "--box", "0,0,31,5"
    )
    assert "required" in misunderstood(capsys, "references")
    (filled.folder / "library.json").write_text("{")
    assert "library.json is damaged" in refused(capsys, "references", "list")


# --- detect -------------------------------------------------------------------------------------


def test_several_things_are_found_in_one_pass_and_labelled(models, filled):
    assert detect("--reference", "mug", "--reference", "key") == 0
    data, found = found_in()
    assert found == [("key", 0.86), ("mug", 0.24)]
    assert data["references"] == ["mug", "key"] and "not" not in data
    assert [each["box"][0] for each in data["detections"]] == [10, 0]
    assert models[0].searched == [(["mug", "key"], [])] * 2
    with open("out/ranking.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["key; mug"] * 2
    # what the library has encoded serves the next call
    assert detect("--reference", "mug", out="again") == 0
    assert sorted(models[0].encoded) == ["key", "mug"] and models[1].encoded == []


def test_a_library_alone_is_searched_for_altogether(models, filled):
    assert detect("--library", "references") == 0
    assert found_in()[1] == [("key", 0.86), ("mug", 0.24)]
    assert models[0].searched[0] == (["key", "mug"], [])


def test_files_beside_a_library_are_things_of_their_own(models, filled):
    grey = ("--reference", "grey.png", "--box", "0,0,9,9")
    assert detect("--reference", "key", *grey, "--library", "references") == 0
    assert found_in()[1] == [("key", 0.86), ("grey.png", 0.47)]


def test_without_a_library_files_are_shots_of_one_thing(models, filled, here):
    assert detect("--reference", "dark.png", "--reference", "grey.png") == 0
    data, found = found_in()
    assert found == [(None, 0.9)] and data["references"] == ["dark.png", "grey.png"]
    assert "labels" not in (here / "out" / "ranking.csv").read_text()


def test_what_must_not_be_found_is_left_out(models, filled):
    assert detect("--reference", "mug", "--not", "key", "--not", "grey.png") == 0
    data, found = found_in()
    assert found == [] and data["not"] == ["key", "grey.png"]
    assert models[0].searched[0] == (["mug"], ["key", "grey.png"])
    # of a thing without a name, too
    assert detect("--reference", "grey.png", "--not", "light.png", out="2") == 0
    assert found_in("2/a_found.json")[1] == []
    assert detect("--reference", "grey.png", "--not", "dark.png", out="3") == 0
    assert found_in("3/a_found.json")[1] == [(None, 0.47)]


def test_another_search_is_made_anew(models, filled):
    def searched(*arguments):
        assert detect(*arguments) == 0
        return len(models[-1].searched)

    both = ("--reference", "mug", "--reference", "key")
    assert [searched(*both), searched(*both)] == [2, 0]
    assert searched("--reference", "mug", "--not", "key") == 2
    assert searched(*both) == 2
    filled.rename("key", "lock")
    assert searched("--reference", "mug", "--reference", "lock") == 2
    filled.add("mug", Reference("grey.png"))
    assert searched("--reference", "mug", "--reference", "lock") == 2


def test_a_colour_for_each_name(models, filled, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "siamese_mrcnn.figures.detections.display_instances",
        lambda *_, colors, ax, **__: drawn.append(colors) or ax.figure,
    )
    assert detect("--library", "references") == 0
    assert detect("--reference", "mug", "--library", "references", out="mug") == 0
    (first, second), (only,) = drawn[0], drawn[-1]
    assert first != second and only == first


def test_detect_names_what_is_wrong_with_names(models, filled, capsys, here):
    rest = ("--image", "photos", "--weights", "w", "--out", "out")
    assert "There is nothing to search for" in refused(capsys, "detect", *rest)
    assert "Did you mean 'mug'" in refused(capsys, "detect", "--reference", "muug", *rest)
    assert "holds nothing to search for" in refused(capsys, "detect", "--library", "empty", *rest)
    box = ("--reference", "mug", "--box", "0,0,3,3")
    assert "0 references need as many --box" in refused(capsys, "detect", *box, *rest)
    missing = refused(capsys, "detect", "--reference", "x/no.png", *rest)
    assert "no image file x/no.png" in missing
