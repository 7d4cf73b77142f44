"""Data of one's own, annotated in any way: the same data set."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_tools

from mrcnn.data.dataset import Dataset
from mrcnn.data.mask_folder import MaskFileError
from mrcnn.data.via import ViaError
from mrcnn.images.image import ImageError
from own_folders import (
    CATEGORIES,
    plan,
    square,
    write_coco,
    write_json,
    write_masks,
    write_pictures,
    write_via,
)
from siamese_mrcnn.data.coco_annotations import AnnotationError, decode_mask, read_json
from siamese_mrcnn.own_data import load
from siamese_mrcnn.own_data.load import OwnDataError, load_dataset, open_data, read_own_data

BLANK = {"kind": " "}


def every_kind(folder, scenes):
    """How to open the same data in each way: arguments of `load_dataset`."""
    coco = write_coco(folder / "coco", scenes)
    return {
        "coco": (coco, coco.parent / "photos"),
        "via": (write_via(folder / "via", scenes),),
        "masks": (write_masks(folder / "masks", scenes),),
    }


def changed(path, change):
    """Read a JSON file, change its content in place, and write it back."""
    content = json.loads(path.read_text())
    change(content)
    return write_json(path, content)


def test_all_kinds_are_one_data_set(tmp_path):
    scenes = plan()
    for arguments in every_kind(tmp_path, scenes).values():
        names = read_own_data(*arguments).names
        dataset = load_dataset(*arguments)
        assert isinstance(dataset, Dataset)
        assert dataset.class_names == ["BG", *CATEGORIES]
        assert [names[info["path"]] for info in dataset.image_info] == [*scenes]
        for image_id, squares in enumerate(scenes.values()):
            masks, class_ids = dataset.load_mask(image_id)
            found = {
                (int(class_id), masks[..., index].tobytes())
                for index, class_id in enumerate(class_ids)
            }
            expected = {
                (1 + CATEGORIES.index(category), square(*place).tobytes())
                for category, *place in squares
            }
            assert found == expected and masks.shape[2] == len(squares)
            assert dataset.load_image(image_id).shape == (*masks.shape[:2], 3)


def test_areas_and_boxes_are_those_of_the_masks(tmp_path):
    for arguments in every_kind(tmp_path, plan(4)).values():
        data = read_own_data(*arguments)
        image_of = {image["id"]: image for image in data.content["images"]}
        assert len(data.content["annotations"]) == 6
        for annotation in data.content["annotations"]:
            mask = decode_mask(annotation, image_of[annotation["image_id"]])
            rows, columns = np.nonzero(mask)
            width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == [columns.min(), rows.min(), width, height]
            if isinstance(annotation["segmentation"], dict):
                np.testing.assert_array_equal(rle_tools.decode(annotation["segmentation"]), mask)


def test_portions_are_cut_as_those_of_coco(tmp_path):
    for arguments in every_kind(tmp_path, plan(10)).values():
        parts = [load_dataset(*arguments, portion=part) for part in ("train", "validation")]
        assert [part.num_images for part in parts] == [9, 1]


def test_a_folder_in_cocos_layout(shapes_folder):
    assert load_dataset(shapes_folder).num_images == 8
    assert load_dataset(shapes_folder, portion="train", classes=[2]).active_classes == (2,)
    training = [image["file_name"] for image in read_own_data(shapes_folder).content["images"]]
    assert {Path(name).parent for name in training} == {Path(shapes_folder) / "train2017"}
    with pytest.raises(OwnDataError, match="--attribute cannot be chosen for a folder in COCO's"):
        load_dataset(shapes_folder, attribute="kind")


def test_the_attribute_that_names_the_category(tmp_path):
    path = write_via(tmp_path, plan(3))

    def number_regions(content):
        for entry in content.values():
            for number, region in enumerate(entry["regions"]):
                region["region_attributes"]["number"] = str(number)

    changed(path, number_regions)
    assert load_dataset(path, attribute="kind").class_names == ["BG", *CATEGORIES]
    assert load_dataset(path, attribute="number").class_names == ["BG", "0", "1"]
    assert load_dataset(path, category="flower").class_names == ["BG", "flower"]
    with pytest.raises(OwnDataError, match=r"have 2 attributes \(kind, number\).*--attribute NAME"):
        load_dataset(path)
    with pytest.raises(OwnDataError, match=r"has the attribute 'sort'. There are: kind, number"):
        load_dataset(path, attribute="sort")
    with pytest.raises(OwnDataError, match="give one of the two"):
        load_dataset(path, attribute="kind", category="flower")


def test_regions_without_attributes_need_a_category(tmp_path):
    path = write_via(tmp_path, plan(2), attribute=None)
    with pytest.raises(OwnDataError, match=r"have 0 attributes \(none\).*--category NAME"):
        load_dataset(path)
    assert load_dataset(path, category="flower").class_names == ["BG", "flower"]
    changed(path, lambda content: content["0.png123"]["regions"][0].update(region_attributes=BLANK))
    with pytest.raises(ViaError, match=r"Region 0 of 0.png .* needs one label"):
        load_dataset(path, attribute="kind")


def test_masks_in_no_folder_of_a_category_need_one(tmp_path):
    path = write_masks(tmp_path, plan(2)) / "0/masks/1.png"
    Image.fromarray(square(3, 3, 3)).save(path)
    with pytest.raises(MaskFileError, match=r"1.png is of no category.*--category NAME"):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, category="weed").class_names[-1] == "weed"
    with pytest.raises(OwnDataError, match="--images cannot be chosen for a folder of masks"):
        load_dataset(tmp_path, images=tmp_path)


def test_what_covers_no_pixel_is_left_out_and_said(tmp_path, caplog):
    path = write_via(tmp_path / "via", plan(2))
    outside = {"name": "circle", "cx": 400, "cy": 400, "r": 5}
    changed(
        path, lambda content: content["0.png123"]["regions"][0].update(shape_attributes=outside)
    )
    data = read_own_data(path)
    assert len(data.content["annotations"]) == 2 and len(data.content["images"]) == 2
    assert data.notes == (
        f"1 regions cover no pixel and are left out: Region 0 of 0.png in {path}.",
    )
    load_dataset(path)
    assert "cover no pixel" in caplog.text


def test_images_may_be_named_by_paths_of_another_computer(tmp_path):
    def move(content):
        for image, start in zip(content["images"], ("C:\\photos\\", "/data/photos/"), strict=True):
            image["file_name"] = start + image["file_name"]

    path = changed(write_coco(tmp_path, plan(2)), move)
    names = [
        image["file_name"] for image in read_own_data(path, tmp_path / "photos").content["images"]
    ]
    assert names == [str(tmp_path / "photos" / name) for name in plan(2)]

    def same_name(content):
        for image, folder in zip(content["images"], "ab", strict=True):
            image["file_name"] = f"{folder}/0.png"

    changed(path, same_name)
    with pytest.raises(ImageError, match=r"images a/0.png and b/0.png of .* both lead to"):
        read_own_data(path, tmp_path / "photos")


def test_missing_images_are_named(tmp_path):
    for path in (write_coco(tmp_path / "coco", plan(7)), write_via(tmp_path / "via", plan(7))):
        elsewhere = write_pictures(tmp_path / f"only-{path.stem}", plan(1))
        words = r"6 images of .* are not in .*only-.*: 1.png, .*, 5.png and 1 more\. Give"
        with pytest.raises(FileNotFoundError, match=words):
            read_own_data(path, elsewhere)


def test_names_that_no_file_can_have_are_missing(tmp_path):
    def rename(content):
        for image, name in zip(content["images"], ("x" * 5000 + ".png", "\ud800.png"), strict=True):
            image["file_name"] = name

    path = changed(write_coco(tmp_path, plan(2)), rename)
    with pytest.raises(FileNotFoundError, match=r"2 images of .* are not in "):
        read_own_data(path, path.parent / "photos")


def test_images_of_another_size_than_the_file_says(tmp_path):
    path = changed(
        write_coco(tmp_path, plan(2)),
        lambda content: content["images"][1].update(width=40, height=48),
    )
    with pytest.raises(
        OwnDataError, match=r"1 images have another size .*1.png \(48 x 40, not 40 x 48\)"
    ):
        read_own_data(path, tmp_path / "photos")


def test_pictures_that_browsers_show_turned(tmp_path):
    path = write_via(tmp_path, plan(2))
    mark = Image.Exif()
    mark[0x0112] = 6
    Image.new("RGB", (48, 40)).save(tmp_path / "1.png", exif=mark)
    with pytest.raises(OwnDataError, match=r"1 images are marked \(EXIF\).*1.png\. .*import-data"):
        load_dataset(path)
    mark[0x0112] = 1
    Image.new("RGB", (48, 40)).save(tmp_path / "1.png", exif=mark)
    assert load_dataset(path).num_images == 2


def test_what_is_no_data(tmp_path):
    for name in ("nothing", ""):
        with pytest.raises(FileNotFoundError, match=r"There is no data in .* COCO or VIA file"):
            load_dataset(tmp_path / name)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(AnnotationError, match="not valid JSON"):
        load_dataset(tmp_path / "photo.jpg")
    with pytest.raises(AnnotationError, match="no list of images"):
        load_dataset(write_json(tmp_path / "other.json", {"forms": []}))
    path = write_via(tmp_path, plan(2))
    (tmp_path / "0.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"file .*0\.png is not an image"):
        load_dataset(path)


def test_words_of_via_make_no_via_file(tmp_path):
    path = changed(
        write_coco(tmp_path, plan(3)),
        lambda content: content.update(info={"file_attributes": {}, "shape_attributes": 1}),
    )
    assert load_dataset(path, tmp_path / "photos").num_images == 3


def test_boxes_as_masks(tmp_path):
    expected = load_dataset(write_coco(tmp_path, plan(3)), tmp_path / "photos")

    def leave_boxes(content):
        for each, item in zip(
            content["annotations"], expected.coco.dataset["annotations"], strict=True
        ):
            each |= {"segmentation": [], "bbox": item["bbox"]}

    path = changed(tmp_path / "flowers.json", leave_boxes)
    with pytest.raises(AnnotationError, match="--boxes-as-masks"):
        load_dataset(path, tmp_path / "photos")
    found = load_dataset(path, tmp_path / "photos", boxes_as_masks=True)
    for image_id in range(3):
        np.testing.assert_array_equal(found.load_mask(image_id)[0], expected.load_mask(image_id)[0])
    data = read_own_data(path, tmp_path / "photos", boxes_as_masks=True)
    assert len(data.content["annotations"]) == 4
    with pytest.raises(OwnDataError, match="--boxes-as-masks cannot be chosen for a VIA file"):
        load_dataset(write_via(tmp_path / "via", plan(2)), boxes_as_masks=True)


def test_missing_images_are_left_out_when_said_so(tmp_path):
    for path in (write_coco(tmp_path / "coco", plan(7)), write_via(tmp_path / "via", plan(7))):
        photos = tmp_path / f"only-{path.stem}"
        for name in ("1.png", "4.png"):
            write_pictures(photos, plan(7), only=name)
        data = read_own_data(path, photos, skip_missing=True)
        assert sorted(data.names.values()) == ["1.png", "4.png"]
        assert len(data.content["images"]) == 2 and len(data.content["annotations"]) == 3
        opened = load_dataset(path, photos, skip_missing=True)
        assert opened.num_images == 2
        with pytest.raises(FileNotFoundError, match=r"7 images of|none of the first"):
            load_dataset(path, tmp_path, skip_missing=True)


def test_both_parts_for_training_are_of_one_reading(tmp_path, monkeypatch):
    path, read = write_coco(tmp_path, plan(10)), []
    monkeypatch.setattr(load, "read_json", lambda path: read.append(path) or read_json(path))
    training, validation = open_data(path, "all", images=tmp_path / "photos")
    assert training.coco is validation.coco and read == [path]


def test_masks_of_pictures_that_are_shown_turned(tmp_path):
    folder = write_masks(tmp_path, plan(2))
    mark = Image.Exif()
    mark[0x0112] = 3
    path = folder / "1/images/any.png"
    Image.open(path).save(path, exif=mark)
    with pytest.raises(OwnDataError, match=r"1 images are marked \(EXIF\) .* cannot be known"):
        load_dataset(folder)


def test_forms_that_are_only_imported_say_so(tmp_path):
    (tmp_path / "via.csv").write_text("filename\n")
    with pytest.raises(
        OwnDataError, match=r"VIA's CSV: bring it into COCO's layout .* import-data"
    ):
        load_dataset(tmp_path / "via.csv")
