"""Own data in COCO's layout: what is kept for the test, what is written, what is said."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import call, misunderstood, refused
from folders import tree
from own_folders import CATEGORIES, plan, write_coco, write_labelme, write_masks, write_via
from siamese_mrcnn import cli
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.coco_writer import DrawnFolderError
from siamese_mrcnn.own_data import convert_to_coco
from siamese_mrcnn.own_data.convert_to_coco import (
    DataImportError,
    draw_test_images,
    import_data,
    to_text,
)
from siamese_mrcnn.own_data.load import load_dataset, read_own_data


def shown_in(folder):
    """{portion: [(file name, [(class name, mask)])]} of what was written."""
    found = {}
    for portion in ("train", "val"):
        dataset = CocoDataset.from_json(
            folder / f"annotations/instances_{portion}2017.json", folder / f"{portion}2017"
        )
        found[portion] = {}
        for info, image_id in zip(dataset.image_info, dataset.image_ids, strict=True):
            assert dataset.load_image(image_id).any() or info["path"].endswith("0.png")
            masks, class_ids = dataset.load_mask(image_id)
            name = info["path"].removeprefix(f"{folder}/{portion}2017/")
            found[portion][name] = sorted(
                (dataset.class_names[number], masks[..., index].tobytes())
                for index, number in enumerate(class_ids)
            )
    return found


def test_all_that_was_there_is_in_one_of_the_portions(tmp_path):
    path = write_via(tmp_path / "via", plan())
    imported = import_data(read_own_data(path), tmp_path / "out", test_part=0.3)
    found = shown_in(tmp_path / "out")
    assert not set(found["train"]) & set(found["val"])
    source = load_dataset(path)
    for image_id, name in enumerate(plan()):
        masks, class_ids = source.load_mask(image_id)
        assert (found["train"] | found["val"])[name] == sorted(
            (source.class_names[number], masks[..., index].tobytes())
            for index, number in enumerate(class_ids)
        )
    counts = {portion: len(images) for portion, images in found.items()}
    assert imported.images == counts and sum(counts.values()) == 10
    for name, by_portion in imported.categories.items():
        for portion, images in found.items():
            instances = [category for each in images.values() for category, _ in each]
            shown = sum(any(name == category for category, _ in each) for each in images.values())
            assert by_portion[portion] == (shown, instances.count(name))
    assert imported.notes == ()
    text = to_text(imported)
    assert f"{counts['train']} images to train on, {counts['val']} to test on" in text
    assert "\nrose " in text


def test_every_category_keeps_images_on_both_sides():
    rng = np.random.default_rng(0)
    for seed in range(20):
        images_of = {n: set(rng.choice(60, rng.integers(5, 40), replace=False)) for n in range(4)}
        chosen = draw_test_images(images_of, 0.2, seed)
        assert chosen == draw_test_images(images_of, 0.2, seed)
        assert all(len(images & chosen) >= 2 for images in images_of.values())
        assert len(chosen) <= 0.5 * len(set().union(*images_of.values()))
    # about as many as asked for, where one category has them all
    assert len(draw_test_images({1: set(range(100))}, 0.2)) == 20
    # one stays to train on
    assert len(draw_test_images({1: {3, 4}}, 0.2)) == 1
    assert draw_test_images({1: {3}}, 0.9) == set()
    assert draw_test_images({1: {3, 4}, 2: {5}}, 0) == set()
    assert draw_test_images({1: {3, 4}, 2: {5}}, 1) == {3, 4, 5}


def test_a_repeated_import_goes_on_and_changes_nothing(tmp_path, monkeypatch):
    data = read_own_data(write_masks(tmp_path / "masks", plan(6)))
    whole = import_data(data, tmp_path / "whole")
    bring, left = convert_to_coco._bring, [2]

    def interrupted(*arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        bring(*arguments)

    monkeypatch.setattr(convert_to_coco, "_bring", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_data(data, tmp_path / "out")
    assert len(tree(tmp_path / "out")) == 3 and not (tmp_path / "out/annotations").exists()
    left[0] = 6
    assert import_data(data, tmp_path / "out")[1:] == whole[1:]
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    with pytest.raises(DrawnFolderError, match="already holds something else"):
        import_data(data, tmp_path / "out", seed=1)
    other = read_own_data(write_masks(tmp_path / "other", plan(5)))
    with pytest.raises(DrawnFolderError, match="already holds something else"):
        import_data(other, tmp_path / "out")


def test_other_data_to_test_on_and_one_number_for_a_name(tmp_path):
    few = {name: squares[:1] for name, squares in plan(2).items()}  # a rose and a sea lily
    train = read_own_data(write_via(tmp_path / "via", few))
    coco = write_coco(tmp_path / "coco", plan(6), categories=CATEGORIES[::-1])
    imported = import_data(
        train, tmp_path / "out", test=read_own_data(coco, coco.parent / "photos")
    )
    assert imported.images == {"train": 2, "val": 6}
    for portion in ("train", "val"):
        path = tmp_path / "out/annotations" / f"instances_{portion}2017.json"
        categories = json.loads(path.read_text())["categories"]
        assert {each["name"]: each["id"] for each in categories} == {
            "rose": 1,
            "sea lily": 2,
            "tulip": 3,
        }
    expected = load_dataset(coco, coco.parent / "photos")
    assert expected.class_names[1:] == ["tulip", "sea lily", "rose"]
    found = shown_in(tmp_path / "out")["val"]
    for image_id, name in enumerate(plan(6)):
        masks, class_ids = expected.load_mask(image_id)
        assert found[name] == sorted(
            (expected.class_names[number], masks[..., index].tobytes())
            for index, number in enumerate(class_ids)
        )
    assert imported.notes == ("Not in the images to train on: tulip.",)


def test_crowds_come_along_but_do_not_count(tmp_path):
    path = write_coco(tmp_path / "coco", plan(4))  # images 1 and 3 show two things each
    content = json.loads(path.read_text())
    crowds = (0, 5)  # all of image 0, one of two things in image 3
    for number in crowds:
        content["annotations"][number]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    data = read_own_data(path, tmp_path / "coco/photos")
    imported = import_data(data, tmp_path / "out", test_part=1)
    assert imported.images == {"train": 0, "val": 3}
    assert sum(counts["val"][1] for counts in imported.categories.values()) == 4
    assert "1 images show no instance and are left out." in imported.notes
    dataset = CocoDataset.from_folder(tmp_path / "out", "test")
    assert sorted(np.sign(dataset.load_mask(2)[1]).tolist()) == [-1, 1]


def test_images_keep_their_names_and_stay_inside(tmp_path):
    scenes = plan(4)
    names = ["a/0.png", "b/0.png", "2.png", "./2.png"]
    path = write_coco(tmp_path / "coco", dict(zip(names, scenes.values(), strict=True)))
    data = read_own_data(path, tmp_path / "coco/photos")
    import_data(data, tmp_path / "out", test_part=1, link=True)
    found = {path for path in (tmp_path / "out").rglob("*.png")}
    assert {path.relative_to(tmp_path / "out/val2017").as_posix() for path in found} == {
        "a/0.png",
        "b/0.png",
        "2.png",
        "2_10.png",
    }
    assert all(path.is_symlink() and path.is_file() for path in found)
    assert len(CocoDataset.from_folder(tmp_path / "out", "test").image_info) == 4


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_a_picture_listed_twice_lies_on_one_side(tmp_path, part):
    """Under two ids, or copied under two names."""
    path = write_coco(tmp_path / "coco", plan(9))
    photos, content = path.parent / "photos", json.loads(path.read_text())
    for number in range(9):
        copied = photos / f"copy {number}.png"
        copied.write_bytes((photos / f"{number}.png").read_bytes())
        name = copied.name if number % 2 else f"{number}.png"
        content["images"].append(
            content["images"][number] | {"id": 100 + number, "file_name": name}
        )
        first = content["annotations"][number] | {"id": 100 + number, "image_id": 100 + number}
        content["annotations"].append(first)
    path.write_text(json.dumps(content))
    import_data(read_own_data(path, photos), tmp_path / "out", test_part=part)
    sides = [
        {file.read_bytes() for file in (tmp_path / "out" / portion).iterdir()}
        for portion in ("train2017", "val2017")
    ]
    assert all(sides) and not sides[0] & sides[1]
    files = [
        file for side in ("train2017", "val2017") for file in (tmp_path / "out" / side).iterdir()
    ]
    assert len(files) == 18


def image_named(dataset, name):
    return [Path(info["path"]).name for info in dataset.image_info].index(name)


MARKS = {  # what the EXIF values do to the stored picture when it is shown
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: picture[::-1, ::-1],
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.swapaxes(0, 1),
    6: lambda picture: picture[::-1].swapaxes(0, 1),
    7: lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
    8: lambda picture: picture[:, ::-1].swapaxes(0, 1),
}


def store_turned(folder, mark):
    """Store the pictures of a folder so that the mark shows them as they were."""
    undo = MARKS[{6: 8, 8: 6}.get(mark, mark)]
    exif = Image.Exif()
    exif[0x0112] = mark
    for path in folder.glob("*.png"):
        shown = np.asarray(Image.open(path))
        np.testing.assert_array_equal(MARKS[mark](undo(shown)), shown)
        Image.fromarray(np.ascontiguousarray(undo(shown))).save(path, exif=exif)


@pytest.mark.parametrize("mark", sorted(MARKS))
def test_pictures_that_are_shown_turned_are_turned(tmp_path, mark):
    """VIA and labelme count the pixels that they show; of COCO's files the sizes tell."""
    via, coco = write_via(tmp_path / "via", plan(4)), write_coco(tmp_path / "coco", plan(4))
    labelme = write_labelme(tmp_path / "labelme", plan(4))
    expected = load_dataset(write_via(tmp_path / "plain", plan(4)))
    for folder in (via.parent, coco.parent / "photos", labelme):
        store_turned(folder, mark)
    sources = [(via, None), (labelme, None)]
    if mark > 4:
        sources.append((coco, coco.parent / "photos"))
    else:
        with pytest.raises(ValueError, match=r"4 images are marked \(EXIF\) .* cannot be known"):
            read_own_data(coco, coco.parent / "photos")
    for number, (path, images) in enumerate(sources):
        out = tmp_path / f"out{number}"
        import_data(read_own_data(path, images), out, test_part=1, link=True)
        found = CocoDataset.from_folder(out, "test")
        for image_id in range(4):
            other = image_named(found, f"{image_id}.png")
            np.testing.assert_array_equal(found.load_image(other), expected.load_image(image_id))
            np.testing.assert_array_equal(
                found.load_mask(other)[0], expected.load_mask(image_id)[0]
            )


