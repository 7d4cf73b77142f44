"""Annotation files that are damaged, incomplete or no COCO files: told, filled in or refused."""

import gc
import json
import logging

import numpy as np
import pytest

from coco_folder import HEIGHT, WIDTH, annotation, find, square, write
from siamese_mrcnn.data import coco_annotations
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.coco_annotations import AnnotationError, read_annotations


def test_annotations_that_show_nothing_are_left_out_and_reported(tmp_path, caplog):
    line = [1, 1, 8, 1, 4, 1]
    empty = {"counts": [HEIGHT * WIDTH], "size": [HEIGHT, WIDTH]}
    outlines = [[], None, [[1, 2, 3, 4]], empty, {"counts": "", "size": [HEIGHT, WIDTH]}]
    annotations = [annotation(n, 11, 7, outline) for n, outline in enumerate(outlines)]
    annotations.append(annotation(50, 11, 3, [square(2, 3, 4)[0]]))
    without = annotation(60, 8, 7, [])
    del without["segmentation"]
    folder = write(tmp_path / "coco", [*annotations, without, annotation(70, 5, 7, [line])])
    with caplog.at_level(logging.WARNING):
        dataset = CocoDataset.from_folder(folder, "test")
    assert "left out 7 annotations" in caplog.text
    assert dataset.classes_in(find(dataset, 11)) == (1,)
    assert dataset.load_mask(find(dataset, 11))[1].tolist() == [1]
    masks, class_ids = dataset.load_mask(find(dataset, 8))
    assert masks.shape == (HEIGHT, WIDTH, 0) and class_ids.shape == (0,)


def test_a_wrong_area_of_zero_does_not_hide_an_instance(tmp_path):
    polygon, mask = square(2, 3, 4)
    folder = write(tmp_path / "coco", [annotation(1, 5, 3, [polygon], area=0, bbox=[0, 0, 0, 0])])
    dataset = CocoDataset.from_folder(folder, "test")
    np.testing.assert_array_equal(dataset.load_masks_of(0, 1)[..., 0], mask)


def test_missing_area_box_and_crowd_flag_are_filled_in(tmp_path):
    entry = annotation(1, 5, 3, [square(2, 3, 4)[0]])
    del entry["iscrowd"]
    dataset = CocoDataset.from_folder(write(tmp_path / "coco", [entry]), "test")
    filled = dataset.coco.anns[1]
    assert (filled["area"], filled["bbox"], filled["iscrowd"]) == (16, [3, 2, 4, 4], 0)


def test_damaged_outlines_are_named_before_anything_else_happens(tmp_path):
    entries = [annotation(10, 5, 3, [square(2, 3, 4)[0]])]
    entries += [annotation(n, 5, 3, [[1, 2, 3, 4, 5, 6, 7]], area=5) for n in range(20, 27)]
    folder = write(tmp_path / "coco", entries)
    words = (
        r"outlines of 7 of 8 annotations cannot be read: annotation 20 \(image 5, 5.png\): a "
        r"polygon must be a list .* and 2 more\. Correct or remove them"
    )
    with pytest.raises(AnnotationError, match=words):
        CocoDataset.from_folder(folder, "test")


def test_annotations_of_unlisted_images_and_categories_are_left_out(tmp_path, caplog):
    polygon = square(2, 3, 4)[0]
    entries = [annotation(n, i, c, [polygon]) for n, (i, c) in enumerate([(5, 3), (99, 3), (5, 4)])]
    with caplog.at_level(logging.WARNING):
        dataset = CocoDataset.from_folder(write(tmp_path / "coco", entries), "test")
    assert "left out 2 annotations" in caplog.text
    assert [info["id"] for info in dataset.image_info] == [5]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"images": [', "not valid JSON.*cut off"),
        ("[1, 2]", "holds a list"),
        ("[" * 100_000, "not valid JSON"),
        (f'{{"images": {"1" * 5000}}}', "not valid JSON"),
        ('{"images": [], "annotations": []}', "lists no images"),
        ('{"annotations": [{}]}', "no list of images"),
        ('{"images": [{"id": 1}]}', "entry 0 of images lacks file_name, height, width"),
    ],
)
def test_files_that_are_not_coco_are_refused_in_sentences(tmp_path, text, sentence):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=sentence) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_a_file_without_categories_is_refused(tmp_path):
    folder = write(tmp_path / "coco", [annotation(1, 5, 3, [])], categories=())
    with pytest.raises(AnnotationError, match="lists no categories"):
        CocoDataset.from_folder(folder, "test")


def test_binary_content_is_refused(tmp_path):
    path = tmp_path / "instances.json"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(AnnotationError, match="archive"):
        read_annotations(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_of_other_systems(tmp_path, encoding):
    folder = write(tmp_path / "coco", [annotation(1, 5, 3, [square(2, 3, 4)[0]])])
    path = folder / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "Hündin"
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    assert read_annotations(path).cats[7]["name"] == "Hündin"


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_paused_while_reading_and_left_as_it_was(tmp_path, monkeypatch, was_on):
    folder = write(tmp_path / "coco", [annotation(1, 5, 3, [square(2, 3, 4)[0]])])
    file = folder / "annotations" / "instances_val2017.json"
    seen = []
    monkeypatch.setattr(
        coco_annotations, "check_content", lambda *_: seen.append(gc.isenabled()) or []
    )
    (gc.enable if was_on else gc.disable)()
    try:
        read_annotations(file)
        file.write_text("{")
        with pytest.raises(AnnotationError, match="is not valid JSON"):
            read_annotations(file)
        assert seen == [False] and gc.isenabled() == was_on
    finally:
        gc.enable()
