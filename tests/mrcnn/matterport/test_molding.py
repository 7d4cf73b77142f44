"""Molded images and metas, by hand; there and back."""

import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn.config import Config
from mrcnn.matterport.molding import geometries_of, mold_inputs, unmold_detections, without_molding
from tiny import TinyConfig, picture


def test_the_mean_is_taken_off_and_put_back():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    molded = modellib.mold_image(image, Config())
    np.testing.assert_allclose(molded[0, 1], [1 - 123.7, 1 - 116.8, 1 - 103.9])
    back = modellib.unmold_image(molded, Config())
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, image)
    np.testing.assert_array_equal(modellib.unmold_image(molded.astype(np.float32), Config()), image)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_molded_images_are_known_by_their_values(dtype):
    config = Config()
    for image in (picture(40, 50), np.full((4, 5, 3), 255, np.uint8), np.zeros((4, 5, 3), "u1")):
        molded = modellib.mold_image(image, config).astype(dtype)
        np.testing.assert_array_equal(without_molding(molded, config), image)
    for other in (
        "photo.png",
        picture(4, 5),
        np.zeros((4, 5, 3), dtype),
        np.linspace(0, 1, 60, dtype=dtype).reshape(4, 5, 3),
        np.linspace(-100, 100, 60, dtype=dtype).reshape(4, 5, 3),
        np.zeros((0, 5, 3), dtype),
        np.full((4, 5), -123.7, dtype),
    ):
        assert without_molding(other, config) is other


def test_metas_there_and_back():
    meta = modellib.compose_image_meta(
        7, (50, 100, 3), (128, 128, 3), (32, 0, 96, 128), 1.28, np.array([1, 0, 1])
    )
    assert meta.shape == (12 + 3,)
    parsed = modellib.parse_image_meta(np.stack([meta, meta]))
    assert parsed["image_id"].tolist() == [7, 7] and parsed["image_id"].dtype == np.int32
    assert parsed["original_image_shape"][1].tolist() == [50, 100, 3]
    assert parsed["image_shape"][0].tolist() == [128, 128, 3]
    assert parsed["window"][0].tolist() == [32, 0, 96, 128]
    np.testing.assert_allclose(parsed["scale"], [1.28, 1.28])
    assert parsed["active_class_ids"][0].tolist() == [1, 0, 1]
    (geometry, _) = geometries_of(np.stack([meta, meta]))
    assert geometry.original_shape == (50, 100) and geometry.prepared_shape == (128, 128)
    assert geometry.window == (32, 0, 96, 128)


def test_inputs_are_stacked():
    images = [picture(50, 100), picture(100, 100)]
    molded, metas, windows = mold_inputs(images, TinyConfig())
    assert molded.shape == (2, 128, 128, 3) and metas.shape == (2, 12 + 3)
    assert windows.tolist() == [[32, 0, 96, 128], [0, 0, 128, 128]]
    np.testing.assert_array_equal(metas[:, 7:11], windows)
    np.testing.assert_allclose(molded[0, 0, 0], -TinyConfig.MEAN_PIXEL)  # padding
    padded = type("Padded", (TinyConfig,), {"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MIN_DIM": 64})()
    with pytest.raises(ValueError, match=r"these have \[\(64, 128, 3\), \(128, 64, 3\)\]"):
        mold_inputs([picture(64, 100), picture(100, 64)], padded)


def test_detections_in_the_pixels_of_the_image():
    window, scale = (32, 0, 96, 128), np.array([127, 127, 127, 127])
    box = (np.array([52, 40, 72, 80]) - [0, 0, 1, 1]) / scale
    detections = np.zeros((3, 6), np.float32)
    detections[0] = [*box, 2, 0.9]
    masks = np.zeros((3, 28, 28, 3), np.float32)
    masks[0, :, :, 2] = 1
    rois, class_ids, scores, masks = unmold_detections(
        detections, masks, (64, 128, 3), (128, 128, 3), window, mask_threshold=0.5
    )
    assert rois.tolist() == [[20, 40, 40, 80]]  # the window begins 32 pixels below the top
    assert class_ids.tolist() == [2] and scores[0] == np.float32(0.9)
    expected = np.zeros((64, 128, 1), bool)
    expected[20:40, 40:80] = True
    np.testing.assert_array_equal(masks, expected)
