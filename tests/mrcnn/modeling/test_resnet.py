import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling import resnet
from mrcnn.modeling.resnet import BasicBlock, Bottleneck, ResNet
from mrcnn.weights.hdf5 import named_variables, weight_array

pytestmark = pytest.mark.backends
LAYOUT = Path(__file__).parents[2] / "golden" / "recordings" / "checkpoint_layout.json"


def recorded_shapes():
    """Name and shape of every weight of the original's ResNet-101."""
    groups = json.loads(LAYOUT.read_text())["mask_rcnn_resnet101_81_classes"]
    return {
        name.removesuffix(":0"): tuple(shape)
        for weights in groups.values()
        for name, shape in weights
        if name.startswith(("conv1", "bn", "res"))
    }


@pytest.fixture(scope="module")
def model():
    """A ResNet of two blocks a stage and few channels, images to all five maps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.BLOCKS, "resnet50", (2, 2, 2, 2))
        patch.setattr(resnet, "WIDTHS", (4, 8, 8, 16))
        images = keras.Input((96, 64, 3))
        return keras.Model(images, ResNet("resnet50")(images))


def block(shape, **arguments):
    """A model of one bottleneck that adds up its shortcut and zeros."""
    features = keras.Input(shape)
    made = Bottleneck("9x", train_norm=False, **arguments)
    model = keras.Model(features, made(features))
    last = named_variables(model)["res9x_branch2c/kernel"]
    last.assign(np.zeros(last.shape))
    return model


@pytest.mark.long_on_jax
def test_weights_are_those_of_the_original():
    images = keras.Input((32, 32, 3))
    variables = named_variables(keras.Model(images, ResNet("resnet101")(images)))
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    assert shapes == recorded_shapes()
    assert sum(name.endswith("/kernel") for name in shapes) == 1 + 3 * (3 + 4 + 23 + 3) + 4


def test_strides_and_channels_of_the_maps(model):
    shapes = [each.shape[1:] for each in model.outputs]
    assert shapes == [(24, 16, 64), (24, 16, 16), (12, 8, 32), (6, 4, 32), (3, 2, 64)]


@pytest.mark.parametrize("stage", range(2, 6))
def test_the_first_1x1_convolution_and_the_shortcut_have_the_stride(model, stage):
    strides = {
        branch: model.get_layer(f"norm{stage}a_branch{branch}").convolution.strides[0]
        for branch in ("2a", "2b", "2c", "1")
    }
    first = 1 if stage == 2 else 2
    assert strides == {"2a": first, "2b": 1, "2c": 1, "1": first}


def test_only_the_first_block_of_a_stage_has_a_weighted_shortcut(model):
    shortcuts = {each.name for each in model.layers if each.name.endswith("_branch1")}
    assert shortcuts == {f"norm{stage}a_branch1" for stage in range(2, 6)}


def test_every_convolution_has_a_bias(model):
    names = set(named_variables(model))
    kernels = [name for name in names if name.endswith("/kernel")]
    assert len(kernels) == 1 + 4 * (4 + 3)
    assert {name.replace("/kernel", "/bias") for name in kernels} <= names


def test_a_block_adds_its_input_before_the_last_relu():
    model = block((4, 4, 8), width=2, stride=1, project=False)
    features = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(features)), np.maximum(features, 0))


def test_a_first_block_adds_its_projected_input():
    model = block((4, 4, 3), width=1, stride=2, project=True)
    weights = named_variables(model)
    weights["res9x_branch1/kernel"].assign(np.eye(3, 4).reshape(1, 1, 3, 4))
    weights["res9x_branch1/bias"].assign([0, 0, 0, 5])
    features = np.random.default_rng(0).uniform(size=(1, 4, 4, 3)).astype(np.float32)
    expected = np.concatenate([features[:, ::2, ::2], np.full((1, 2, 2, 1), 5)], axis=-1)
    expected /= np.sqrt(1 + 1e-3)  # variance 1 and epsilon of the fresh normalisation
    np.testing.assert_allclose(ops.convert_to_numpy(model(features)), expected, atol=1e-5)


def test_stem_by_hand(model):
    """7x7 convolution of stride 2 over 3 pixels of padding, ReLU, 3x3 maximum of stride 2."""
    stem = keras.Model(model.inputs[0], model.outputs[0])
    kernel = np.zeros((7, 7, 3, 64), np.float32)
    kernel[3, 3, 0, 0] = 1  # passes on every second pixel of the first colour
    kernel[0, 0, 1, 1] = -1  # and the negative of the second colour 3 pixels up and left
    weights = named_variables(stem)
    before = weight_array(weights["conv1/kernel"])
    weights["conv1/kernel"].assign(kernel)
    images = np.random.default_rng(0).normal(size=(1, 96, 64, 3)).astype(np.float32)
    maps = ops.convert_to_numpy(stem(images))[0] * np.sqrt(1 + 1e-3)
    weights["conv1/kernel"].assign(before)
    padded = np.pad(images[0], ((3, 3), (3, 3), (0, 0)))
    centre = np.maximum(padded[3:99:2, 3:67:2, 0], 0)
    corner = np.maximum(-padded[0:96:2, 0:64:2, 1], 0)
    for channel, map_ in ((0, centre), (1, corner)):
        np.testing.assert_allclose(maps[..., channel], maxima(map_), atol=1e-5)


@pytest.mark.long_on_jax
def test_evenly_padded_pooling_and_no_last_stage():
    """As Detectron's: one cell on every side, and so other windows where a side is even."""
    network = ResNet("resnet18", width=8, last_stage=4, even_padding=True)
    images = np.random.default_rng(0).normal(size=(1, 96, 64, 3)).astype(np.float32)
    maps = network(images)
    shapes = [tuple(each.shape[1:]) for each in maps]
    assert shapes == [(24, 16, 8), (24, 16, 8), (12, 8, 16), (6, 4, 32)]
    assert network.channels == [8, 8, 16, 32]
    stem = ops.convert_to_numpy(network.activation(network.convolution(network.pad(images))))
    found = ops.convert_to_numpy(maps[0])[0, ..., 5]
    np.testing.assert_allclose(found, maxima(stem[0, ..., 5], start=1))


