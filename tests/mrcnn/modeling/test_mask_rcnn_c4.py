"""Mask R-CNN without a pyramid: what it gives, that it learns, and that users notice nothing."""

import numpy as np
import pytest
from keras import ops

from found import assert_found_in, assert_same_found
from mrcnn.config import ConfigError
from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from mrcnn.modeling.mask_rcnn_c4 import C4Network
from mrcnn.ops import boxes
from mrcnn.training.losses import TrainableModel
from mrcnn.weights.hdf5 import layer_of, named_variables
from mrcnn.weights.layout import backbone_layers
from network_parts import SHAPE, WINDOWS, assert_close, build, random_images, run
from tiny import (
    BoxesDataset,
    TinyConfig,
    arrays_of,
    assert_same_arrays,
    few_weights,
    pictures_of_several_sizes,
    tiny_model,
)

ANCHORS = 15 * 8**2
C4 = {"FEATURES": "c4", "POOL_SIZE": 14, "MASK_SHAPE": [14, 14]}
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"CONVENTIONS": "detectron", "ROI_POOLING": "max"}],
    ids=lambda kind: "-".join(kind.values()) or "matterport-align",
)
CONVENTIONS = pytest.mark.parametrize(
    "kind", [{}, {"CONVENTIONS": "detectron"}], ids=["matterport", "detectron"]
)
BOX_OUTPUTS = ("mrcnn_class_logits", "mrcnn_class", "mrcnn_bbox")


def config_of(**settings):
    return type("Changed", (TinyConfig,), {**C4, **settings})()


def detecting(**settings):
    return build(
        lambda: C4Network(config_of(**settings)), lambda network: network.detection_model(SHAPE)
    )


def training_batch(config):
    """Two images of noise with boxes, and RoIs near them."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 40, (2, 4, 2))
    gt_boxes = np.concatenate([corners, corners + rng.integers(50, 80, (2, 4, 2))], axis=-1)
    near = gt_boxes[:, rng.integers(0, 4, 30)] + rng.normal(0, 5, (2, 30, 4))
    return {
        "images": random_images(0),
        "image_metas": np.ones((2, config.IMAGE_META_SIZE), np.float32),
        "gt_class_ids": np.array([[1, 2, 0, 0], [2, 1, 2, 1]], np.int32),
        "gt_boxes": gt_boxes.astype(np.float32),
        "gt_masks": rng.integers(0, 2, (2, 56, 56, 4), dtype=np.uint8),
        "roi_priorities": rng.random((2, 30), dtype=np.float32),
        "rois": np.clip(near, 1, 126).astype(np.float32),
    }


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.backends
@pytest.mark.long_on_jax
@KINDS
def test_outputs_of_detecting(kind):
    network, model = detecting(**kind)
    outputs = run(model, {"images": random_images(0), "windows": WINDOWS})
    shapes = {name: values.shape for name, values in outputs.items()}
    assert shapes == {
        "rpn_class_logits": (2, ANCHORS, 2),
        "rpn_class": (2, ANCHORS, 2),
        "rpn_bbox": (2, ANCHORS, 4),
        "rois": (2, 20, 4),
        "mrcnn_class_logits": (2, 20, 3),
        "mrcnn_class": (2, 20, 3),
        "mrcnn_bbox": (2, 20, 3, 4),
        "detections": (2, 6, 6),
        "mrcnn_mask": (2, 6, 14, 14, 3),
    }
    assert all(outputs["detections"][image].any() for image in range(2))
    assert 0 <= outputs["mrcnn_mask"].min() < outputs["mrcnn_mask"].max() <= 1
    (c4,) = network.encode(random_images(0))
    assert c4.shape == (2, 8, 8, 64)  # 16 pixels a cell
    boxes_alone = run(network.boxes_model(SHAPE), {"images": random_images(0), "windows": WINDOWS})
    assert_close(boxes_alone, outputs, ["detections"])
    few = {"pyramid": boxes_alone["pyramid"], "boxes": outputs["detections"][:, :3, :4]}
    masks = {"mrcnn_mask": run(network.masks_model(SHAPE, 3), few)}
    assert_close(masks, {"mrcnn_mask": outputs["mrcnn_mask"][:, :3]}, ["mrcnn_mask"])


def test_layers_are_those_of_the_files():
    """A backbone, proposals, and the outputs of the heads: no pyramid, no hidden layers."""
    _, model = detecting()
    with few_weights():
        backbone = set(backbone_layers("resnet50"))
    names = {layer_of(name) for name in named_variables(model)}
    assert "res5a_branch2a" in backbone
    assert names == backbone | {
        "rpn_conv_shared",
        "rpn_class_raw",
        "rpn_bbox_pred",
        "mrcnn_class_logits",
        "mrcnn_bbox_fc",
        "mrcnn_mask_deconv",
        "mrcnn_mask",
    }


@pytest.mark.parametrize(
    "kind", [{}, {"CONVENTIONS": "detectron"}], ids=["matterport", "detectron"]
)
def test_both_heads_share_stage_5_when_learning(kind):
    """Its features are worked out once; the heads on their own give the same."""
    config = config_of(USE_RPN_ROIS=False, **kind)
    network, model = build(lambda: C4Network(config), lambda made: TrainableModel(made, SHAPE))
    x = training_batch(config)
    outputs = run(model, x)
    assert outputs["mrcnn_mask_logits"].shape == (2, 3, 14, 14, 3)
    assert outputs["target_masks"].shape == (2, 3, 14, 14)
    assert (outputs["target_class_ids"] > 0).any(axis=1).all()
    pools = [layer.name for layer in model.layers if layer.name.startswith("roi_align")]
    assert pools == ["roi_align"]
    maps, rois = network.encode(x["images"]), ops.array(outputs["rois"])
    assert_close(network.box_head(rois, maps, SHAPE), outputs, BOX_OUTPUTS)
    masks = {"mrcnn_mask_logits": network.mask_head(rois[:, :3], maps, SHAPE)}
    assert_close(masks, outputs, ["mrcnn_mask_logits"])


def test_targets_lead_from_rois_to_boxes_by_the_conventions():
    """Deltas are those of pixels with Detectron's, hence of whole pixels: widths 60 to 90."""
    config = config_of(USE_RPN_ROIS=False, CONVENTIONS="detectron")
    network, _ = build(lambda: C4Network(config), lambda made: made.detection_model(SHAPE))
    x = training_batch(config)
    x["gt_boxes"][:, 0], x["rois"][:, :] = [10, 20, 80, 110], [10, 20, 80, 80]
    truth = {name: ops.array(values) for name, values in x.items()}
    rois = network.normalize(truth["rois"], SHAPE)
    learned = network.train_heads(network.encode(x["images"]), rois, truth, SHAPE)
    deltas = ops.convert_to_numpy(learned["target_deltas"])[0, 0] * config.BBOX_STD_DEV
    np.testing.assert_allclose(deltas, [0, 0.25, 0, np.log(1.5)], atol=1e-5)
    roi = boxes.denormalize(ops.convert_to_numpy(learned["rois"])[0, 0], SHAPE, edges=True)
    np.testing.assert_array_equal(roi, [10, 20, 80, 80])