def test_outlines_made_for_the_picture_as_it_is_stored(tmp_path):
    path = write_coco(tmp_path / "coco", plan(2))
    exif = Image.Exif()
    exif[0x0112] = 6
    for file in (path.parent / "photos").glob("*.png"):
        Image.open(file).save(file, exif=exif)
    data = read_own_data(path, path.parent / "photos")
    assert not data.turned
    import_data(data, tmp_path / "out", test_part=1)
    assert CocoDataset.from_folder(tmp_path / "out", "test").load_image(0).shape == (40, 48, 3)


def test_the_range_of_pictures_of_many_bits(tmp_path):
    path = write_coco(tmp_path / "coco", plan(2))
    grey = np.zeros((40, 48), np.uint16)
    grey[:, ::2], grey[0, 0], grey[0, 2] = 600, 100, 1023
    file = path.parent / "photos/1.png"
    Image.fromarray(grey).save(file)
    data = read_own_data(path, path.parent / "photos")
    import_data(data, tmp_path / "out", test_part=1, value_range=(100, 600))
    found = CocoDataset.from_folder(tmp_path / "out", "test")
    row = [0, 0, 255, 0, 255]  # of 100, 0, 1023, 0, 600
    assert found.load_image(image_named(found, "1.png"))[0, :5, 0].tolist() == row
    original = CocoDataset.from_json(path, path.parent / "photos")
    np.testing.assert_array_equal(
        found.load_image(image_named(found, "0.png")),
        original.load_image(image_named(original, "0.png")),
    )
    with pytest.raises(DataImportError, match="a lower and a higher value"):
        import_data(data, tmp_path / "none", value_range=(5, 5))


