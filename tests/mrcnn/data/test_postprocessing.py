"""From the network's rows to the user's image: worked by hand."""

import numpy as np

from mrcnn.data.postprocessing import restore_detections
from mrcnn.images.image import Geometry
from mrcnn.ops.boxes import normalize

# A picture of 40 x 80 pixels in the middle of a prepared one of 40 x 40, at half its size.
GEOMETRY = Geometry((40, 80), (40, 40), (10, 0, 30, 40), 0.5, ((10, 10), (0, 0)))
# Of the picture the upper left quarter and the lower right one; and padding.
PIXELS = np.array([[10, 0, 20, 20], [20, 20, 30, 40], [0, 0, 0, 0]], float)
ROWS = np.zeros((3, 6))
ROWS[:2, :4] = normalize(PIXELS[:2], (40, 40))
ROWS[:2, 4:] = [[1, 0.9], [1, 0.8]]
MASKS = np.ones((3, 4, 4, 1))


def test_what_is_kept_of_masks_is_the_callers_choice():
    whole = restore_detections(ROWS, MASKS, GEOMETRY, 0.5)
    # Matterport's boxes are of whole pixels on both sides, so scaling moves them by up to one.
    np.testing.assert_allclose(whole.rois, [[0, 0, 20, 40], [20, 40, 40, 80]], atol=1)
    assert whole.masks.shape == (40, 80, 2) and whole.masks.dtype == bool
    heights, widths = whole.rois[:, 2:].T - whole.rois[:, :2].T
    assert whole.masks.sum(axis=(0, 1)).tolist() == (heights * widths).tolist()
    seen = []

    def corners(mask):
        seen.append(mask.shape)
        return bool(mask[0, 0]), bool(mask[-1, -1])

    kept = restore_detections(ROWS, MASKS, GEOMETRY, 0.5, keep_mask=corners)
    assert kept.masks == [(True, False), (False, True)]
    assert seen == [(40, 80), (40, 80)]
    assert kept.rois.tolist() == whole.rois.tolist()


def test_nothing_found_has_masks_of_none():
    whole = restore_detections(ROWS[2:], MASKS[2:], GEOMETRY, 0.5)
    assert whole.masks.shape == (40, 80, 0) and len(whole) == 0
    assert restore_detections(ROWS[2:], MASKS[2:], GEOMETRY, 0.5, keep_mask=id).masks == []