def test_boxes_alone():
    network, model = detecting(MODEL="frcnn", MASK_SHAPE=[28, 28])
    outputs = run(model, {"images": random_images(0), "windows": WINDOWS})
    assert network.mask_head is None and "mrcnn_mask" not in outputs
    assert outputs["detections"].any()


# --- the model for users --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [{}, {"CONVENTIONS": "detectron"}], ids=["matterport", "detectron"]
)
def test_it_detects_in_images_of_all_sizes(tmp_path, kind):
    model = tiny_model("inference", tmp_path, **C4, **kind)
    assert isinstance(model.network, C4Network)
    images = pictures_of_several_sizes()
    for image, found in zip(images, model.detect(images), strict=True):
        assert_found_in(image, found, model.config)


@KINDS
def test_it_trains_five_losses(tmp_path, kind):
    settings = {"PRE_NMS_LIMIT": 1000, "POST_NMS_ROIS_TRAINING": 300, "STEPS_PER_EPOCH": 4}
    model = tiny_model("training", tmp_path, **C4, **settings, **kind)
    before = arrays_of(model.keras_model)
    history = model.train(BoxesDataset(images=1), None, 0.001, 2, "all").history
    for name in model.config.LOSS_WEIGHTS:
        assert history[name][0] > 0 and np.isfinite(history[name][1]), name
    assert history["loss"][1] < history["loss"][0]
    after = arrays_of(model.keras_model)
    still = {n for n in before if np.array_equal(before[n], after[n])}
    assert {name.split("/")[1] for name in still} == {"moving_mean", "moving_variance"}


def test_weights_are_saved_and_loaded(tmp_path):
    model = tiny_model("inference", tmp_path, **C4)
    for variable in model.keras_model.weights:
        variable.assign(variable + 0.001)
    other = tiny_model("training", tmp_path, **C4)
    before = arrays_of(other.keras_model)
    for name in ("w.h5", "w.weights.h5"):
        model.save_weights(tmp_path / name)
        for weight, variable in named_variables(other.keras_model).items():
            variable.assign(before[weight])
        assert not other.load_weights(tmp_path / name).unexpected
        assert_same_arrays(arrays_of(other.keras_model), arrays_of(model.keras_model))
    images = pictures_of_several_sizes()[:2]
    for found, expected in zip(other.detect(images), model.detect(images), strict=True):
        assert_same_found(found, expected)


# --- settings -------------------------------------------------------------------------------------


def test_a_pyramid_is_the_default(tmp_path):
    assert type(tiny_model("inference", tmp_path).network) is MaskRCNNNetwork


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"FEATURES": "c5"}, "FEATURES must be one of 'fpn', 'c4', but is 'c5'"),
        ({"CONVENTIONS": "mine"}, "CONVENTIONS must be one of 'matterport', 'detectron'"),
        ({"ROI_POOLING": "min"}, "ROI_POOLING must be one of"),
        ({"ROI_POOLING": "max"}, 'use that, or FEATURES = "c4"'),
        ({**C4, "MASK_SHAPE": [28, 28]}, r"MASK_SHAPE must be .* \[14, 14\], but is \[28, 28\]"),
        ({**C4, "POOL_SIZE": 7, "MASK_SHAPE": [7, 7]}, "POOL_SIZE must be an even number"),
        ({**C4, "BACKBONE": "resnet18"}, "BACKBONE without a pyramid must be one of"),
        ({**C4, "BACKBONE": "efficientnet-lite2"}, "must be one of 'resnet50', 'resnet101'"),
    ],
)
def test_settings_that_do_not_fit_are_told(settings, words):
    with pytest.raises(ConfigError, match=words):
        type("Changed", (TinyConfig,), settings)()
