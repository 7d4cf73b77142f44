"""Data sets of scenes: valid COCO that says which thing it shows, whatever draws it."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from siamese_mrcnn import cli
from siamese_mrcnn.cut_paste import composition, scenes
from siamese_mrcnn.cut_paste.scenes import make_scenes
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.coco_writer import DrawnFolderError
from siamese_mrcnn.own_data.cutouts import CutoutError
from siamese_mrcnn.synthetic import pieces


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "SCENES_A_PIECE", 3)


@pytest.fixture
def make(tmp_path, pots, rooms):
    """Draws a few small scenes into a folder of this name."""

    def draw(name, cutouts=(), **changes):
        settings = {"train_images": 7, "val_images": 4, "image_size": 96, "workers": 1, **changes}
        backgrounds = settings.pop("backgrounds", [rooms])
        sources = cutouts or [pots]
        return make_scenes(tmp_path / name, sources, backgrounds, progress=False, **settings)

    return draw


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def annotations(folder, portion="train"):
    return json.loads((folder / f"annotations/instances_{portion}2017.json").read_text())


def test_annotations_fit_two_readers_and_say_which_thing_they_show(make):
    folder, _ = make("scenes")
    reader = COCO(folder / "annotations/instances_train2017.json")
    dataset = CocoDataset.from_folder(folder, "train")
    assert dataset.class_names[1:] == ["cup", "mug", "pen"]
    for image_id in dataset.image_ids:
        entries = dataset.image_info[image_id]["annotations"]
        masks, classes = dataset.load_mask(image_id)
        assert dataset.load_image(image_id).shape == (96, 96, 3)
        for entry, mask, number in zip(entries, np.moveaxis(masks, 2, 0), classes, strict=True):
            np.testing.assert_array_equal(reader.annToMask(reader.anns[entry["id"]]), mask)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            size = [columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            assert entry["bbox"] == [columns[0], rows[0], *size]
            assert entry["area"] == mask.sum() and entry["iscrowd"] == 0
            assert entry["thing"] == entry["cutout"]
            assert entry["thing"].split("/")[0] == dataset.class_names[number]


def test_validation_shows_other_things_on_other_backgrounds(make):
    folder, notes = make("scenes", train_images=30, val_images=20)
    things, backgrounds = {}, {}
    for portion in ("train", "val"):
        content = annotations(folder, portion)
        things[portion] = {each["thing"] for each in content["annotations"]}
        backgrounds[portion] = {each["background"] for each in content["images"]}
    assert len(things["train"]) == 12 and len(things["val"]) == 6
    assert not things["train"] & things["val"]
    assert len(backgrounds["train"]) == 5 and len(backgrounds["val"]) == 2
    assert not backgrounds["train"] & backgrounds["val"]
    assert notes == (
        "18 cut-outs of 18 things of 3 categories.",
        "Validation shows, by categories: other things of 3.",
        "5 backgrounds are for training, 2 others for validation.",
    )
    catalogue = json.loads((folder / "things.json").read_text())
    kept = {view["thing"] for view in catalogue["views"] if view["portions"] == ["val"]}
    assert kept == things["val"] and catalogue["notes"] == list(notes)


def test_views_of_one_thing_are_told_from_things_of_one_kind(make, tmp_path, pots):
    (pots / "mug").rename(pots / "my mug")
    (pots / "mug/mine").mkdir(parents=True)
    for path in (pots / "my mug").iterdir():
        path.rename(pots / "mug/mine" / path.name)
    (pots / "my mug").rmdir()
    folder, notes = make("scenes", train_images=12)
    mugs = [each for each in annotations(folder)["annotations"] if "mug" in each["thing"]]
    assert {each["thing"] for each in mugs} == {"mug/mine"}
    assert len({each["cutout"] for each in mugs}) > 1
    assert "other cut-outs of 1 with fewer than 5 things" in notes[1]


def test_the_same_seed_draws_the_same_files_with_any_number_of_workers(make):
    one, two = make("one", seed=4).folder, make("two", seed=4, workers=2).folder
    other = files(make("other", seed=5).folder)
    assert files(one) == files(two)
    name = "train2017/000000000001.jpg"
    assert files(one).keys() == other.keys() and files(one)[name] != other[name]
    assert {path.name for path in one.iterdir()} == {
        *("annotations", "train2017", "val2017", "scenes.json", "things.json")
    }


def test_an_interrupted_drawing_goes_on_where_it_stopped(make, tmp_path, monkeypatch):
    whole = files(make("whole").folder)
    compose, drawn = composition.compose, []

    def stop_at_the_sixth(*arguments):
        if len(drawn) == 5:
            raise KeyboardInterrupt
        drawn.append(arguments)
        return compose(*arguments)

    monkeypatch.setattr(composition, "compose", stop_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        make("part")
    assert (tmp_path / "part/.prepared").is_dir()
    monkeypatch.setattr(composition, "compose", lambda *a: drawn.append(a) or compose(*a))
    monkeypatch.setattr(scenes, "prepare", None)  # that is done
    assert files(make("part").folder) == whole
    assert len(drawn) == 5 + 11 - 3  # one piece of three was complete
    make("part")
    assert len(drawn) == 5 + 11 - 3


def test_an_interrupted_preparation_begins_anew(make, tmp_path, monkeypatch):
    whole = files(make("whole").folder)
    write = scenes.write_background
    monkeypatch.setattr(scenes, "write_background", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make("part")
    monkeypatch.setattr(scenes, "write_background", write)
    assert files(make("part").folder) == whole


def test_lost_annotations_are_drawn_again(make):
    folder, _ = make("scenes")
    whole = files(folder)
    (folder / "annotations/instances_val2017.json").unlink()
    make("scenes")
    assert files(folder) == whole


def test_other_pictures_are_other_scenes(make, pots):
    make("scenes")
    (pots / "mug/5.png").unlink()
    with pytest.raises(DrawnFolderError, match="already holds something else"):
        make("scenes")


def test_what_cannot_be_used_is_named_and_left_out(make, pots, rooms):
    (pots / "mug/1.png").write_bytes(b"no picture")
    (pots / "pen/2.png").write_bytes((rooms / "0.jpg").read_bytes())
    (rooms / "3.jpg").write_bytes(b"no picture")
    folder, notes = make("scenes", train_images=12)
    assert notes[0] == "16 cut-outs of 16 things of 3 categories."
    assert notes[3].startswith("2 cut-outs cannot be used and are left out: ")
    assert f"{pots}/mug/1.png" in notes[3] and f"{pots}/pen/2.png is transparent" in notes[3]
    assert notes[4].startswith("1 backgrounds cannot be used") and "3.jpg" in notes[4]
    shown = {each["cutout"] for each in annotations(folder)["annotations"]}
    assert not shown & {"mug/1", "pen/2"}
    assert "3.jpg" not in {each["background"] for each in annotations(folder)["images"]}


def test_of_many_cutouts_some_are_drawn(make, monkeypatch):
    monkeypatch.setattr(scenes, "MOST_CUTOUTS", 2)
    _, notes = make("scenes")
    assert notes[0] == "6 cut-outs of 6 things of 3 categories."
    assert notes[3] == "2 cut-outs each were drawn of: cup, mug, pen."


def test_one_category_teaches_nothing(make, pots, tmp_path):
    with pytest.raises(CutoutError, match=r"need 2 categories at least, but all .* of 'mug'"):
        make("scenes", [pots / "mug"])
    assert not (tmp_path / "scenes").exists()


def test_a_folder_serves_again_when_broken_cutouts_are_mended(make, pots, tmp_path):
    kept = {path: path.read_bytes() for path in pots.rglob("*.png") if path.parent.name != "mug"}
    for path in kept:
        path.write_bytes(b"no picture")
    with pytest.raises(CutoutError, match=r"all cut-outs are of 'mug'.* 12 cut-outs cannot be"):
        make("scenes")
    for path in (pots / "mug").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(CutoutError, match=r"No cut-out can be used\. 18 cut-outs .* And 15 more"):
        make("scenes")
    for path, content in kept.items():
        path.write_bytes(content)
    assert make("scenes").notes[0] == "12 cut-outs of 12 things of 2 categories."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image_size": 48}, "image_size must be 64 to 4096"),
        ({"train_images": 1}, "at least 2 training images"),
        ({"seed": -1}, "seed must not be negative"),
        ({"category": "mug"}, "--category cannot be chosen for a folder of cut-outs"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, tmp_path, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        make("scenes", **change)
    assert not (tmp_path / "scenes").exists()


def test_the_command(tmp_path, pots, capsys):
    folder = tmp_path / "scenes"
    numbers = "--train 3 --val 2 --size 64 --seed 9 --workers 1".split()
    arguments = ["make-scenes", "--out", str(folder), "--cutouts", str(pots), *numbers]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"3 + 2 scenes: {folder}",
        "18 cut-outs of 18 things of 3 categories.",
        "Validation shows, by categories: other things of 3.",
        "Backgrounds are drawn.",
    ]
    assert json.loads((folder / "scenes.json").read_text())["seed"] == 9
    assert cli.main([*arguments, "--backgrounds", str(tmp_path / "gone")]) == 1
    assert "There is no folder" in capsys.readouterr().err
