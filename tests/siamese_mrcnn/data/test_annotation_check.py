"""The checking pass over COCO files as programs write them: put right with a word, or refused."""

import copy
import json
import logging
import re

import numpy as np
import pytest

from coco_folder import HEIGHT, WIDTH, annotation, square
from siamese_mrcnn.data.annotation_check import MOST_PIXELS
from siamese_mrcnn.data.coco_annotations import Annotations, decode_mask
from siamese_mrcnn.data.outlines import AnnotationError

PLACES = {1: (2, 3, 4), 2: (7, 9, 3)}  # (y, x, size) of the square in each image


def content():
    """Images 1 and 2, a square in each, of the categories 1 (cup) and 2 (pen)."""
    return {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in PLACES
        ],
        "annotations": [
            annotation(n, n, n, [square(y, x, s)[0]], bbox=[x, y, s, s], area=s * s)
            for n, (y, x, s) in PLACES.items()
        ],
        "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "pen"}],
    }


def changed(kind, /, **values):
    """The content with other values in the entries of a list; a callable is given the old one."""
    result = content()
    for entry in result[kind]:
        for key, value in values.items():
            entry[key] = value(entry[key]) if callable(value) else value
    return result


def checked(given):
    """Annotations of what JSON makes of the content."""
    return Annotations(json.loads(json.dumps(given)), "flowers.json")


def shown(annotations):
    """{file name: [(category name, mask)]}."""
    return {
        image["file_name"]: [
            (annotations.cats[each["category_id"]]["name"], decode_mask(each, image).tobytes())
            for each in annotations.imgToAnns[image["id"]]
        ]
        for image in annotations.dataset["images"]
    }


EXPECTED = shown(Annotations(content(), "flowers.json"))


# --- ids ----------------------------------------------------------------------------------------


def with_image_ids(change):
    given = content()
    for image in given["images"]:
        image["id"] = change(image["id"])
    for each in given["annotations"]:
        each["image_id"] = change(each["image_id"])
    return given


def with_category_ids(change):
    given = content()
    for category in given["categories"]:
        category["id"] = change(category["id"])
    for each in given["annotations"]:
        each["category_id"] = change(each["category_id"])
    return given


@pytest.mark.parametrize("rename", [with_image_ids, with_category_ids])
@pytest.mark.parametrize(
    ("change", "numbers", "words"),
    [
        (lambda n: n - 1, [0, 1], None),
        (float, [1, 2], None),
        (str, [1, 2], "are texts, read as the numbers"),
        (lambda n: f" 00{n}", [1, 2], "are texts, read as the numbers"),
        (lambda n: f"{n}.0", [1, 2], "are texts, read as the numbers"),
        (lambda n: f"img_{9 - n}", [1, 2], r"no whole numbers .*'img_8'.* numbered from 1"),
        (lambda n: -n, [1, 2], "such as -1"),
        (lambda n: n + 10**30, [1, 2], "numbered from 1"),
        (lambda n: n if n == 1 else "b", [1, 2], "such as 'b'"),
    ],
)
def test_ids_that_can_be_understood(rename, change, numbers, words, caplog):
    annotations = checked(rename(change))
    assert shown(annotations) == EXPECTED
    ids = annotations.imgs if rename is with_image_ids else annotations.cats
    assert sorted(ids) == numbers
    if words is None:
        assert not caplog.text or "texts" in caplog.text
    else:
        assert caplog.records and re.search(words, caplog.text)


def test_references_may_be_texts_where_ids_are_numbers():
    given = changed("annotations", image_id=str, category_id=float)
    assert shown(checked(given)) == EXPECTED


@pytest.mark.parametrize("name", ["images", "categories"])
@pytest.mark.parametrize("value", [None, True, [1], {"a": 1}, 1.5, "", float("nan")])
def test_ids_that_are_none_are_refused(name, value):
    with pytest.raises(AnnotationError, match=f"2 of 2 {name} have an id that is neither"):
        checked(changed(name, id=value))


