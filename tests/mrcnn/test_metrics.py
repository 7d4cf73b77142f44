"""Average precision by hand, and matching against a slow loop."""

import numpy as np
import pytest

from mrcnn import utils


def masks_of(boxes, shape=(20, 40)):
    masks = np.zeros((*shape, len(boxes)), bool)
    for index, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, index] = True
    return masks


@pytest.fixture
def scene():
    """Two true boxes; a miss of score .9, a hit of .8, a wrong class of .7, a half hit of .6."""
    gt = np.array([[0, 0, 10, 10], [0, 20, 10, 30], [0, 0, 0, 0]])  # the last is padding
    pred = np.array([[0, 20, 10, 25], [10, 0, 20, 10], [0, 0, 10, 10], [0, 20, 10, 30]])
    scores = np.array([0.6, 0.9, 0.8, 0.7])
    truth = (gt, np.array([1, 2, 0]), masks_of(gt))
    return (*truth, pred, np.array([2, 1, 1, 1]), scores, masks_of(pred))


def test_matches_by_hand(scene):
    gt_match, pred_match, overlaps = utils.compute_matches(*scene, iou_threshold=0.5)
    np.testing.assert_array_equal(gt_match, [1, 3])
    np.testing.assert_array_equal(pred_match, [-1, 0, -1, 1])
    np.testing.assert_allclose(overlaps, [[0, 0], [1, 0], [0, 1], [0, 0.5]])


def test_an_instance_is_matched_once(scene):
    *truth, pred, class_ids, scores, masks = scene
    pred[1], masks[..., 1] = pred[2], masks[..., 2]
    gt_match, pred_match, _ = utils.compute_matches(*truth, pred, class_ids, scores, masks)
    assert gt_match.tolist() == [0, 3] and pred_match.tolist() == [0, -1, -1, 1]


def test_average_precision_by_hand(scene):
    AP, precisions, recalls, overlaps = utils.compute_ap(*scene, iou_threshold=0.5)
    # Hits at ranks 2 and 4 of 4: precision 1/2 up to recall 1/2, then 2/4 up to 1.
    np.testing.assert_allclose(precisions, [0.5, 0.5, 0.5, 0.5, 0.5, 0])
    np.testing.assert_allclose(recalls, [0, 0, 0.5, 0.5, 1, 1])
    assert AP == pytest.approx(0.5)
    assert overlaps.shape == (4, 2)
    AP, precisions, recalls, _ = utils.compute_ap(*scene, iou_threshold=0.6)
    np.testing.assert_allclose(precisions, [0.5, 0.5, 0.5, 1 / 3, 1 / 4, 0])
    np.testing.assert_allclose(recalls, [0, 0, 0.5, 0.5, 0.5, 1])
    assert AP == pytest.approx(0.25)


def test_the_range_is_the_mean(scene, capsys):
    assert utils.compute_ap_range(*scene, iou_thresholds=[0.5, 0.6]) == pytest.approx(0.375)
    assert capsys.readouterr().out.split() == (
        "AP at 0.50: 0.500 AP at 0.60: 0.250 AP at 0.50 to 0.60: 0.375".split()
    )
    # .5 counts the half hit; .55, ..., .95 do not
    mean = utils.compute_ap_range(*scene)
    assert mean == pytest.approx((0.5 + 9 * 0.25) / 10)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[1:-1]] == [f"0.{n}:" for n in range(55, 100, 5)]
    assert utils.compute_ap_range(*scene, verbose=0) == mean
    assert not capsys.readouterr().out


def test_nothing_found_has_no_precision(scene):
    truth = scene[:3]
    nothing = (np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), np.zeros((20, 40, 0), bool))
    AP, precisions, recalls, overlaps = utils.compute_ap(*truth, *nothing)
    assert AP == 0 and precisions.tolist() == [0, 0] and recalls.tolist() == [0, 1]
    assert overlaps.shape == (0, 2)


@pytest.mark.parametrize("seed", range(5))
def test_matching_against_a_loop(seed):
    rng = np.random.default_rng(seed)

    def drawn(count):
        corner = rng.integers(0, 12, (count, 2))
        return np.concatenate([corner, corner + rng.integers(3, 8, (count, 2))], axis=1)

    gt, pred = drawn(6), drawn(15)
    gt_ids, pred_ids = rng.integers(1, 3, 6), rng.integers(1, 3, 15)
    scores = rng.random(15)
    arguments = (gt, gt_ids, masks_of(gt), pred, pred_ids, scores, masks_of(pred))
    gt_match, pred_match, _ = utils.compute_matches(*arguments, iou_threshold=0.2)
    expected = {}
    for rank, index in enumerate(sorted(range(15), key=lambda each: -scores[each])):
        best = None
        for number in range(6):
            inside = masks_of(gt)[..., number], masks_of(pred)[..., index]
            overlap = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
            free = number not in expected.values() and gt_ids[number] == pred_ids[index]
            if free and overlap >= 0.2 and (best is None or overlap > best[0]):
                best = overlap, number
        if best:
            expected[rank] = best[1]
    assert expected
    assert {i: int(m) for i, m in enumerate(pred_match) if m >= 0} == expected
    assert {int(m): i for i, m in enumerate(gt_match) if m >= 0} == expected


def test_overlaps_of_masks_by_hand():
    a = masks_of([[0, 0, 10, 10], [0, 0, 0, 0]]).astype(np.float32)
    b = masks_of([[0, 5, 10, 15], [0, 0, 0, 0], [0, 0, 10, 10]]) * 0.6
    np.testing.assert_allclose(utils.compute_overlaps_masks(a, b), [[1 / 3, 0, 1], [0, 0, 0]])
    assert utils.compute_overlaps_masks(a[..., :0], b).shape == (0, 3)


def test_recall_by_hand():
    gt = np.array([[0, 0, 10, 10], [0, 20, 10, 30], [30, 30, 40, 40]])
    pred = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [0, 20, 10, 26], [50, 50, 60, 60]])
    recall, positive_ids = utils.compute_recall(pred, gt, 0.7)
    assert recall == pytest.approx(1 / 3) and positive_ids.tolist() == [0, 1]
    recall, positive_ids = utils.compute_recall(pred, gt, 0.6)
    assert recall == pytest.approx(2 / 3) and positive_ids.tolist() == [0, 1, 2]


def test_zeros_are_trimmed():
    np.testing.assert_array_equal(
        utils.trim_zeros(np.array([[0, 1], [0, 0], [2, 0]])), [[0, 1], [2, 0]]
    )
    with pytest.raises(ValueError, match=r"\[rows, columns\], but this one is \(3,\)"):
        utils.trim_zeros(np.zeros(3))
