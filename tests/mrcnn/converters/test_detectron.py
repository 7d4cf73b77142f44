"""Every tensor of Detectron's Mask R-CNN has a place here, and converted layers do as theirs."""

import keras
import numpy as np
import pytest
from keras import ops

from foreign_weights import ANCHORS, CLASSES, detectron_blobs
from mrcnn.converters.detectron import UNIT_VARIANCE, detectron_table
from mrcnn.converters.pytorch import state_dict_of
from mrcnn.converters.translate import ConversionError, to_ours
from mrcnn.modeling.conv_norm import NormalizedConvolution
from mrcnn.ops.boxes import decode_deltas
from mrcnn.weights.hdf5 import WeightsError, layer_of
from mrcnn.weights.layout import backbone_layers

KINDS = pytest.mark.parametrize(
    ("backbone", "pyramid"), [("resnet50", False), ("resnet50", True), ("resnet101", True)]
)


def converted(pyramid=True, backbone="resnet50"):
    blobs = detectron_blobs(backbone, pyramid)
    return blobs, to_ours(blobs, detectron_table(backbone, pyramid), "W.pkl")[0]


@KINDS
def test_every_name(backbone, pyramid):
    blobs, table = detectron_blobs(backbone, pyramid), detectron_table(backbone, pyramid)
    _, report = to_ours(blobs, table, "W.pkl")
    assert set(report.loaded) == set(blobs) and not report.unexpected


@KINDS
def test_our_layers(backbone, pyramid):
    """With a pyramid all of ours; without, the backbone, the proposals and the outputs."""
    _, tensors = converted(pyramid, backbone)
    outside = {layer_of(name) for name in tensors} - set(backbone_layers(backbone))
    outputs = {"mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask_deconv", "mrcnn_mask"}
    proposals = {"rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"}
    hidden = {f"mrcnn_class_{kind}{n}" for kind in ("conv", "bn") for n in (1, 2)}
    hidden |= {f"mrcnn_mask_{kind}{n}" for kind in ("conv", "bn") for n in (1, 2, 3, 4)}
    levels = {f"fpn_p{n}" for n in (2, 3, 4, 5)} | {f"fpn_c{n}p{n}" for n in (2, 3, 4, 5)}
    assert outside == outputs | proposals | (hidden | levels if pyramid else set())


def test_what_the_optimiser_keeps_is_left_over():
    blobs = detectron_blobs("resnet50", True)
    more = {"conv1_w_momentum": blobs["conv1_w"], "conv1_b": np.zeros(4, np.float32)}
    _, report = to_ours(blobs | more, detectron_table("resnet50", True), "W.pkl")
    assert report.unexpected == list(more)


def test_a_backbone_alone():
    kept = ("conv1", "res_conv1", "res2", "res3", "res4", "res5")
    blobs = {n: a for n, a in detectron_blobs("resnet50", True).items() if n.startswith(kept)}
    table = detectron_table("resnet50", False)
    tensors, _ = to_ours(blobs, table, "W.pkl")
    assert {layer_of(name) for name in tensors} == set(backbone_layers("resnet50"))


# --- what layers do -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "norm", "kernel", "affine"),
    [
        ("conv1", "bn_conv1", "conv1_w", "res_conv1_bn"),
        ("res3a_branch2b", "bn3a_branch2b", "res3_0_branch2b_w", "res3_0_branch2b_bn"),
    ],
)
def test_a_converted_block_of_the_backbone_gives_the_same(layer, norm, kernel, affine):
    """Convolution, scale, shift; Detectron's first sees blue, green, red."""
    blobs, tensors = converted()
    weight = blobs[kernel]
    image = np.random.default_rng(1).normal(size=(9, 9, weight.shape[1])).astype(np.float32)
    seen = image[..., ::-1] if layer == "conv1" else image
    size = weight.shape[2]
    unit = NormalizedConvolution(len(weight), size, layer, norm)
    unit.build((1, *image.shape))
    for part, name, kinds in (
        (unit.convolution, layer, ("kernel", "bias")),
        (unit.norm, norm, ("gamma", "beta", "moving_mean", "moving_variance")),
    ):
        part.set_weights([tensors[f"{name}/{kind}"] for kind in kinds])
    found = ops.convert_to_numpy(unit(image[None]))[0]
    for y, x in np.ndindex(found.shape[:2]):
        patch = seen[y : y + size, x : x + size].transpose(2, 0, 1)
        sums = (weight * patch).sum(axis=(1, 2, 3))
        expected = sums * blobs[f"{affine}_s"] + blobs[f"{affine}_b"]
        np.testing.assert_allclose(found[y, x], expected, atol=1e-5)