@pytest.mark.parametrize("name", ["images", "categories"])
def test_an_id_of_two_things_is_refused_and_one_said_twice_counts_once(name, caplog):
    with pytest.raises(AnnotationError, match=f"id 1 is that of several {name}, '1?c?.*' and "):
        checked(changed(name, id=1))
    given = content()
    given[name].append(copy.deepcopy(given[name][0]))
    assert shown(checked(given)) == EXPECTED
    assert f"1 {name} are listed more than once" in caplog.text


@pytest.mark.parametrize(
    "ids",
    [(0, 0), (1, 1), (None, 1), ("a", "b"), (-1, 3), (1.5, 2), (True, 2), (10**40, 1), ([], 1)],
)
def test_annotation_ids_that_do_not_tell_apart_are_counted_anew(ids, caplog):
    given = content()
    for each, number in zip(given["annotations"], ids, strict=True):
        each["id"] = number
    annotations = checked(given)
    assert sorted(annotations.anns) == [1, 2] and shown(annotations) == EXPECTED
    assert "ids of its annotations are not whole numbers that differ" in caplog.text


@pytest.mark.parametrize("ids", [(0, 1), (7, 3), ("5", "6"), (2.0, 4.0)])
def test_annotation_ids_that_serve_are_kept(ids, caplog):
    given = content()
    for each, number in zip(given["annotations"], ids, strict=True):
        each["id"] = number
    assert list(checked(given).anns) == [int(number) for number in ids]
    assert not caplog.text


def test_annotation_ids_may_lack():
    given = content()
    for each in given["annotations"]:
        del each["id"]
    assert shown(checked(given)) == EXPECTED


def test_orphans_are_left_out_and_nothing_but_orphans_refused(caplog):
    for key in ("image_id", "category_id"):
        given = content()
        given["annotations"][0][key] = [99]
        assert len(checked(given).anns) == 1
        assert "left out 1 annotations of images or categories" in caplog.text
    with pytest.raises(AnnotationError, match="all 2 annotations are of images or categories"):
        checked(changed("annotations", image_id=99))


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "0", False, 0.0, "", 0, "false", "0.0"])
def test_no_crowd(value):
    annotations = checked(changed("annotations", iscrowd=value))
    assert [each["iscrowd"] for each in annotations.anns.values()] == [0, 0]


@pytest.mark.parametrize("value", [1, "1", True, 1.0, "true"])
def test_crowds(value):
    annotations = checked(changed("annotations", iscrowd=value))
    assert [each["iscrowd"] for each in annotations.anns.values()] == [1, 1]


@pytest.mark.parametrize("value", [2, "many", [1], {}, -1, 0.5])
def test_iscrowd_that_says_nothing(value):
    with pytest.raises(AnnotationError, match=r"annotation 1 has iscrowd .* must be 0"):
        checked(changed("annotations", iscrowd=value))


@pytest.mark.parametrize("value", [0, 1.5, None, True, [], {}, "", "  "])
def test_names_of_categories_must_be_texts(value):
    with pytest.raises(AnnotationError, match=r"category 1 has the name .* needs a text"):
        checked(changed("categories", name=value))


def test_names_are_trimmed():
    assert checked(changed("categories", name=" sea lily\n")).cats[1]["name"] == "sea lily"


@pytest.mark.parametrize("value", [None, 5, "", " ", [], "a\0b"])
def test_file_names_must_be_texts(value):
    with pytest.raises(AnnotationError, match=r"image 1 has the file_name .* needs a text"):
        checked(changed("images", file_name=value))


@pytest.mark.parametrize("value", [str, float, lambda side: f" {side} "])
def test_sizes_that_can_be_understood(value):
    annotations = checked(changed("images", height=value, width=value))
    sizes = [(image["height"], image["width"]) for image in annotations.imgs.values()]
    assert sizes == [(HEIGHT, WIDTH)] * 2 and shown(annotations) == EXPECTED


@pytest.mark.parametrize("value", [None, 0, -3, "tall", 12.5, float("inf"), True, [12]])
def test_sizes_that_are_none(value):
    with pytest.raises(AnnotationError, match=r"2 of 2 images have a height or width.*1\.png, 2"):
        checked(changed("images", height=value))