def test_outlines_are_decoded_before_anything_is_written(tmp_path, capsys):
    path = write_coco(tmp_path / "coco", plan(4))
    content = json.loads(path.read_text())
    content["annotations"][2]["segmentation"] = {"size": [40, 48], "counts": [5]}
    path.write_text(json.dumps(content))
    images = ("--images", path.parent / "photos")
    text = refused(capsys, "import-data", path, *images, "--out", tmp_path / "out")
    assert "annotation 2 (image 8, 1.png)" in text and not (tmp_path / "out").exists()


def test_pictures_with_masks_are_called_as_their_folders(tmp_path, monkeypatch):
    write_masks(tmp_path / "masks", plan(3))
    monkeypatch.chdir(tmp_path)
    import_data(read_own_data("masks"), "out", test_part=1, link=True)
    found = sorted((tmp_path / "out/val2017").iterdir())
    assert [path.name for path in found] == ["0.png", "1.png", "2.png"]
    assert all(path.is_symlink() and path.is_file() for path in found)


def test_what_is_left_out_and_what_will_not_work_is_said(tmp_path):
    scenes = plan(4) | {"x.png": [], "y.png": []}
    imported = import_data(read_own_data(write_via(tmp_path / "via", scenes)), tmp_path / "out")
    notes = "\n".join(imported.notes)
    assert "2 images show no instance and are left out." in notes
    assert "Not to be searched for in the test" in notes
    everything = read_own_data(write_via(tmp_path / "via", scenes))
    assert import_data(everything, tmp_path / "test", test_part=1).notes == (
        "2 images show no instance and are left out.",
        "Too few images to train on: training needs two at least.",
    )
    assert not (tmp_path / "test/train2017").exists()
    nothing = read_own_data(write_via(tmp_path / "nothing", {"x.png": []}), category="rose")
    with pytest.raises(DataImportError, match="nothing to import"):
        import_data(nothing, tmp_path / "none")
    with pytest.raises(DataImportError, match=r"must be 0 to 1, but is 1\.5"):
        import_data(everything, tmp_path / "none", test_part=1.5)
    assert not (tmp_path / "none").exists()


