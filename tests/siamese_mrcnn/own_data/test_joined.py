"""Several sources of data are one: whatever each was numbered, everything stays what it was."""

import json

from command_line import call, refused
from own_folders import plan, write_coco, write_via
from siamese_mrcnn.own_data.joined import joined
from siamese_mrcnn.own_data.load import load_dataset, read_own_data


def shown(content):
    """Sorted (name of the picture, category, box) of all annotations."""
    pictures = {image["id"]: image["file_name"] for image in content["images"]}
    names = {each["id"]: each["name"] for each in content["categories"]}
    assert len(pictures) == len(content["images"])
    return sorted(
        (pictures[each["image_id"]], names[each["category_id"]], each["bbox"])
        for each in content["annotations"]
    )


def test_everything_stays_what_it_was(tmp_path):
    tulips = {name: squares for name, squares in plan(9).items() if squares[0][0] == "tulip"}
    sources = [
        read_own_data(write_via(tmp_path / "via", tulips)),
        read_own_data(write_coco(tmp_path / "coco", plan(4)), tmp_path / "coco" / "photos"),
    ]
    whole = joined(sources)
    assert shown(whole.content) == sorted(shown(sources[0].content) + shown(sources[1].content))
    numbers = [each["id"] for each in whole.content["annotations"]]
    assert numbers == list(range(1, len(numbers) + 1))
    categories = {each["name"]: each["id"] for each in whole.content["categories"]}
    assert categories == {"rose": 1, "tulip": 2, "sea lily": 3}  # VIA's two first, by name
    assert whole.path == sources[0].path and whole.others == (sources[1].path,)
    assert {*whole.names} == {image["file_name"] for image in whole.content["images"]}


def test_one_source_stays_itself(tmp_path):
    source = read_own_data(write_via(tmp_path, plan(2)))
    assert joined([source]) is source


def test_the_command_takes_several(tmp_path, capsys):
    via = write_via(tmp_path / "via", plan(4))
    first = tmp_path / "first"
    assert call("import-data", via, "--out", first, "--test-part", 0) == 0
    coco = write_coco(tmp_path / "coco", plan(3))
    both = tmp_path / "both"
    text = refused(capsys, "import-data", first, coco, "--images", coco.parent, "--out", both)
    assert text == "--images names the pictures of one source, but there are several.\n"
    (coco.parent / "photos").rename(coco.parent / "images")
    assert call("import-data", first, coco, "--out", both, "--test-part", 0) == 0
    assert "7 images to train on, 0 to test on" in capsys.readouterr().out
    assert len(list((both / "train2017").iterdir())) == 7
    recipe = json.loads((both / "import.json").read_text())
    assert [path.rpartition("/")[2] for path in recipe["imported_from"]] == [
        "instances_train2017.json",
        coco.name,
    ]


def test_pictures_may_lie_in_images_beside_the_file(tmp_path):
    coco = write_coco(tmp_path, plan(3))
    (tmp_path / "photos").rename(tmp_path / "images")
    names = {image["file_name"] for image in read_own_data(coco).content["images"]}
    assert names == {str(tmp_path / "images" / name) for name in plan(3)}
    assert load_dataset(coco).load_image(0).shape[2] == 3