def maxima(map_, start=0):
    """3x3 maxima of stride 2; an even side is padded by one cell at its end, and at its start."""
    padded = np.pad(map_, ((start, 1), (start, 1)))
    return np.array(
        [
            [padded[y : y + 3, x : x + 3].max() for x in range(0, map_.shape[1], 2)]
            for y in range(0, map_.shape[0], 2)
        ]
    )


# --- ResNet-18 and -34 --------------------------------------------------------------------------


def basic_block(shape, **arguments):
    features = keras.Input(shape)
    return keras.Model(features, BasicBlock("9x", train_norm=False, **arguments)(features))


@pytest.mark.parametrize(("architecture", "convolutions"), [("resnet18", 17), ("resnet34", 33)])
def test_small_resnets_have_two_3x3_convolutions_a_block(architecture, convolutions):
    images = keras.Input((64, 96, 3))
    model = keras.Model(images, ResNet(architecture, width=8)(images))
    kernels = {
        name: tuple(variable.shape)
        for name, variable in named_variables(model).items()
        if name.endswith("/kernel")
    }
    shortcuts = {f"res{stage}a_basic_shortcut/kernel" for stage in (3, 4, 5)}
    assert {name for name, shape in kernels.items() if shape[:2] == (1, 1)} == shortcuts
    assert len(kernels) == convolutions + len(shortcuts)
    shapes = [each.shape[1:] for each in model.outputs]
    assert shapes == [(16, 24, 8), (16, 24, 8), (8, 12, 16), (4, 6, 32), (2, 3, 64)]


@pytest.mark.long_on_jax
def test_no_weight_of_a_small_resnet_has_a_name_of_a_large_one():
    images = keras.Input((32, 32, 3))
    large = named_variables(keras.Model(images, ResNet("resnet50", width=4)(images)))
    small = named_variables(keras.Model(images, ResNet("resnet18", width=4)(images)))
    shared = {name.split("/")[0] for name in set(small) & set(large)}
    assert shared == {"conv1", "bn_conv1"}


def test_a_basic_block_by_hand():
    """3x3 of stride 2, ReLU, 3x3, plus the input through the shortcut, ReLU."""
    model = basic_block((4, 4, 1), width=2, stride=2, project=True)
    weights = named_variables(model)
    first, second = np.zeros((3, 3, 1, 2)), np.zeros((3, 3, 2, 2))
    first[0, 0, 0] = (1, -1)  # "same" with stride 2 pads at the end only: its centre is (0, 0)
    second[1, 1] = [[2, 0], [0, 3]]
    weights["res9x_basic1/kernel"].assign(first)
    weights["res9x_basic2/kernel"].assign(second)
    weights["res9x_basic_shortcut/kernel"].assign(np.full((1, 1, 1, 2), -0.5))
    features = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype(np.float32)
    scale = 1 / np.sqrt(1 + 1e-3)
    seen = features[:, ::2, ::2, 0]
    expected = [
        np.maximum(factor * np.maximum(sign * seen, 0) * scale**2 - 0.5 * seen * scale, 0)
        for factor, sign in ((2, 1), (3, -1))
    ]
    found = ops.convert_to_numpy(model(features))
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), atol=1e-5)


def test_a_basic_block_of_as_many_channels_adds_its_input():
    model = basic_block((4, 4, 2), width=2, stride=1, project=True)
    last = named_variables(model)["res9x_basic2/kernel"]
    last.assign(np.zeros(last.shape))
    features = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(features)), np.maximum(features, 0))
