"""The data set of glyphs: valid COCO, whatever draws it, and complete after an interruption."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from pycocotools.coco import COCO

from siamese_mrcnn import cli
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.coco_writer import DrawnFolderError
from siamese_mrcnn.data.splits import split_classes
from siamese_mrcnn.synthetic import glyph_categories, glyphs, pieces
from siamese_mrcnn.synthetic.glyph_categories import GlyphCategory
from siamese_mrcnn.synthetic.glyphs import make_glyphs

CATEGORIES = [
    GlyphCategory(character, name, "symbol")
    for character, name in zip("♠★✿⚗✈♛", ("a", "b", "c", "d", "e", "f"), strict=True)
]
ARGUMENTS = {"train_images": 12, "val_images": 5, "image_size": 64, "categories": 6}


@pytest.fixture(autouse=True)
def quick_choice(monkeypatch):
    monkeypatch.setattr(glyphs, "choose_categories", lambda count: CATEGORIES[:count])
    monkeypatch.setattr(pieces, "SCENES_A_PIECE", 5)


def make(folder, **changes):
    return make_glyphs(folder, **{"workers": 1, "progress": False, **ARGUMENTS, **changes})


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def annotations(folder, portion="train"):
    return json.loads((folder / f"annotations/instances_{portion}2017.json").read_text())


def test_boxes_and_areas_are_those_of_masks_that_two_readers_agree_on(tmp_path):
    folder = make(tmp_path / "glyphs")
    reader = COCO(folder / "annotations/instances_train2017.json")
    dataset = CocoDataset.from_folder(folder, "train")
    for image_id in dataset.image_ids:
        numbers = [item["id"] for item in dataset.image_info[image_id]["annotations"]]
        ours = dataset.load_mask(image_id)[0]
        assert ours.sum(axis=2).max() == 1
        for number, mask in zip(numbers, np.moveaxis(ours, 2, 0), strict=True):
            entry = reader.anns[number]
            np.testing.assert_array_equal(reader.annToMask(entry), mask)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            size = [columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            assert entry["bbox"] == [columns[0], rows[0], *size]
            assert entry["area"] == mask.sum() and entry["iscrowd"] == 0
        assert dataset.load_image(image_id).shape == (64, 64, 3)


def test_ids_are_unique_and_every_image_has_its_file(tmp_path):
    folder = make(tmp_path / "glyphs")
    train, val = annotations(folder), annotations(folder, "val")
    assert [entry["id"] for entry in train["annotations"]] == [
        *range(1, len(train["annotations"]) + 1)
    ]
    assert [entry["id"] for entry in train["images"]] == [*range(1, 13)]
    assert [entry["id"] for entry in val["images"]] == [*range(13, 18)]
    for portion, content in (("train", train), ("val", val)):
        names = {path.name for path in (folder / f"{portion}2017").iterdir()}
        assert names == {entry["file_name"] for entry in content["images"]}
        assert content["categories"][1] == {"supercategory": "symbol", "id": 2, "name": "b"}
    assert {path.name for path in folder.iterdir()} == {
        *("annotations", "train2017", "val2017", "glyphs.json")
    }


def test_every_category_is_drawn_and_every_split_leaves_some_out(tmp_path):
    folder = make(tmp_path / "glyphs")
    shown = {entry["category_id"] for entry in annotations(folder)["annotations"]}
    assert shown == set(range(1, 7))
    novel = [split_classes(split, range(1, 7))[1] for split in (1, 2, 3, 4)]
    assert novel == [(1, 5), (2, 6), (3,), (4,)]


def test_the_same_seed_draws_the_same_files_with_any_number_of_workers(tmp_path):
    one, two = make(tmp_path / "one", seed=4), make(tmp_path / "two", seed=4, workers=2)
    other = files(make(tmp_path / "other", seed=5))
    assert files(one) == files(two)
    assert files(one).keys() == other.keys()
    assert files(one)["train2017/000000000001.jpg"] != other["train2017/000000000001.jpg"]


def test_an_interrupted_drawing_goes_on_where_it_stopped(tmp_path, monkeypatch):
    whole = files(make(tmp_path / "whole"))
    draw, drawn = glyphs.draw_glyph_scene, []

    def stop_at_the_eighth(*arguments):
        if len(drawn) == 7:
            raise KeyboardInterrupt
        drawn.append(arguments)
        return draw(*arguments)

    monkeypatch.setattr(glyphs, "draw_glyph_scene", stop_at_the_eighth)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "part")
    assert not (tmp_path / "part/annotations").exists()
    monkeypatch.setattr(glyphs, "draw_glyph_scene", lambda *a: drawn.append(a) or draw(*a))
    assert files(make(tmp_path / "part")) == whole
    assert len(drawn) == 7 + 17 - 5  # one piece of five was complete
    make(tmp_path / "part")
    assert len(drawn) == 7 + 17 - 5


def test_a_worker_that_dies_is_reported(tmp_path, monkeypatch):
    class Executor:
        def __init__(self, *arguments, **settings):
            pass

        def submit(self, work, piece):
            raise pieces.BrokenProcessPool

        def shutdown(self, cancel_futures):
            pass

    monkeypatch.setattr(pieces, "ProcessPoolExecutor", Executor)
    with pytest.raises(
        OSError, match=r"has ended: for want of memory.*repeat the call, with fewer workers"
    ):
        make(tmp_path / "glyphs", workers=2)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    """They have far more to draw than is drawn within the test, and hold the pipe while they do."""
    command = [sys.executable, "-m", "siamese_mrcnn.cli", "make-glyphs", "--out", "glyphs"]
    numbers = "--train 20000 --val 1 --categories 4 --workers 2".split()
    parent = subprocess.Popen(
        [*command, *numbers], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    drawn = tmp_path / "glyphs" / pieces.PIECES
    try:
        while parent.poll() is None and not (drawn.exists() and any(drawn.iterdir())):
            time.sleep(0.1)
    finally:
        parent.kill()
    parent.communicate(timeout=60)
    assert len(list(drawn.iterdir())) < 20


def test_other_folders_and_other_arguments_are_refused(tmp_path):
    make(tmp_path / "glyphs")
    with pytest.raises(DrawnFolderError, match="older drawing"):
        make(tmp_path / "glyphs", categories=5)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DrawnFolderError, match="already holds something else"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"categories": 3}, "at least 4 categories"),
        ({"image_size": 48}, "image_size must be 64 to 4096"),
        ({"train_images": 1}, "at least 2 training images"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, change, sentence):
    with pytest.raises(DrawnFolderError, match=sentence):
        make(tmp_path / "new", **change)
    assert not (tmp_path / "new").exists()


def test_the_command(tmp_path, capsys):
    folder = tmp_path / "glyphs"
    numbers = "--train 3 --val 2 --size 64 --categories 4 --seed 9 --workers 1".split()
    assert cli.main(["make-glyphs", "--out", str(folder), *numbers]) == 0
    assert "3 + 2 scenes" in capsys.readouterr().out
    assert json.loads((folder / "glyphs.json").read_text()) == {
        "drawn_by": "siamese_mrcnn.synthetic.glyphs",
        "train_images": 3,
        "val_images": 2,
        "image_size": 64,
        "characters": "♠★✿⚗",
        "seed": 9,
    }


def test_the_command_names_too_many_categories(tmp_path, capsys, monkeypatch):
    few = glyph_categories.describe(glyph_categories.character_ink("A", 96))[None]
    monkeypatch.setattr(glyphs, "choose_categories", glyph_categories.choose_categories)
    monkeypatch.setattr(glyph_categories, "_described", lambda: (["A"], few))
    assert cli.main(["make-glyphs", "--out", str(tmp_path / "new")]) == 1
    assert "Ask for at most 1." in capsys.readouterr().err
