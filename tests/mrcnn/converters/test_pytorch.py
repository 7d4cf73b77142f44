"""Every tensor of pytorch-mask-rcnn has a place here, and converted layers do what theirs did."""

import keras
import numpy as np
import pytest
from keras import ops

from foreign_weights import BLOCKS, assert_same_bits, pytorch_blobs
from mrcnn.converters.pytorch import pytorch_layer, pytorch_table, state_dict_of
from mrcnn.converters.translate import ConversionError, to_ours
from mrcnn.weights.hdf5 import WeightsError, layer_of, named_variables
from mrcnn.weights.layout import backbone_layers
from tiny import tiny_model

BACKBONES = pytest.mark.parametrize("backbone", BLOCKS)


def converted(backbone="resnet50", **changed):
    blobs = pytorch_blobs(backbone)
    return to_ours(blobs | changed, pytorch_table(backbone), "W.pth")[0]


@BACKBONES
def test_every_name_and_the_way_back_bit_by_bit(backbone):
    blobs = pytorch_blobs(backbone)
    table = pytorch_table(backbone)
    tensors, report = to_ours(blobs, table, "W.pth")
    assert set(report.loaded) == set(blobs) and len(tensors) == len(blobs)
    assert not report.missing and not report.unexpected and not report.wrong_shape
    assert_same_bits(state_dict_of(tensors, "W.pth"), blobs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("conv1", "fpn.C1.0"),
        ("bn_conv1", "fpn.C1.1"),
        ("res2a_branch2a", "fpn.C2.0.conv1"),
        ("bn3b_branch2c", "fpn.C3.1.bn3"),
        ("res4w_branch2b", "fpn.C4.22.conv2"),
        ("res5a_branch1", "fpn.C5.0.downsample.0"),
        ("bn5a_branch1", "fpn.C5.0.downsample.1"),
        ("fpn_c5p5", "fpn.P5_conv1"),
        ("fpn_p2", "fpn.P2_conv2.1"),
        ("mrcnn_class_bn2", "classifier.bn2"),
        ("mrcnn_bbox_fc", "classifier.linear_bbox"),
        ("mrcnn_mask_conv4", "mask.conv4"),
        ("mrcnn_mask", "mask.conv5"),
    ],
)
def test_names_by_hand(ours, theirs):
    assert pytorch_layer(ours) == theirs


def test_statistics_by_hand():
    blobs, tensors = pytorch_blobs("resnet50"), converted()
    for ours, theirs in (
        ("gamma", "weight"),
        ("beta", "bias"),
        ("moving_mean", "running_mean"),
        ("moving_variance", "running_var"),
    ):
        np.testing.assert_array_equal(tensors[f"bn_conv1/{ours}"], blobs[f"fpn.C1.1.{theirs}"])


def test_our_network_takes_them(tmp_path):
    """As many tensors as the model has, each of the same axes."""
    model = tiny_model("inference", tmp_path).keras_model
    own = {name: len(each.shape) for name, each in named_variables(model).items()}
    tensors = converted()
    assert set(own) <= set(tensors)  # the tiny model has one block a stage
    assert all(tensors[name].ndim == axes for name, axes in own.items())
    assert {layer_of(name) for name in set(tensors) - set(own)} <= set(backbone_layers("resnet50"))


# --- what layers do -------------------------------------------------------------------------------


def their_convolution(image, weight, bias):
    """A convolution without padding as PyTorch and Caffe2 define it: image [in, rows, columns]."""
    outputs, _, height, width = weight.shape
    rows, columns = image.shape[1] - height + 1, image.shape[2] - width + 1
    result = np.zeros((outputs, rows, columns))
    for y in range(rows):
        for x in range(columns):
            patch = image[:, y : y + height, x : x + width]
            result[:, y, x] = (weight * patch).sum(axis=(1, 2, 3)) + bias
    return result


def their_upsampling(image, weight, bias):
    """A transposed convolution, 2 x 2 with stride 2: weight [in, out, 2, 2]."""
    _, rows, columns = image.shape
    result = np.zeros((weight.shape[1], 2 * rows, 2 * columns)) + bias[:, None, None]
    for y in range(rows):
        for x in range(columns):
            spread = np.tensordot(image[:, y, x], weight, axes=1)
            result[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] += spread
    return result


def run(layer, tensors, name, image):
    """A layer of Keras with converted weights on an image [in, rows, columns], in their axes."""
    inputs = ops.convert_to_tensor(image.transpose(1, 2, 0)[None].astype(np.float32))
    layer.build(inputs.shape)
    layer.set_weights([tensors[f"{name}/kernel"], tensors[f"{name}/bias"]])
    return ops.convert_to_numpy(layer(inputs))[0].transpose(2, 0, 1)


def image_of(channels, side=8):
    return np.random.default_rng(1).normal(size=(channels, side, side + 1))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("conv1", "fpn.C1.0"), ("res3a_branch2b", "fpn.C3.0.conv2"), ("fpn_p3", "fpn.P3_conv2.1")],
)
def test_a_converted_convolution_gives_the_same(ours, theirs):
    blobs = pytorch_blobs("resnet50")
    weight, bias = blobs[f"{theirs}.weight"], blobs[f"{theirs}.bias"]
    image = image_of(weight.shape[1])
    layer = keras.layers.Conv2D(len(weight), weight.shape[2:])
    found = run(layer, converted(), ours, image)
    np.testing.assert_allclose(found, their_convolution(image, weight, bias), atol=1e-5)


