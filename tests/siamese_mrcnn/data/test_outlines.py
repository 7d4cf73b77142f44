"""Outlines in all forms: read, measured without drawing as with it, and never drawn unchecked."""

import copy
import re

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from coco_folder import HEIGHT, WIDTH, compressed_run_lengths, plain_run_lengths, square
from siamese_mrcnn.data import outlines
from siamese_mrcnn.data.outlines import check_outlines, run_lengths

POLYGON, MASK = square(2, 3, 4)
PLAIN, PACKED = plain_run_lengths(MASK), compressed_run_lengths(MASK)
OTHER = square(7, 9, 3)
IMAGES = {1: {"id": 1, "height": HEIGHT, "width": WIDTH}}


def annotation(outline, **more):
    return {"id": 1, "image_id": 1, "iscrowd": 0, "segmentation": outline} | more


def pixels(annotation):
    return rle_tools.decode(run_lengths(annotation["segmentation"], HEIGHT, WIDTH)).astype(bool)


@pytest.mark.parametrize(
    "outline",
    [
        [POLYGON],
        POLYGON,
        [[POLYGON]],
        [np.array(POLYGON, float)],
        [[str(number) for number in POLYGON]],
        [[], POLYGON],
        [[1, 1, 2, 2], POLYGON],
        [POLYGON, POLYGON],
        PLAIN,
        PACKED,
        PACKED | {"counts": PACKED["counts"].encode()},
        {
            "size": [float(HEIGHT), str(WIDTH)],
            "counts": [float(count) for count in PLAIN["counts"]],
        },
        PLAIN | {"counts": [*PLAIN["counts"], 0, 0]},
        [PACKED],
        [PLAIN, PACKED],
    ],
)
def test_every_form_is_the_same_mask(outline):
    item = annotation(copy.deepcopy(outline))
    assert check_outlines([item], IMAGES) == ({}, [], [], [])
    np.testing.assert_array_equal(pixels(item), MASK)
    assert (item["bbox"], item["area"]) == ([3, 2, 4, 4], 16)
    again = copy.deepcopy(item)
    assert check_outlines([again], IMAGES) == ({}, [], [], []) and again["area"] == 16


@pytest.mark.parametrize("outline", [None, [], "", {}, [[]], [[1, 2, 3, 4]], {"counts": []}])
def test_no_outline(outline):
    assert check_outlines([annotation(outline)], IMAGES).missing == [0]


