import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork, normalize_boxes
from mrcnn.ops import boxes
from mrcnn.training.losses import TrainableModel
from mrcnn.weights.hdf5 import layer_of, named_variables
from network_parts import SHAPE, WINDOWS, assert_close, build, random_images, run
from tiny import TinyConfig

pytestmark = [pytest.mark.backends, pytest.mark.long_on_jax]
RPN_OUTPUTS = ("rpn_class_logits", "rpn_class", "rpn_bbox")
BOX_OUTPUTS = ("mrcnn_class_logits", "mrcnn_class", "mrcnn_bbox")
ANCHORS = 3 * (32**2 + 16**2 + 8**2 + 4**2 + 2**2)


class GivenRoisConfig(TinyConfig):
    USE_RPN_ROIS = False


class BoxesOnlyConfig(GivenRoisConfig):
    MODEL = "frcnn"


def training_batch(config, seed=0):
    """(x, y): two images of noise with boxes; RoIs near the boxes if the configuration asks."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 40, (2, 4, 2))
    gt_boxes = np.concatenate([corners, corners + rng.integers(50, 80, (2, 4, 2))], axis=-1)
    x = {
        "images": random_images(seed),
        "image_metas": np.ones((2, config.IMAGE_META_SIZE), np.float32),
        "gt_class_ids": np.array([[1, 2, 0, 0], [2, 1, 2, 1]], np.int32),
        "gt_boxes": gt_boxes.astype(np.float32),
        "gt_masks": rng.integers(0, 2, (2, 56, 56, 4), dtype=np.uint8),
        "roi_priorities": rng.random((2, 30), dtype=np.float32),
    }
    if not config.USE_RPN_ROIS:
        near = gt_boxes[:, rng.integers(0, 4, 30)] + rng.normal(0, 5, (2, 30, 4))
        x["rois"] = np.clip(near, 1, 126).astype(np.float32)
    y = {
        "rpn_match": rng.integers(-1, 2, (2, ANCHORS), dtype=np.int32),
        "rpn_deltas": rng.normal(size=(2, 16, 4)).astype(np.float32),
    }
    return x, y


@pytest.fixture(scope="module")
def detecting():
    return build(lambda: MaskRCNNNetwork(TinyConfig()), lambda made: made.detection_model(SHAPE))


@pytest.fixture(scope="module")
def inputs():
    return {"images": random_images(0), "windows": WINDOWS}


@pytest.fixture(scope="module")
def outputs(detecting, inputs):
    return run(detecting[1], inputs)


@pytest.fixture(scope="module")
def learning():
    network, model = build(
        lambda: MaskRCNNNetwork(GivenRoisConfig()), lambda made: TrainableModel(made, SHAPE)
    )
    x, _ = training_batch(network.config)
    return network, x, run(model, x)


def test_boxes_are_normalized_as_in_numpy():
    pixels = np.array([[[0, 0, 0, 0], [0, 10, 128, 64]]], np.float32)
    found = ops.convert_to_numpy(normalize_boxes(ops.array(pixels), (128, 64, 3)))
    np.testing.assert_allclose(found, boxes.normalize(pixels, (128, 64)), atol=1e-7)


def test_outputs_of_detecting(outputs):
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
        "mrcnn_mask": (2, 6, 28, 28, 3),
    }
    assert all(outputs["detections"][image].any() for image in range(2))
    np.testing.assert_allclose(outputs["mrcnn_class"].sum(axis=-1), 1, atol=1e-6)
    assert 0 <= outputs["mrcnn_mask"].min() < outputs["mrcnn_mask"].max() <= 1


def test_detections_lie_in_the_window(outputs):
    top, bottom = outputs["detections"][1, :, 0], outputs["detections"][1, :, 2]
    real = outputs["detections"][1, :, 4] > 0
    assert top[real].min() >= np.float32(0.2) and bottom[real].max() <= np.float32(0.8)


def test_parts_give_on_their_own_what_they_give_inside_of_the_model(detecting, inputs, outputs):
    network, _ = detecting
    pyramid = network.encode(inputs["images"])
    assert_close(network.propose(pyramid, SHAPE, 20), outputs, [*RPN_OUTPUTS, "rois"])
    assert_close(network.box_head(outputs["rois"], pyramid[:4], SHAPE), outputs, BOX_OUTPUTS)
    found = outputs["detections"][..., :4]
    masks = network.predict_masks(pyramid[:4], found, SHAPE)
    assert_close({"mrcnn_mask": masks}, outputs, ["mrcnn_mask"])


def test_boxes_and_then_masks_are_the_detections(detecting, inputs, outputs):
    network, _ = detecting
    found = run(network.boxes_model(SHAPE), inputs)
    assert_close(found, outputs, ["detections"])
    assert [level.shape for level in found["pyramid"]] == [(2, s, s, 16) for s in (32, 16, 8, 4)]
    few = {"pyramid": found["pyramid"], "boxes": outputs["detections"][:, :3, :4]}
    masks = run(network.masks_model(SHAPE, 3), few)
    assert_close(
        {"mrcnn_mask": masks}, {"mrcnn_mask": outputs["mrcnn_mask"][:, :3]}, ["mrcnn_mask"]
    )


def test_images_of_a_batch_do_not_mix(detecting, inputs, outputs):
    _, model = detecting
    twice = run(model, {name: values[[1, 1]] for name, values in inputs.items()})
    expected = {name: values[[1, 1]] for name, values in outputs.items()}
    assert_close(twice, expected, [*RPN_OUTPUTS, "rois"])


def test_all_models_share_their_weights(detecting):
    network, model = detecting
    variables = named_variables(model)
    for name, variable in named_variables(network.boxes_model(SHAPE)).items():
        assert variable is variables[name]


def test_the_mean_pixel_is_subtracted(detecting):
    network, _ = detecting
    images = random_images(0, side=64)
    pixels = images - np.array([123.7, 116.8, 103.9], np.float32)
    maps = network.backbone(ops.array(pixels))
    assert_close(network.encode(images), network.pyramid(maps[1:]), range(5))


def test_outputs_of_learning(learning):
    _, x, outputs = learning
    positive = outputs["target_class_ids"] > 0
    assert positive.any(axis=1).all() and not positive[:, 3:].any()
    assert outputs["rois"].shape == (2, 12, 4)
    assert outputs["mrcnn_class_logits"].shape == (2, 12, 3)
    assert outputs["mrcnn_mask_logits"].shape == (2, 3, 28, 28, 3)
    assert outputs["target_masks"].shape == (2, 3, 28, 28)
    given = boxes.normalize(x["rois"], SHAPE)
    for image in range(2):
        for roi in outputs["rois"][image][outputs["rois"][image].any(axis=-1)]:
            assert np.abs(given[image] - roi).max(axis=-1).min() < 1e-6


def test_learning_on_its_own_gives_what_it_gives_inside_of_the_model(learning):
    network, x, outputs = learning
    rois = boxes.normalize(x["rois"], SHAPE)
    truth = {name: ops.array(values) for name, values in x.items()}
    found = network.train_heads(network.encode(x["images"]), ops.array(rois), truth, SHAPE)
    targets = ("rois", "target_class_ids", "target_deltas", "target_masks")
    assert_close(found, outputs, [*targets, *BOX_OUTPUTS, "mrcnn_mask_logits"])


def test_proposals_are_learned_from_unless_rois_are_given():
    config = TinyConfig()
    _, model = build(lambda: MaskRCNNNetwork(config), lambda made: TrainableModel(made, SHAPE))
    x, _ = training_batch(config)
    assert "rois" not in x
    outputs = run(model, x)
    assert outputs["rois"].shape == (2, 12, 4) and "target_masks" in outputs


class TestBoxesOnly:
    """MODEL = "frcnn": no mask head."""

    def test_it_finds_boxes(self):
        network, model = build(
            lambda: MaskRCNNNetwork(BoxesOnlyConfig()), lambda made: made.detection_model(SHAPE)
        )
        outputs = run(model, {"images": random_images(0), "windows": WINDOWS})
        assert network.mask_head is None and "mrcnn_mask" not in outputs
        assert outputs["detections"].any()
        names = {layer_of(name) for name in named_variables(model)}
        assert not {name for name in names if "mask" in name}

    def test_it_learns_boxes(self):
        config = BoxesOnlyConfig()
        _, model = build(lambda: MaskRCNNNetwork(config), lambda made: TrainableModel(made, SHAPE))
        x, y = training_batch(config)
        outputs = run(model, x)
        assert "mrcnn_mask_logits" not in outputs
        tensors = {name: ops.array(values) for name, values in outputs.items()}
        y = {name: ops.array(values) for name, values in y.items()}
        losses = model.named_losses(y, tensors, model.active_classes(x))
        assert set(losses) == set(config.LOSS_WEIGHTS) - {"mrcnn_mask_loss"}
        assert all(float(loss_sum) > 0 for loss_sum, _ in losses.values())


def test_heads_for_each_class_or_for_all(detecting):
    shared = type("Shared", (MaskRCNNNetwork,), {"head_classes": 1})(TinyConfig())
    for network, classes in ((detecting[0], 3), (shared, 1)):
        assert network.box_head.deltas.units == 4 * classes
        assert network.mask_head.logits.filters == classes
        assert network.box_head.logits.units == 3


def test_pyramid_inputs_have_the_sizes_of_the_levels(detecting):
    network, _ = detecting
    inputs = network.pyramid_inputs((128, 192), 5)
    assert all(isinstance(each, keras.KerasTensor) for each in inputs)
    sizes = [each.shape[1:] for each in inputs]
    assert sizes == [(128 // s, 192 // s, 5) for s in (4, 8, 16, 32, 64)]