def test_a_converted_upsampling_gives_the_same():
    blobs = pytorch_blobs("resnet50")
    image = image_of(4)
    found = run(keras.layers.Conv2DTranspose(5, 2, 2), converted(), "mrcnn_mask_deconv", image)
    expected = their_upsampling(image, blobs["mask.deconv.weight"], blobs["mask.deconv.bias"])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_converted_linear_layer_gives_the_same():
    blobs, tensors = pytorch_blobs("resnet50"), converted()
    features = np.random.default_rng(2).normal(size=(3, 8)).astype(np.float32)
    layer = keras.layers.Dense(20)
    layer.build((3, 8))
    layer.set_weights([tensors["mrcnn_bbox_fc/kernel"], tensors["mrcnn_bbox_fc/bias"]])
    weight, bias = (blobs[f"classifier.linear_bbox.{kind}"] for kind in ("weight", "bias"))
    found = ops.convert_to_numpy(layer(features))
    np.testing.assert_allclose(found, features @ weight.T + bias, atol=1e-5)


def test_pytorch_s_own_layers_give_the_same():
    torch = pytest.importorskip("torch")
    blobs = {name: torch.from_numpy(each) for name, each in pytorch_blobs("resnet50").items()}
    image = image_of(4)
    batch = torch.from_numpy(image[None].astype(np.float32))
    functional = torch.nn.functional
    expected = functional.conv2d(batch, blobs["mask.conv1.weight"], blobs["mask.conv1.bias"])
    found = run(keras.layers.Conv2D(4, 3), converted(), "mrcnn_mask_conv1", image)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)
    deconvolution = blobs["mask.deconv.weight"], blobs["mask.deconv.bias"]
    expected = functional.conv_transpose2d(batch, *deconvolution, stride=2)
    found = run(keras.layers.Conv2DTranspose(5, 2, 2), converted(), "mrcnn_mask_deconv", image)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)


# --- parts, and what does not fit -----------------------------------------------------------------


def test_a_backbone_alone_goes_both_ways():
    table = pytorch_table("resnet50")
    blobs = {n: a for n, a in pytorch_blobs("resnet50").items() if n.startswith("fpn.C")}
    tensors, _ = to_ours(blobs, table, "W.pth")
    assert {layer_of(name) for name in tensors} == set(backbone_layers("resnet50"))
    assert_same_bits(state_dict_of(tensors, "W"), blobs)


def test_masks_may_be_absent_as_a_whole():
    table = pytorch_table("resnet50")
    blobs = {n: a for n, a in pytorch_blobs("resnet50").items() if not n.startswith("mask.")}
    assert_same_bits(state_dict_of(to_ours(blobs, table, "W")[0], "W"), blobs)


def test_what_is_left_over_is_reported():
    blobs = pytorch_blobs("resnet50")
    more = {"fpn.C1.1.num_batches_tracked": np.array(7), "else": np.zeros(2)}
    _, report = to_ours(blobs | more, pytorch_table("resnet50"), "W.pth")
    assert report.unexpected == list(more) and len(report.loaded) == len(blobs)


@pytest.mark.parametrize("name", ["fpn.C5.2.bn3.bias", "mask.conv5.weight", "rpn.conv_bbox.bias"])
def test_what_is_missing_is_named(name):
    blobs = pytorch_blobs("resnet50")
    del blobs[name]
    with pytest.raises(
        ConversionError, match=r"no complete weights of pytorch-mask-rcnn"
    ) as caught:
        to_ours(blobs, pytorch_table("resnet50"), "W.pth")
    assert caught.value.report.missing == [name] and name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("fpn.C1.0.weight", (4, 3, 7), "4 axes of real numbers"),
        ("mask.conv1.bias", (5,), (4,)),
        ("mask.deconv.bias", (4,), (5,)),
        ("fpn.C2.1.bn2.running_var", (3,), (4,)),
        ("classifier.linear_class.bias", (6,), (5,)),
    ],
)
def test_other_shapes_are_named(name, shape, expected):
    with pytest.raises(ConversionError) as caught:
        converted(**{name: np.zeros(shape, np.float32)})
    assert caught.value.report.wrong_shape == [(name, shape, expected)]
    assert name not in caught.value.report.loaded


def test_whole_numbers_are_no_weights():
    with pytest.raises(ConversionError, match=r"4 axes of real numbers"):
        converted(**{"fpn.C1.0.weight": np.zeros((4, 3, 7, 7), np.int64)})


def test_other_layers_of_ours_have_no_place():
    tensors = converted()
    tensors["fpn_distance_P2/kernel"] = np.zeros((1, 1, 4, 4), np.float32)
    with pytest.raises(ConversionError, match=r"(?s)no form in pytorch-mask-rcnn.*fpn_distance_P2"):
        state_dict_of(tensors, "W.pth")


def test_one_logit_an_anchor_has_no_form():
    tensors = converted()
    tensors["rpn_class_raw/bias"] = np.zeros(3, np.float32)
    with pytest.raises(WeightsError, match=r"1 class logits an anchor.*has 2: they have"):
        state_dict_of(tensors, "W.pth")


def test_other_backbones_have_no_form():
    names = ("conv1/kernel", "res2a_basic1/kernel")
    tensors = {name: np.zeros((3, 3, 4, 4), np.float32) for name in names}
    with pytest.raises(WeightsError, match=r"resnet18, and .* has resnet50 and resnet101 a"):
        state_dict_of(tensors, "W.pth")