def test_the_command(tmp_path, capsys):
    via, masks = write_via(tmp_path / "via", plan()), write_masks(tmp_path / "masks", plan(3))
    assert call("import-data", via, "--out", tmp_path / "one", "--test-part", 0.3) == 0
    assert "\nsea lily " in capsys.readouterr().out
    assert call("import-data", via, "--out", tmp_path / "two", "--test", masks) == 0
    assert "10 images to train on, 3 to test on" in capsys.readouterr().out
    coco = write_coco(tmp_path / "coco", plan(3))
    elsewhere = ("--test", coco, "--test-images", coco.parent / "photos")
    assert call("import-data", via, "--out", tmp_path / "three", *elsewhere) == 0
    assert "give --test as well" in refused(
        capsys, "import-data", via, "--out", tmp_path / "four", "--test-images", masks
    )
    text = refused(capsys, "import-data", via, "--out", tmp_path / "four", "--attribute", "sort")
    assert "has the attribute 'sort'" in text
    both = ("--out", tmp_path / "four", "--test", masks, "--test-part", "0.3")
    assert "not allowed with argument" in misunderstood(capsys, "import-data", via, *both)
    assert not (tmp_path / "four").exists()


def test_the_guide_gives_commands_that_are_understood():
    guide = Path(__file__).parents[3] / "experiments/own_data/README.md"
    text = guide.read_text().replace("\\\n", "")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    siamese-mrcnn ")]
    commands = [cli._parser().parse_args(shlex.split(line)[1:]) for line in lines]
    splits = [command.split for command in commands if hasattr(command, "split")]
    assert len(commands) == 8 and splits == [("tulip", "sea lily")] * 3 + ["all"] * 2
