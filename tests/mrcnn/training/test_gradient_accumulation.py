"""A step in parts is the step of the whole batch: three steps, every weight, momentum and loss."""

import keras
import numpy as np
import pytest

from mrcnn.config import ConfigError
from mrcnn.data.training_batches import Batches
from mrcnn.training.fit import compile_phase
from mrcnn.training.gradient_accumulation import split
from mrcnn.weights.hdf5 import weight_array
from on_backend import not_on_torch
from small import random_rois
from tiny import BoxesDataset, TinyConfig, arrays_of, tiny_model

RATE, CLIPPED, STEPS = 0.01, 0.5, 3
SETTINGS = {
    "IMAGES_PER_GPU": 8,
    "GRADIENT_CLIP_NORM": CLIPPED,
    # RoIs that come with the batch: two proposals of nearly one score may change places where a
    # sum is rounded in another way.
    "USE_RPN_ROIS": False,
    "MAX_GT_INSTANCES": 2,  # all there are in each image
}
# (With .25, on JAX, rounding decides on which side of 0 one unit of the mask head lies.)
WEIGHED = {"ROI_LOSS_WEIGHING": 0.3, "ROIS_OF_BACKGROUND": True}


@pytest.fixture(scope="module")
def batches():
    """Three batches of eight; class 2 is active but in the first image, which speaks for all."""
    config = type("Changed", (TinyConfig,), SETTINGS)()
    made = []
    for x, y in (Batches(BoxesDataset(24), config, STEPS, workers=0)[n] for n in range(STEPS)):
        rng = np.random.default_rng(len(made))
        x["rois"] = np.stack([random_rois(config, boxes, rng) for boxes in x["gt_boxes"]])
        x["rois"][3::4, 1:] = (1, 1, 9, 9)  # one positive in an image, fewer than in others
        x["image_metas"][0, 12:] = (1, 1, 0)
        made.append((x, y))
    return made


@pytest.fixture(scope="module")
def with_background(batches):
    """The same, but a part of the first, and all of the second, show nothing to find."""
    changed = []
    for number, (x, y) in enumerate(batches):
        x, y = ({name: array.copy() for name, array in each.items()} for each in (x, y))
        empty = (slice(0, None, 4), slice(None), slice(0))[number]
        for name in ("gt_class_ids", "gt_boxes", "gt_masks"):
            x[name][empty] = 0
        y["rpn_match"][empty] = np.minimum(y["rpn_match"][empty], 0)
        changed.append((x, y))
    return changed


def train(model_dir, batches, parts, **settings):
    """What three steps lead to, by name, and the length of the first one."""
    eagerly = parts == 1 and TinyConfig.RUN_EAGERLY  # parts are compiled, as they are used
    settings = {**SETTINGS, **settings, "SUBDIVISIONS": parts, "RUN_EAGERLY": eagerly}
    model = tiny_model("training", model_dir, **settings)
    trained = model.keras_model
    compile_phase(trained, model.config, RATE, "all")
    before, found = arrays_of(trained), {}
    for number, (x, y) in enumerate(batches):
        trained.reset_metrics()
        logs = trained.train_on_batch(x, y, return_dict=True)
        found |= {f"{name} of step {number}": np.asarray(value) for name, value in logs.items()}
        if not number:
            after = arrays_of(trained)
            first = np.sqrt(sum(np.sum((after[name] - before[name]) ** 2) for name in before))
    pairs = zip(trained.trainable_variables, trained.optimizer.momentums, strict=True)
    found |= {f"momentum of {weight.path}": weight_array(momentum) for weight, momentum in pairs}
    return found | arrays_of(trained), first


@pytest.fixture(scope="module")
def whole(tmp_path_factory, batches):
    return train(tmp_path_factory.mktemp("whole"), batches, 1)


@not_on_torch
@pytest.mark.backends
@pytest.mark.long_on_jax
def test_four_parts_of_two_images_train_as_one_batch_of_eight(tmp_path, whole, batches):
    assert_same_training(train(tmp_path, batches, 4)[0], whole[0])


