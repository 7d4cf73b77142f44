"""Annotation files that are damaged, incomplete or no COCO files: told, filled in or refused."""

import logging

import numpy as np
import pytest

from coco_folder import HEIGHT, WIDTH, annotation, find, square, write
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


@pytest.mark.parametrize(
    ("outline", "sentence"),
    [
        ({"counts": [10, 20], "size": [5, 6]}, r"annotation 9 .* for an image of \[5, 6\]"),
        ({"counts": [10, 20], "size": [HEIGHT, WIDTH]}, "annotation 9 .* must add up to .* 192"),
        ({"counts": [200, -8], "size": [HEIGHT, WIDTH]}, "annotation 9 "),
        ({"counts": "~~", "size": [HEIGHT, WIDTH]}, "annotation 9 .* characters"),
        ({"counts": "0", "size": [HEIGHT, WIDTH]}, "annotation 9 .* must add up to"),
        ({"counts": "é", "size": [HEIGHT, WIDTH]}, "annotation 9 "),
        ({"counts": 5, "size": [HEIGHT, WIDTH]}, "annotation 9 "),
        ([1, 2, 3, 4, 5, 6], "annotation 9 .*must be a list"),
        ([[1, 2, 3, 4, 5, 6, 7]], "annotation 9 .*must be a list"),
        ([["a", "b", "c", "d", "e", "f"]], "annotation 9 "),
        ([[1, 2, 3, 4, 5, 1e12]], "annotation 9 .*far outside"),
        ([[1, 2, 3, 4, 5, float("nan")]], "annotation 9 .*far outside"),
    ],
)
def test_damaged_outlines_are_named(tmp_path, outline, sentence):
    entries = [annotation(9, 5, 3, outline, area=5, bbox=[1, 1, 2, 2])]
    dataset = CocoDataset.from_folder(write(tmp_path / "coco", entries), "test")
    with pytest.raises(AnnotationError, match=sentence):
        dataset.load_mask(0)


def test_one_damaged_annotation_without_area_does_not_stop_the_rest(tmp_path, caplog):
    folder = write(
        tmp_path / "coco",
        [
            annotation(9, 5, 3, {"counts": [1], "size": [1, 1]}),
            annotation(10, 5, 3, [square(2, 3, 4)[0]]),
        ],
    )
    with caplog.at_level(logging.WARNING):
        dataset = CocoDataset.from_folder(folder, "test")
    assert "annotation 9" in caplog.text
    assert dataset.instances_of(0, 1) == (10,)


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