def test_converted_fully_connected_layers_give_the_same():
    """fc6 over a RoI of 4 channels and 7 x 7 cells, flattened channels first; then fc7."""
    blobs, tensors = converted()
    pooled = np.random.default_rng(1).normal(size=(3, 7, 7, 4)).astype(np.float32)
    expected = pooled.transpose(0, 3, 1, 2).reshape(3, -1)
    found = pooled
    for name, number, size in (("fc6", 1, 7), ("fc7", 2, 1)):
        expected = np.maximum(expected @ blobs[f"{name}_w"].T + blobs[f"{name}_b"], 0)
        unit = NormalizedConvolution(8, size, f"c{number}", f"b{number}")
        unit.build(found.shape)
        prefix = f"mrcnn_class_conv{number}"
        unit.convolution.set_weights([tensors[f"{prefix}/kernel"], tensors[f"{prefix}/bias"]])
        kinds = ("gamma", "beta", "moving_mean", "moving_variance")
        unit.norm.set_weights([tensors[f"mrcnn_class_bn{number}/{kind}"] for kind in kinds])
        found = ops.convert_to_numpy(ops.relu(unit(found)))
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-5, atol=1e-5)


def test_converted_box_deltas_give_the_same_boxes():
    """Detectron's formula with x2 and y2 inside, weights 10, 10, 5, 5; ours with them outside."""
    blobs, tensors = converted()
    features = np.random.default_rng(1).normal(0, 0.3, size=8).astype(np.float32)
    x1, y1, x2, y2 = 10.0, 20.0, 49.0, 79.0
    dx, dy, dw, dh = (blobs["bbox_pred_w"] @ features + blobs["bbox_pred_b"]).reshape(-1, 4).T
    width, height = x2 - x1 + 1, y2 - y1 + 1
    center_x, center_y = x1 + width / 2 + dx / 10 * width, y1 + height / 2 + dy / 10 * height
    width, height = width * np.exp(dw / 5), height * np.exp(dh / 5)
    inside = [center_x - width / 2, center_y - height / 2]
    inside += [center_x + width / 2 - 1, center_y + height / 2 - 1]
    layer = keras.layers.Dense(4 * CLASSES)
    layer.build((1, 8))
    layer.set_weights([tensors["mrcnn_bbox_fc/kernel"], tensors["mrcnn_bbox_fc/bias"]])
    deltas = ops.reshape(layer(features[None]), (CLASSES, 4)) * np.float32([0.1, 0.1, 0.2, 0.2])
    box = np.tile(np.float32([y1, x1, y2 + 1, x2 + 1]), (CLASSES, 1))
    found = ops.convert_to_numpy(decode_deltas(box, deltas, ops))
    expected = np.stack([inside[1], inside[0], inside[3] + 1, inside[2] + 1], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("pyramid", [False, True])
def test_anchors_deltas_are_swapped_within_each_anchor(pyramid):
    blobs, tensors = converted(pyramid)
    theirs = blobs["rpn_bbox_pred" + ("_fpn2" if pyramid else "") + "_b"].reshape(ANCHORS, 4)
    ours = tensors["rpn_bbox_pred/bias"].reshape(ANCHORS, 4)
    np.testing.assert_array_equal(ours[:, [1, 0, 3, 2]], theirs)
    kernel = tensors["rpn_bbox_pred/kernel"][0, 0].T.reshape(ANCHORS, 4, -1)
    theirs = blobs["rpn_bbox_pred" + ("_fpn2" if pyramid else "") + "_w"]
    np.testing.assert_array_equal(kernel[:, [1, 0, 3, 2]], theirs.reshape(ANCHORS, 4, -1))


# --- what does not fit ----------------------------------------------------------------------------


def test_two_logits_an_anchor_have_no_form():
    _, tensors = converted()
    with pytest.raises(WeightsError, match=r"1 class logits an anchor.*pytorch-mask-rcnn has 2"):
        state_dict_of(tensors, "W.pth")


@pytest.mark.parametrize(
    ("name", "shape"), [("fc6_w", (8, 4 * 7 * 7 + 1)), ("bbox_pred_w", (21, 8)), ("fc7_w", (8,))]
)
def test_other_shapes_are_named(name, shape):
    blobs = detectron_blobs("resnet50", True) | {name: np.zeros(shape, np.float32)}
    with pytest.raises(ConversionError) as caught:
        to_ours(blobs, detectron_table("resnet50", True), "W.pkl")
    assert [each[:2] for each in caught.value.report.wrong_shape] == [(name, shape)]


def test_frozen_statistics_are_one_in_float32():
    _, tensors = converted()
    variance = tensors["bn2a_branch2a/moving_variance"]
    assert (variance == UNIT_VARIANCE).all() and (variance + np.float32(1e-3) == 1).all()
    for name in ("bn2a_branch2a/moving_mean", "res2a_branch2a/bias", "mrcnn_mask_bn1/beta"):
        assert not tensors[name].any()
