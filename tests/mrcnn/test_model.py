"""Mask R-CNN as users call it: what they may give, what they get, what they are told."""

import cv2
import numpy as np
import pytest

from found import assert_found_in, assert_same_found
from mrcnn.config import ConfigError
from mrcnn.data.postprocessing import Detections
from mrcnn.images.image import ImageError
from mrcnn.model import MaskRCNN
from mrcnn.modeling.conv_norm import normalized_convolutions
from mrcnn.weights.hdf5 import WeightsError
from tiny import (
    TinyConfig,
    arrays_of,
    assert_same_arrays,
    picture,
    pictures_of_several_sizes,
    tiny_model,
    tiny_siamese_model,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model("inference", tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def images():
    """Of several sizes; each is found something in."""
    return pictures_of_several_sizes()


# --- what detect returns ----------------------------------------------------------------------


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_each_image_gets_its_detections_in_its_own_pixels(model, images):
    results = model.detect(images)
    assert len(results) == len(images)
    for image, found in zip(images, results, strict=True):
        assert_found_in(image, found, model.config)
        assert set(found.class_ids) <= {1, 2}


def test_results_are_keys_and_attributes(model, images):
    (found,) = model.detect(images[:1])
    assert isinstance(found, Detections) and isinstance(found, dict)
    assert set(found) == {"rois", "class_ids", "scores", "masks"}
    for key in found:
        assert found[key] is getattr(found, key)
    assert found and not hasattr(found, "boxes")
    with pytest.raises(AttributeError, match="rois, class_ids, scores, masks, but no 'boxes'"):
        _ = found.boxes


def test_one_by_one_is_the_same_as_together(model, images):
    for found, image in zip(model.detect(images), images, strict=True):
        assert_same_found(model.detect([image])[0], found)


def test_the_same_image_gives_the_same_twice(model, images):
    for found, again in zip(model.detect(images[:2]), model.detect(images[:2]), strict=True):
        for key in found:
            np.testing.assert_array_equal(again[key], found[key])


# --- what detect takes ------------------------------------------------------------------------


def test_images_may_be_grey_transparent_floats_or_files(model, images, tmp_path):
    image = images[0]
    grey = np.repeat(image[..., :1], 3, axis=2)
    (found,), (found_grey,) = model.detect([image]), model.detect([grey])
    path = tmp_path / "query.png"
    cv2.imwrite(str(path), image[..., ::-1])
    alpha = np.full((*image.shape[:2], 1), 7, np.uint8)
    for other, expected in [
        (grey[..., 0], found_grey),
        (grey[..., :1], found_grey),
        (np.concatenate([image, alpha], axis=2), found),
        (image.astype(np.float32), found),
        (image.astype(np.float64), found),
        (path, found),
        (str(path), found),
    ]:
        assert_same_found(model.detect([other])[0], expected)


def test_floats_up_to_1_are_refused(model, images):
    with pytest.raises(ImageError, match="as if 1 were white"):
        model.detect([images[0] / 255])


def test_a_single_image_needs_no_list(model, images, tmp_path):
    (expected,) = model.detect([images[0]])
    (found,) = model.detect(images[0])
    assert_same_found(found, expected)
    cv2.imwrite(str(tmp_path / "query.png"), images[0][..., ::-1])
    assert len(model.detect(tmp_path / "query.png")) == 1


def test_a_stack_of_images_is_a_list_of_them(model, images):
    results = model.detect(np.stack([images[2]] * 3))
    assert len(results) == 3
    for found in results:
        assert_same_found(found, results[0])


def test_no_images_give_no_results(model):
    assert model.detect([]) == []


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        (None, "images must be a list .* but is None"),
        (7, "images must be a list .* but is 7"),
        ([None], "An image must"),  # what OpenCV returns for a missing file
        ([np.zeros((0, 5, 3), np.uint8)], r"at least one pixel, but has \[0, 5, 3\]"),
        ([np.zeros((4, 5, 6), np.uint8)], "1 to 4 channels"),
        ([np.full((4, 5, 3), 300.0)], "values from 0 to"),
        (["missing.jpg"], r"no image file missing\.jpg"),
        (["pyproject.toml"], "not an image"),
    ],
)
def test_what_is_no_image_is_told(model, nonsense, words, monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=words):
        model.detect(nonsense)


# --- settings ---------------------------------------------------------------------------------


def test_a_changed_threshold_takes_effect_at_once(tmp_path, images):
    model = tiny_model("inference", tmp_path)
    (everything,) = model.detect(images[:1])
    middle = float(everything.scores[:2].mean())
    model.config.DETECTION_MIN_CONFIDENCE = middle
    (some,) = model.detect(images[:1])
    assert 0 < len(some) < len(everything)
    np.testing.assert_array_equal(some.scores, everything.scores[everything.scores >= middle])
    model.config.DETECTION_MIN_CONFIDENCE = 1.1
    nothing = model.detect(images[:2])
    for found, image in zip(nothing, images[:2], strict=True):
        assert not found and len(found) == 0
        assert found.rois.shape == (0, 4) and found.rois.dtype == np.int32
        assert found.class_ids.shape == found.scores.shape == (0,)
        assert found.masks.shape == (*image.shape[:2], 0) and found.masks.dtype == bool