@not_on_torch
@pytest.mark.backends
@pytest.mark.long_on_jax
def test_so_do_parts_without_a_thing_to_find_and_rois_that_are_weighed(tmp_path, with_background):
    expected, found = (train(tmp_path, with_background, parts, **WEIGHED)[0] for parts in (1, 4))
    assert_same_training(found, expected)
    for name, is_zero in (("class", False), ("bbox", True), ("mask", True)):
        assert (expected[f"mrcnn_{name}_loss of step 1"] == 0) == is_zero, name
        assert expected[f"mrcnn_{name}_loss of step 0"] > 0, name
    assert expected["rpn_bbox_loss of step 1"] == 0 < expected["rpn_class_loss of step 1"]


def assert_same_training(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        scale = np.abs(array).max() or 1
        np.testing.assert_allclose(found[name] / scale, array / scale, atol=1e-5, err_msg=name)


def test_the_gradients_were_clipped_in_that(whole):
    np.testing.assert_allclose(whole[1] / RATE, CLIPPED, rtol=1e-4)


def test_the_mean_over_parts_would_be_noticed(tmp_path, whole, batches):
    model = tiny_model("training", tmp_path, **SETTINGS).keras_model
    compile_phase(model, TinyConfig(), RATE, "all")
    x, y = split(batches[0], 4)
    logs = []
    for part in range(4):
        model.reset_metrics()
        chosen = [{key: np.asarray(all_[part]) for key, all_ in each.items()} for each in (x, y)]
        logs.append(model.test_on_batch(*chosen, return_dict=True))
    for name in ("mrcnn_bbox_loss", "mrcnn_mask_loss"):  # of different numbers of positives
        expected = whole[0][f"{name} of step 0"]
        assert abs(np.mean([each[name] for each in logs]) / expected - 1) > 1e-3, name


def test_a_loss_without_weight_cannot_be_weighed(tmp_path):
    only = {"rpn_class_loss": 1.0}
    with pytest.raises(ConfigError, match="no weight to mrcnn_class_loss, whose RoIs it weighs"):
        tiny_model("training", tmp_path, LOSS_WEIGHTS=only, **WEIGHED)


@pytest.mark.parametrize(
    ("share", "allowed"),
    [
        (-0.1, r"from 0 \(none\) to 1"),
        (1.5, r"from 0 \(none\) to 1"),
        ("much", "a number"),
        (float("nan"), "a number"),
    ],
)
def test_weighing_is_a_share(share, allowed):
    with pytest.raises(ConfigError, match=f"ROI_LOSS_WEIGHING must be {allowed}, but is "):
        type("Changed", (TinyConfig,), {"ROI_LOSS_WEIGHING": share})()


def test_a_part_has_every_fourth_image():
    parts = split({"a": np.arange(8), "b": [np.arange(16).reshape(8, 2)]}, 4)
    np.testing.assert_array_equal(parts["a"], [[0, 4], [1, 5], [2, 6], [3, 7]])
    np.testing.assert_array_equal(parts["b"][0][1], [[2, 3], [10, 11]])


def test_parts_must_be_equal():
    with pytest.raises(ConfigError, match=r"IMAGES_PER_GPU \(8\) must be divisible by SUBDIVISIO"):
        type("Changed", (TinyConfig,), {"IMAGES_PER_GPU": 8, "SUBDIVISIONS": 3})()


def test_batch_statistics_need_the_batch_in_one_piece(tmp_path):
    model = tiny_model("training", tmp_path, SUBDIVISIONS=2)
    with pytest.raises(ConfigError, match="Set SUBDIVISIONS = 1, or train_bn=False"):
        compile_phase(model.keras_model, model.config, RATE, "all", train_bn=True)


def test_a_backend_that_cannot_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="SUBDIVISIONS is 2, but the torch backend trains in one"):
        tiny_model("training", tmp_path, SUBDIVISIONS=2)
