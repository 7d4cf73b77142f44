"""What `detect` returned: whether two results agree, and whether one makes sense."""

import numpy as np

# Float32 in batches of another size; boxes are rounded to pixels.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def assert_same_found(found, expected):
    """Two `Detections` agree; masks but for pixels on their edge."""
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.rois, expected.rois, atol=1)
    np.testing.assert_allclose(found.scores, expected.scores, **CLOSE)
    assert found.masks.shape == expected.masks.shape
    assert np.mean(found.masks != expected.masks) < 0.01


def assert_found_in(image, found, config):
    """Something was found, not more than allowed, all of it inside of the image."""
    height, width = image.shape[:2]
    count = len(found)
    assert 0 < count <= config.DETECTION_MAX_INSTANCES
    assert found.rois.shape == (count, 4) and found.rois.dtype == np.int32
    assert found.class_ids.shape == (count,) and found.class_ids.dtype == np.int32
    assert found.scores.shape == (count,) and found.scores.dtype == np.float32
    assert found.masks.shape == (height, width, count) and found.masks.dtype == bool
    assert np.all(np.diff(found.scores) <= 0)
    y1, x1, y2, x2 = found.rois.T
    assert np.all((0 <= y1) & (y1 < y2) & (y2 <= height))
    assert np.all((0 <= x1) & (x1 < x2) & (x2 <= width))
    for box, mask in zip(found.rois, np.moveaxis(found.masks, -1, 0), strict=True):
        outside = mask.copy()
        outside[box[0] : box[2], box[1] : box[3]] = False
        assert not outside.any()