def test_a_lower_threshold_makes_larger_masks(model, images, monkeypatch):
    (usual,) = model.detect(images[:1])
    sizes = []
    for threshold in (0, 0.4, 0.5, 0.6, 1.1):
        monkeypatch.setattr(model.config, "DETECTION_MASK_THRESHOLD", threshold)
        (found,) = model.detect(images[:1])
        np.testing.assert_array_equal(found.rois, usual.rois)
        sizes.append(found.masks.sum(axis=(0, 1)))
        if threshold == 0.5:
            np.testing.assert_array_equal(found.masks, usual.masks)
    sides = usual.rois[:, 2:] - usual.rois[:, :2]
    np.testing.assert_array_equal(sizes[0], sides.prod(axis=1))
    assert np.all(np.diff(sizes, axis=0) <= 0) and sizes[1].sum() > sizes[2].sum()
    assert not sizes[-1].any()


def test_new_weights_take_effect_at_once(tmp_path, images):
    model = tiny_model("inference", tmp_path)
    model.save_weights(tmp_path / "w.h5")
    (before,) = model.detect(images[:1])
    bias = next(v for v in model.keras_model.weights if v.path.endswith("mrcnn_class_logits/bias"))
    bias.assign([9.0, 0.0, 0.0])  # everything is background now
    assert not model.detect(images[:1])[0]
    model.load_weights(tmp_path / "w.h5")
    assert_same_found(model.detect(images[:1])[0], before)


def test_folding_finds_the_same_until_new_weights_come(tmp_path, images, model):
    folded, other = (tiny_model("inference", tmp_path) for _ in range(2))
    assert_same_found(folded.detect(images[:1])[0], model.detect(images[:1])[0])  # compiles
    folded.fold_batch_norm()
    assert all(layer.folded for layer in normalized_convolutions(folded.keras_model))
    for found, expected in zip(folded.detect(images), model.detect(images), strict=True):
        assert_same_found(found, expected)
    arrays = [weight * 0.9 for weight in model.keras_model.get_weights()]
    other.keras_model.set_weights(arrays)
    (expected,) = other.detect(images[:1])
    other.save_weights(tmp_path / "other.h5")
    for change in (
        lambda: folded.load_weights(tmp_path / "other.h5"),
        lambda: folded.keras_model.set_weights(arrays),
    ):
        folded.fold_batch_norm()
        change()
        assert_same_found(folded.detect(images[:1])[0], expected)


def test_folding_is_for_detection(tmp_path):
    with pytest.raises(
        RuntimeError, match=r'fold_batch_norm\(\) needs a model in mode "inference"'
    ):
        tiny_model("training", tmp_path).fold_batch_norm()


def test_shapes_may_alternate(tmp_path):
    model = tiny_model("inference", tmp_path, IMAGE_RESIZE_MODE="pad64", IMAGE_MIN_DIM=64)
    images = [picture(*shape, seed) for seed, shape in enumerate([(64, 90), (128, 64)] * 2)]
    results = model.detect(images)
    assert [each.masks.shape[:2] for each in results] == [(64, 90), (128, 64)] * 2
    for image, found in zip(images, results, strict=True):
        assert_same_found(model.detect([image])[0], found)


def test_a_model_without_masks_finds_boxes(tmp_path, images):
    model = tiny_model("inference", tmp_path, MODEL="frcnn")
    results = model.detect(images[:3])
    assert all(found and found["masks"] is None and found.masks is None for found in results)
    assert results[0].rois.shape == (len(results[0]), 4)


def test_a_trained_model_detects_without_being_made_anew(tmp_path, images, model):
    training = tiny_model("training", tmp_path)
    (found,) = training.detect(images[:1])
    assert_same_found(found, model.detect(images[:1])[0])


# --- weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "epoch"),
    [("mask_rcnn_coco_0160.h5", 160), ("tiny_0012.weights.h5", 12), ("mask_rcnn_coco.h5", 0)],
)
def test_loading_a_checkpoint_sets_the_epoch(tmp_path, name, epoch):
    model = tiny_model("training", tmp_path)
    model.save_weights(tmp_path / name)
    report = model.load_weights(tmp_path / name)
    assert model.epoch == epoch
    assert len(report.loaded) == len(arrays_of(model.keras_model))
    assert model.log_dir != str(tmp_path)  # the file is of no run of this folder


def test_training_goes_on_in_the_folder_of_the_checkpoint(tmp_path):
    model = tiny_model("training", tmp_path / "logs")
    run = tmp_path / "logs" / "tiny20240101T000000"
    model.save_weights(run / "tiny_0007.weights.h5")
    model.load_latest_checkpoint()
    assert (model.epoch, model.log_dir) == (7, str(run))
    model.save_weights(run / "final.weights.h5")
    model.load_weights(run / "final.weights.h5")
    assert (model.epoch, model.log_dir == str(run)) == (0, False)  # no checkpoint by its name


