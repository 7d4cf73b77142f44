import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import resize as skimage_resize

from mrcnn.images import masks
from mrcnn.images.image import plan_resize


def random_masks(rng, shape, count):
    """Ellipses, one of them empty, one a single pixel."""
    height, width = shape
    stack = np.zeros((height, width, count), bool)
    for index in range(count - 2):
        canvas = np.zeros(shape, np.uint8)
        center = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, width)), int(rng.integers(1, height)))
        cv2.ellipse(canvas, center, axes, int(rng.integers(180)), 0, 360, 1, -1)
        stack[..., index] = canvas
    stack[height // 2, width // 3, count - 1] = True
    return stack


def oracle(stack, geometry):
    if geometry.scale != 1:
        stack = ndimage.zoom(stack, [geometry.scale, geometry.scale, 1], order=0)
    return np.pad(stack, (*geometry.padding, (0, 0)))


def test_scaling_agrees_with_scipy():
    rng = np.random.default_rng(0)
    for _ in range(60):
        shape = tuple(int(side) for side in rng.integers(1, 300, 2))
        geometry = plan_resize(shape, int(rng.integers(1, 500)), 512)
        stack = rng.random((*shape, 2)) > 0.5
        np.testing.assert_array_equal(
            masks.resize_masks(stack, geometry), oracle(stack, geometry), err_msg=f"{geometry}"
        )


def test_crop_cuts_the_scaled_masks():
    geometry = plan_resize((40, 64), 64, None, mode="crop", rng=np.random.default_rng(3))
    stack = np.random.default_rng(4).random((40, 64, 3)) > 0.5
    scaled = ndimage.zoom(stack, [1.6, 1.6, 1], order=0)
    y, x, height, width = geometry.crop
    np.testing.assert_array_equal(
        masks.resize_masks(stack, geometry), scaled[y : y + height, x : x + width]
    )


def test_boxes_by_hand():
    stack = np.zeros((10, 12, 3), bool)
    stack[2:5, 3:9, 0] = True
    stack[9, 11, 2] = True
    found = masks.boxes_of_masks(stack)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [[2, 3, 5, 9], [0, 0, 0, 0], [9, 11, 10, 12]])
    assert masks.boxes_of_masks(np.zeros((4, 4, 0), bool)).shape == (0, 4)


def test_mini_masks_against_scikit_image():
    rng = np.random.default_rng(5)
    stack = random_masks(rng, (90, 120), 8)
    stack = stack[..., stack.any(axis=(0, 1))]
    boxes = masks.boxes_of_masks(stack)
    minis = masks.minimize_masks(stack, boxes, (56, 56))
    for index, (y1, x1, y2, x2) in enumerate(boxes):
        cutout = stack[y1:y2, x1:x2, index].astype(float)
        scaled = skimage_resize(cutout, (56, 56), order=1, mode="constant", anti_aliasing=False)
        np.testing.assert_array_equal(minis[..., index], scaled >= 0.5)


def test_empty_box_is_refused():
    with pytest.raises(ValueError, match="Mask 0"):
        masks.minimize_masks(np.zeros((9, 9, 1), bool), np.zeros((1, 4), int), (28, 28))


def test_mini_masks_come_back_nearly():
    stack = np.zeros((200, 200, 2), bool)
    stack[20:150, 30:130, 0] = True
    rows, columns = np.mgrid[0:200, 0:200]
    stack[..., 1] = (rows - 100) ** 2 + (columns - 90) ** 2 < 70**2
    boxes = masks.boxes_of_masks(stack)
    back = masks.expand_masks(masks.minimize_masks(stack, boxes, (56, 56)), boxes, (200, 200, 3))
    for index in range(2):
        both = (back[..., index] & stack[..., index]).sum()
        assert both / (back[..., index] | stack[..., index]).sum() > 0.97


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mode", ["square", "pad64", "crop"])
def test_one_by_one_equals_all_at_once(order, mode):
    rng = np.random.default_rng(6)
    for _ in range(12):
        shape = tuple(int(side) for side in rng.integers(5, 400, 2))
        geometry = plan_resize(shape, int(rng.integers(1, 5)) * 64, 256, mode=mode, rng=rng)
        stack = random_masks(rng, shape, 5)
        single = [np.array(stack[..., i].astype(np.uint8), order=order) for i in range(5)]
        scaled = masks.resize_masks(stack, geometry)
        boxes = masks.boxes_of_masks(scaled)
        expected = np.flatnonzero(boxes.any(axis=1))
        found, minis, kept = masks.prepare_masks(iter(single), geometry, (56, 56))
        _, full, _ = masks.prepare_masks(single, geometry)
        np.testing.assert_array_equal(kept, expected)
        np.testing.assert_array_equal(found, boxes[expected])
        np.testing.assert_array_equal(full, scaled[..., expected])
        np.testing.assert_array_equal(
            minis, masks.minimize_masks(scaled[..., expected], boxes[expected], (56, 56))
        )
        assert minis.dtype == full.dtype == bool


def test_instances_that_vanish_are_dropped():
    geometry = plan_resize((1000, 1000), 64, 64)
    thin = np.zeros((1000, 1000), bool)
    thin[7, 7] = True
    corners = thin.copy()
    corners[990, 990] = True
    thick = np.ones((1000, 1000), bool)
    boxes, minis, kept = masks.prepare_masks([thin, thick, corners], geometry, (28, 28))
    assert kept.tolist() == [1]
    assert boxes.tolist() == [[0, 0, 64, 64]]
    assert minis.shape == (28, 28, 1)


def test_no_masks_at_all():
    geometry = plan_resize((10, 10), 64, 64)
    boxes, minis, kept = masks.prepare_masks([], geometry, (28, 28))
    assert (boxes.shape, minis.shape, kept.shape) == ((0, 4), (28, 28, 0), (0,))
    assert masks.prepare_masks([], geometry)[1].shape == (64, 64, 0)


def test_mask_of_another_image_is_refused():
    with pytest.raises(ValueError, match="3 x 4"):
        masks.prepare_masks([np.zeros((3, 4), bool)], plan_resize((4, 3), 64, 64))
    with pytest.raises(ValueError, match="3 x 4"):
        masks.resize_masks(np.zeros((3, 4, 1), bool), plan_resize((4, 3), 64, 64))


def test_restored_mask_against_scikit_image():
    probabilities = np.random.default_rng(7).random((28, 28)).astype(np.float32)
    full = masks.restore_mask(probabilities, (5, 10, 65, 51), (80, 90, 3))
    scaled = skimage_resize(
        probabilities.astype(float), (60, 41), order=1, mode="constant", anti_aliasing=False
    )
    expected = np.zeros((80, 90), bool)
    expected[5:65, 10:51] = scaled >= 0.5
    assert full.dtype == bool
    assert (full != expected).sum() <= 1  # one on the edge may fall to the other side


def test_restored_mask_is_cut_off_at_the_image():
    ones = np.ones((28, 28), np.float32)
    full = masks.restore_mask(ones, (-10, -20, 15, 500), (20, 30))
    assert full[:15].all()
    assert not full[15:].any()
    assert not masks.restore_mask(ones, (50, 50, 60, 60), (20, 30)).any()
    assert not masks.restore_mask(ones, (5, 5, 5, 9), (20, 30)).any()