def test_sizes_that_no_mask_could_have():
    with pytest.raises(AnnotationError, match=f"is said to be 16 x 1000000000 .* {MOST_PIXELS}"):
        checked(changed("images", height=10**9))


# --- boxes and areas ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bbox",
    [
        None,
        [],
        [0, 0, 0, 0],
        [3, 2, 7, 6],  # corners in place of sides
        [0.19, 0.17, 0.25, 0.33],  # parts of the image
        ["3", "2", "4", "4"],
        [3, 2, 4],
        [3, 2, 4, None],
        [3, 2, 4, 10**400],
        "3 2 4 4",
        {"x": 3},
    ],
)
@pytest.mark.parametrize("area", [None, 0, -1, 1.6e-5, 10**400, "16", float("nan"), [16], 1600])
def test_boxes_and_areas_that_are_not_those_of_the_outline(bbox, area):
    given = content()
    given["annotations"][0] |= {"bbox": bbox, "area": area}
    found = checked(given).anns[1]
    assert (found["bbox"], found["area"]) == ([3, 2, 4, 4], 16)


def test_boxes_and_areas_that_fit_are_left_alone(caplog):
    given = content()
    given["annotations"][0] |= {"bbox": [2.6, 1.5, 4.9, 4.2], "area": 17.25}
    found = checked(given).anns[1]
    assert (found["bbox"], found["area"]) == ([2.6, 1.5, 4.9, 4.2], 17.25)
    given["annotations"][0]["bbox"] = [0, 0, 4, 4]
    assert not caplog.text
    assert checked(given).anns[1]["bbox"] == [3, 2, 4, 4]
    assert "1 annotations have a box or an area that is not that of their outline" in caplog.text


# --- nothing to learn ---------------------------------------------------------------------------


@pytest.mark.parametrize("outline", [None, [], "", {}, [[]], [[3, 3, 9, 9]], [[], [1, 2]]])
def test_boxes_alone_are_named_and_taken_when_said_so(outline, caplog):
    given = changed("annotations", segmentation=outline)
    with pytest.raises(AnnotationError, match=r"none of its 2 .* 2 have a box .*--boxes-as-masks"):
        checked(given)
    assert shown(Annotations(copy.deepcopy(given), "a", boxes_as_masks=True)) == EXPECTED
    given["annotations"][0] = content()["annotations"][0]
    with caplog.at_level(logging.WARNING):
        assert list(checked(given).anns) == [1]
    assert "left out 1 annotations that cover no pixel (ids 2)" in caplog.text


def test_keypoints_alone_are_named():
    given = changed("annotations", segmentation=None, keypoints=[1, 2, 2], bbox=None)
    for each in given["annotations"]:
        each["keypoints"] = [1, 2, 2]
    with pytest.raises(AnnotationError, match="2 have keypoints only"):
        checked(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1, 2], "holds a list"),
        (content() | {"annotations": {"1": {}}}, "no list of annotations"),
        ({"images": [1], "annotations": [2]}, "entry 0 of images lacks id, file_name"),
        (content() | {"annotations": [{"image_id": 1, "caption": "a cup"}]}, "are captions"),
        (content() | {"annotations": [{"image_id": 1, "segments_info": []}]}, "panoptic"),
        ({"version": "5.0", "shapes": [], "imagePath": "0.png"}, "labelme"),
        ({"_via_img_metadata": {}}, "VIA"),
        ({"project": {}, "file": {}, "metadata": {}, "view": {}}, "VIA 3, which is not read"),
        ({key: value for key, value in content().items() if key != "categories"}, "categories"),
    ],
)
def test_other_files_are_named_for_what_they_are(given, words):
    with pytest.raises(AnnotationError, match=words) as caught:
        checked(given)
    assert "flowers.json" in str(caught.value)


def test_the_order_of_images_counts_those_whose_outlines_are_empty(caplog):
    """What the paper kept for validation must not move with an outline that covers no pixel."""
    given = content()
    given["annotations"][0]["segmentation"] = [[100, 100, 120, 100, 120, 120]]
    annotations = checked(given)
    assert annotations.image_order == [1, 2] and list(annotations.anns) == [2]
    assert "(ids 1)" in caplog.text
    assert not np.any(annotations.imgToAnns[1])
