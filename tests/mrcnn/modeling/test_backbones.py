"""What all else relies on holds for every backbone that is registered."""

import keras
import numpy as np
import pytest
from keras import ops

import mrcnn.config
from mrcnn.config import Config
from mrcnn.modeling.backbones import BACKBONES, architecture_of, stages, standardize
from mrcnn.weights.hdf5 import named_variables
from tiny import few_weights

EACH = pytest.mark.parametrize("name", BACKBONES)
SIDE = 64


def built(name):
    """A narrow network of a backbone, and a model of its maps."""
    config = type("Narrow", (Config,), {"BACKBONE": name, "BACKBONE_WIDTH": 8})()
    images, network = keras.Input((SIDE, SIDE, 3)), BACKBONES[name].make(config)
    return network, keras.Model(images, network(images))


def test_the_configuration_knows_the_same_names():
    assert list(BACKBONES) == list(mrcnn.config.BACKBONES)
    for name, features in mrcnn.config.BACKBONES.items():
        assert BACKBONES[name].name == name
        assert "fpn" in features
        if "c4" in features:
            assert len(BACKBONES[name].make_roi_stage(Config())) == 3


@EACH
@pytest.mark.long_on_jax
def test_maps_and_layers_are_those_that_are_said(name):
    backbone, (network, model) = BACKBONES[name], built(name)
    assert backbone.strides[1:] == (4, 8, 16, 32)
    shapes = [each.shape[1:] for each in model.outputs]
    sides = [SIDE // stride for stride in backbone.strides]
    assert shapes == [(s, s, c) for s, c in zip(sides, network.channels, strict=True)]
    tensors = named_variables(model)
    assert {each.split("/")[0] for each in tensors} == set(backbone.layers)
    assert architecture_of(tensors) == name
    assert backbone.width_of({each: tuple(v.shape) for each, v in tensors.items()}) == 8


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet-lite0"])
@pytest.mark.long_on_jax
def test_a_stage_reaches_its_own_map_and_no_earlier_one(name):
    """The map of a stage changes with the weights of this stage, but not of later ones."""
    keras.utils.set_random_seed(0)  # eight channels of unlucky weights may all be negative: no map
    with few_weights():
        _, model = built(name)
    images = np.random.default_rng(0).integers(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)
    before = [ops.convert_to_numpy(each) for each in model(images)]
    variables = named_variables(model)
    for stage in range(1, 6):
        layers = [layer for layer, n in stages().items() if n == stage]
        gammas = [variables[f"{each}/gamma"] for each in layers if f"{each}/gamma" in variables]
        for gamma in gammas:
            gamma.assign(gamma * 2)
        changed = [
            bool(np.abs(ops.convert_to_numpy(new) - old).max() > 1e-4 * np.abs(old).max())
            for new, old in zip(model(images), before, strict=True)
        ]
        for gamma in gammas:
            gamma.assign(gamma / 2)
        assert changed[:stage] == [False] * (stage - 1) + [True]


def test_families_share_no_names():
    families = {}
    for backbone in BACKBONES.values():
        families.setdefault(backbone.group, set()).update(backbone.layers)
    assert sum(map(len, families.values())) == len(stages())


def test_no_backbone_is_told_from_other_layers():
    assert architecture_of(["fpn_p2/kernel", "conv1/kernel", "stem"]) is None


def test_a_mean_of_ones_own_is_subtracted():
    pixels = np.full((1, 1, 1, 3), 255, np.uint8)
    usual = ops.convert_to_numpy(standardize(pixels, Config()))
    np.testing.assert_allclose(usual.ravel(), [131.3, 138.2, 151.1], rtol=1e-6)
    own = type("Own", (Config,), {"MEAN_PIXEL": np.array([1, 2, 3])})()
    found = ops.convert_to_numpy(standardize(pixels, own))
    np.testing.assert_array_equal(found.ravel(), [254, 253, 252])