def test_the_report_is_printed_on_demand(tmp_path, capsys):
    model = tiny_model("inference", tmp_path)
    model.save_weights(tmp_path / "w.h5")
    model.load_weights(tmp_path / "w.h5")
    assert not capsys.readouterr().out
    model.load_weights(tmp_path / "w.h5", by_name=True, verbose=1)
    assert "tensors fit, 0 missing" in capsys.readouterr().out


def test_weights_of_another_number_of_classes_load_without_the_outputs(tmp_path):
    tiny_model("inference", tmp_path, NUM_CLASSES=5).save_weights(tmp_path / "coco.h5")
    model = tiny_model("inference", tmp_path)
    before = arrays_of(model.keras_model)
    with pytest.raises(WeightsError, match=r"mrcnn_bbox_fc/kernel: \(16, 20\) in the file"):
        model.load_weights(tmp_path / "coco.h5")
    # Matterport's list; mrcnn_bbox has no weights
    outputs = ["mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask"]
    report = model.load_weights(tmp_path / "coco.h5", by_name=True, exclude=outputs)
    assert len(report.loaded) == len(before) - 6


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_weights_of_the_other_program_are_refused(tmp_path, name):
    tiny_siamese_model("inference", tmp_path).save_weights(tmp_path / name)
    model = tiny_model("inference", tmp_path)
    before = arrays_of(model.keras_model)
    with pytest.raises(
        WeightsError, match="do not fit the model, which is left unchanged"
    ) as error:
        model.load_weights(tmp_path / name)
    for word in ("unexpected", "mrcnn_bbox_fc/bias: (4,) in the file, (12,) in the model"):
        assert word in str(error.value)
    assert_same_arrays(arrays_of(model.keras_model), before)


def test_weights_of_another_backbone_are_refused(tmp_path):
    tiny_model("inference", tmp_path).save_weights(tmp_path / "w.h5")
    deep = type("Deep", (TinyConfig,), {"BACKBONE": "resnet101"})()
    with pytest.raises(WeightsError, match="res2b_branch2a/kernel"):
        MaskRCNN("inference", deep, tmp_path).load_weights(tmp_path / "w.h5")


def test_a_model_with_masks_needs_their_weights(tmp_path):
    tiny_model("inference", tmp_path, MODEL="frcnn").save_weights(tmp_path / "w.h5")
    model = tiny_model("inference", tmp_path)
    with pytest.raises(WeightsError, match="mrcnn_mask_conv1/kernel"):
        model.load_weights(tmp_path / "w.h5")
    report = model.load_weights(tmp_path / "w.h5", may_be_missing="mrcnn_mask.*")
    assert len(report.missing) == 4 * 6 + 4


def test_the_layout_of_a_file_can_be_chosen(tmp_path):
    model = tiny_model("inference", tmp_path)
    model.save_weights(tmp_path / "w.weights.h5", layout="original")
    model.load_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match='layout must be "keras" or "original", but is \'tf\''):
        model.save_weights(tmp_path / "w.h5", layout="tf")
    with pytest.raises(ValueError, match=r"must end in \.h5, but is .*w\.keras"):
        model.save_weights(tmp_path / "w.keras")


# --- making a model ---------------------------------------------------------------------------


def test_the_mode_is_one_of_two(tmp_path):
    with pytest.raises(ValueError, match='"training" or "inference", but is \'test\''):
        MaskRCNN("test", TinyConfig(), tmp_path)


@pytest.mark.parametrize("nonsense", ["logs", TinyConfig, None])
def test_the_configuration_must_be_one(tmp_path, nonsense):
    with pytest.raises(ConfigError, match=r"subclass of mrcnn\.config\.Config, but is .*config="):
        MaskRCNN("inference", nonsense, tmp_path)


def test_sides_must_be_divisible_by_64(tmp_path, model):
    with pytest.raises(ConfigError, match=r"IMAGE_MAX_DIM is 100.*try 64 or 128"):
        tiny_model("inference", tmp_path, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=100)
    plain = tiny_model("inference", tmp_path, IMAGE_RESIZE_MODE="none")
    with pytest.raises(ConfigError, match=r'has 100 x 90 pixels.*Use IMAGE_RESIZE_MODE "square"'):
        plain.detect([picture(100, 90)])
    (found,) = plain.detect([picture(128, 64)])
    assert found.masks.shape[:2] == (128, 64)


def test_making_a_model_writes_nothing(tmp_path):
    tiny_model("training", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_nothing_can_be_resumed_without_a_checkpoint(tmp_path):
    model = tiny_model("training", tmp_path)
    with pytest.raises(FileNotFoundError, match="No checkpoint was found below"):
        model.load_latest_checkpoint()
    with pytest.raises(FileNotFoundError, match="No checkpoint was found below"):
        model.find_last()
