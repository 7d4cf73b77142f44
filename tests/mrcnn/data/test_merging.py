"""Finds of several views as one: by hand, and against a slow oracle on whole masks."""

import numpy as np
import pytest

from mrcnn.data.merging import View, merged
from mrcnn.data.postprocessing import Detections
from mrcnn.images.mask_pieces import MaskPiece
from mrcnn.images.tiles import tile_windows

SHAPE = (100, 180)
WHOLE, LEFT, RIGHT = (0, 0, 100, 180), (0, 0, 100, 100), (0, 80, 100, 180)


def seen(window, *rows, masks=None):
    """A `View` of finds (y1, x1, y2, x2, score[, class]) in pixels of the image."""
    top, left = window[:2]
    boxes = np.array([row[:4] for row in rows], np.int32).reshape(-1, 4)
    boxes = boxes - np.array([top, left, top, left], np.int32)
    found = Detections(
        rois=boxes,
        class_ids=np.array([row[5] if len(row) > 5 else 1 for row in rows], np.int32),
        scores=np.array([row[4] for row in rows], np.float32),
        masks=[MaskPiece.of_box(box) for box in boxes] if masks is None else masks,
    )
    return View.of(window, found, SHAPE)


def kept(*views):
    found = merged(list(views), SHAPE)
    return [
        (*box, round(float(score), 2))
        for box, score in zip(found.rois.tolist(), found.scores, strict=True)
    ]


def test_what_two_views_show_is_kept_once_the_better_one():
    twice = (seen(LEFT, (10, 82, 30, 94, 0.6)), seen(RIGHT, (10, 86, 30, 98, 0.8)))
    assert kept(*twice) == [(10, 86, 30, 98, 0.8)]
    # 5 of 12 columns are shared
    apart = (seen(LEFT, (10, 82, 30, 94, 0.6)), seen(RIGHT, (10, 89, 30, 101, 0.8)))
    assert kept(*apart) == [(10, 89, 30, 101, 0.8), (10, 82, 30, 94, 0.6)]


def test_a_piece_cut_off_does_not_stand_beside_the_whole_however_sure():
    cut, whole = (20, 85, 40, 100, 0.95), (20, 85, 40, 125, 0.5)
    assert kept(seen(LEFT, cut), seen(RIGHT, whole)) == [whole]
    assert kept(seen(WHOLE, whole), seen(LEFT, cut), seen(RIGHT)) == [whole]
    other_name = (*cut, 2)
    assert kept(seen(LEFT, other_name), seen(RIGHT, whole)) == [whole]
    assert kept(seen(LEFT, cut), seen(RIGHT)) == [cut]  # better than nothing
    at_the_border = (20, 160, 40, 180, 0.95), (20, 150, 40, 180, 0.5)
    assert kept(seen(WHOLE, at_the_border[1]), seen(RIGHT, at_the_border[0])) == [at_the_border[0]]


def test_one_view_is_left_as_it_is():
    rows = [(10, 10, 30, 30, 0.9), (12, 12, 28, 28, 0.8)]
    assert kept(seen(LEFT, *rows)) == rows
    assert kept(seen(WHOLE, rows[0]), seen(LEFT, rows[1])) == rows[:1]


def test_things_of_two_names_may_lie_within_each_other():
    mug, logo = (10, 10, 60, 60, 0.9, 1), (20, 20, 40, 40, 0.8, 2)
    assert len(kept(seen(WHOLE, mug), seen(LEFT, logo))) == 2
    same_place = (10, 10, 60, 55, 0.8, 2)
    assert kept(seen(WHOLE, mug), seen(LEFT, same_place)) == [mug[:5]]


def test_masks_decide_and_boxes_where_they_are_empty():
    lower, upper = np.tri(20, dtype=bool), ~np.tri(20, dtype=bool)
    box = (10, 20, 30, 40)
    one = seen(WHOLE, (*box, 0.9), masks=[MaskPiece(10, 20, lower)])
    other = seen(LEFT, (*box, 0.8), masks=[MaskPiece(10, 20, upper)])
    assert len(kept(one, other)) == 2
    empty = seen(LEFT, (*box, 0.8), masks=[MaskPiece.of(np.zeros((4, 4), bool))])
    assert len(kept(seen(WHOLE, (*box, 0.9)), empty)) == 1
    assert len(kept(one, seen(LEFT))) == 1 and kept(seen(LEFT), seen(WHOLE)) == []


def test_without_masks_boxes_are_merged():
    views = [seen(LEFT, (10, 82, 30, 94, 0.6)), seen(RIGHT, (10, 83, 30, 94, 0.8))]
    for view in views:
        view.found["masks"] = None
    found = merged(views, SHAPE)
    assert found.masks is None and len(found) == 1


@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_whole_masks_give(seed):
    rng = np.random.default_rng(seed)
    windows = [WHOLE, *tile_windows(SHAPE, 64)]
    views = [random_view(rng, window) for window in windows]
    found, expected = merged(views, SHAPE), oracle(views)
    assert 10 < len(expected) < sum(len(view.found) for view in views)
    assert [*zip(found.rois.tolist(), found.scores.tolist(), strict=True)] == [
        (box, score) for box, score, _ in expected
    ]
    for index, (_, _, mask) in enumerate(expected):
        assert np.array_equal(found.masks[:, :, index], mask)


def random_view(rng, window):
    y1, x1, y2, x2 = window
    rows, masks = [], []
    for _ in range(int(rng.integers(0, 12))):
        height, width = rng.integers(4, 40, 2)
        top, left = rng.integers(0, y2 - y1 - height), rng.integers(0, x2 - x1 - width)
        box = (y1 + top, x1 + left, y1 + top + height, x1 + left + width)
        rows.append((*box, rng.random(), rng.integers(1, 3)))
        masks.append(MaskPiece(int(top), int(left), rng.random((height, width)) < 0.8))
    return seen(window, *rows, masks=masks)


def oracle(views):
    """[(box, score, mask [height, width])] by whole masks and a plain loop."""
    finds = []
    for number, view in enumerate(views):
        y1, x1, y2, x2 = view.window
        for row, box in enumerate(view.found.rois.tolist()):
            cut = (
                (y1 > 0 and box[0] - y1 < (y2 - y1) / 64)
                or (x1 > 0 and box[1] - x1 < (x2 - x1) / 64)
                or (y2 < SHAPE[0] and y2 - box[2] < (y2 - y1) / 64)
                or (x2 < SHAPE[1] and x2 - box[3] < (x2 - x1) / 64)
            )
            mask = view.found.masks[row].whole(SHAPE)
            score = float(view.found.scores[row])
            finds.append((cut, score, number, int(view.found.class_ids[row]), box, mask))
    stay = []
    for find in sorted(finds, key=lambda each: (each[0], -each[1])):
        if not any(same_thing(find, other) for other in stay):
            stay.append(find)
    stay.sort(key=lambda each: -each[1])
    return [(box, score, mask) for _, score, _, _, box, mask in stay]


def same_thing(one, other):
    if one[2] == other[2]:
        return False
    shared = (one[5] & other[5]).sum()
    if one[3] != other[3] and not one[0] and not other[0]:
        return shared > 0.5 * (one[5] | other[5]).sum()
    return shared > 0.5 * min(one[5].sum(), other[5].sum())