@pytest.mark.parametrize(
    "outline",
    [
        [[1, 1, 8, 1, 4, 1]],
        [[4.1, 4.1, 4.3, 4.1, 4.2, 4.3]],
        [[500, 500, 600, 500, 600, 600]],
        [[-50, -50, -10, -50, -10, -10]],
        [[1, 3.0, 15, 3.0, 15, 3.1, 1, 3.1]],
        {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
    ],
)
@pytest.mark.parametrize("area", [0, 100, None])
def test_outlines_that_cover_no_pixel(outline, area):
    item = annotation(copy.deepcopy(outline), area=area, bbox=[1, 1, 5, 5])
    assert check_outlines([item], IMAGES).empty == [0]


@pytest.mark.parametrize(
    ("outline", "bbox", "area"),
    [
        ([[500, 500, 600, 500, 600, 600]], [500, 500, 100, 100], 5000),
        ([[-50, -50, -10, -50, -10, -10]], [-50, -50, 40, 40], 800),
        ([[0, 3.0, 50, 3.0, 50, 3.1, 0, 3.1]], [0, 3, 50, 0.1], 5),
    ],
)
def test_outlines_whose_box_and_area_hide_that_they_are_empty(outline, bbox, area):
    item = annotation(outline, bbox=bbox, area=area)
    assert check_outlines([item], IMAGES).empty == [0]


FAR = "points far outside the image, or that are no numbers"
LISTS = "must be a list"


@pytest.mark.parametrize(
    ("outline", "why"),
    [
        (5, "but is 5"),
        (True, "but is True"),
        ("abc", "but is 'abc'"),
        (["abc"], "something other than numbers"),
        ([["a"] * 6], "something other than numbers"),
        ([[[3, 2], [7, 2], [7, 6]]], LISTS),
        ([[3, 2], [7, 2], [7, 6]], LISTS),
        ([{"x": 3, "y": 2}] * 3, "something other than numbers"),
        ([POLYGON[:7]], LISTS),
        (POLYGON[:7], LISTS),
        ([POLYGON, {"a": 1}], "something other than numbers"),
        ([POLYGON, PLAIN], "something other than numbers"),
        ([[3, 2, 7, 2, 7, float("nan")]], FAR),
        ([[3, 2, 7, 2, 7, float("-inf")]], FAR),
        ([[3, 2, 7, None, 7, 6]], FAR),
        ([[3, 2, 7, 2, 7, 1e12]], FAR),
        ([[3, 2, 7, 2, 7, 10**400]], "something other than numbers"),
        ([[0, 0, 90_000, 9, 0, 9] * 10], "edges are .* pixels long"),
        ([POLYGON] * 5000, "5000 polygons"),
        ({"size": [HEIGHT, WIDTH]}, "lacks 'counts'"),
        ({"counts": [1]}, "lacks 'size'"),
        (PLAIN | {"size": [WIDTH, HEIGHT]}, "height and width are exchanged"),
        (PLAIN | {"size": [5, 6]}, r"for an image of \[5, 6\]"),
        (PLAIN | {"size": 5}, "something other than numbers"),
        (PLAIN | {"size": [12.5, 16]}, "no whole number"),
        (PLAIN | {"counts": [-1, HEIGHT * WIDTH + 1]}, "must add up"),
        (PLAIN | {"counts": [2**63 - 1, 2**63 - 1, 2, HEIGHT * WIDTH]}, "must add up"),
        (PLAIN | {"counts": [0.5, HEIGHT * WIDTH - 0.5]}, "must add up"),
        (PLAIN | {"counts": [float("nan"), 1]}, "must add up"),
        (PLAIN | {"counts": [[1], [2]]}, "must add up"),
        (PLAIN | {"counts": 5}, "must add up"),
        (PLAIN | {"counts": {"a": 1}}, "something other than numbers"),
        (PLAIN | {"counts": ["a"]}, "something other than numbers"),
        (PACKED | {"counts": str(PACKED["counts"].encode())}, "characters"),
        (PACKED | {"counts": PACKED["counts"] + "o"}, "cut off"),
        (PACKED | {"counts": "1" * 9}, "must add up"),
        (PACKED | {"counts": "o" * 9 + "0"}, "too large"),
        (PACKED | {"counts": "é"}, "characters"),
    ],
)
def test_outlines_that_are_damaged(outline, why):
    items = [annotation([POLYGON]), annotation(copy.deepcopy(outline)), annotation(PLAIN)]
    found = check_outlines(items, IMAGES)
    assert list(found.damaged) == [1] and not found.empty
    assert re.search(why, found.damaged[1]), found.damaged[1]


def test_nothing_takes_long(monkeypatch):
    """100,000 long edges, drawn, would take minutes; they are counted, not drawn."""
    drawn = []
    monkeypatch.setattr(outlines.rle_tools, "frPyObjects", lambda *given: drawn.append(given))
    zigzag = np.tile([0.0, 0.0, 99_000.0, 11.0], 50_000)
    assert "pixels long" in check_outlines([annotation([zigzag])], IMAGES).damaged[0]
    assert not drawn


def random_outlines(count):
    rng = np.random.default_rng(3)
    for _ in range(count):
        parts = []
        for _ in range(rng.integers(1, 4)):
            points = rng.normal(
                rng.uniform(-2, 18, 2), rng.uniform(0.1, 6), (rng.integers(3, 8), 2)
            )
            parts.append(points.round(rng.integers(0, 3)).ravel().tolist())
        yield parts


def test_what_is_measured_without_drawing_agrees_with_masks():
    """Empty outlines are found, and boxes and areas that are right are left alone."""
    items = [annotation(parts, number=n) for n, parts in enumerate(random_outlines(1500))]
    masks = []
    for item in items:
        code = rle_tools.merge(rle_tools.frPyObjects(item["segmentation"], HEIGHT, WIDTH))
        masks.append(rle_tools.decode(code).astype(bool))
        item["bbox"], item["area"] = rle_tools.toBbox(code).tolist(), float(rle_tools.area(code))
    right = [(item["bbox"], item["area"]) for item in items]
    found = check_outlines(items, IMAGES)
    empty = [n for n, mask in enumerate(masks) if not mask.any()]
    assert sorted(found.empty) == empty and 20 < len(empty) < 1000
    assert not found.damaged and not found.measured
    assert [(item["bbox"], item["area"]) for item in items] == right


def test_wrong_boxes_are_found_whether_drawn_or_not():
    items = [annotation(parts) for parts in random_outlines(300)]
    shifted = copy.deepcopy(items)
    found = check_outlines(items, IMAGES, draws_all=True)
    for wrong, right in zip(shifted, items, strict=True):
        x, y, width, height = right.get("bbox", [0, 0, 1, 1])
        wrong |= {"bbox": [x + 3, y, width, height], "area": right.get("area", 1)}
    again = check_outlines(shifted, IMAGES)
    assert sorted(again.measured + again.empty) == list(range(300))
    assert sorted(again.empty) == sorted(found.empty)
    for number in again.measured:
        assert shifted[number]["bbox"] == items[number]["bbox"]


def test_many_masks_are_measured():
    """pycocotools counts the masks of a list in eight bits."""
    items = [annotation(PLAIN if n % 2 else plain_run_lengths(OTHER[1])) for n in range(600)]
    assert check_outlines(items, IMAGES) == ({}, [], [], [])
    assert [item["area"] for item in items] == [9, 16] * 300
