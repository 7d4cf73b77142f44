"""Each training stage changes exactly the layers that the paper's schedule says."""

import json
from pathlib import Path

import keras
import pytest

from mrcnn.modeling.backbones import BACKBONES
from mrcnn.training.trainable_layers import GROUPS, set_trainable
from mrcnn.weights.hdf5 import layer_of, weight_name
from siamese_mrcnn.modeling.siamese_network import SiameseNetwork
from tiny import TinySiameseConfig

LAYOUT = json.loads(
    (Path(__file__).parents[2] / "golden" / "recordings" / "checkpoint_layout.json").read_text()
)["siamese_small"]
LAYERS = {name.split("/")[0] for weights in LAYOUT.values() for name, _ in weights}
BACKBONE = {name.split("/")[0] for name, _ in LAYOUT["resnet_model"]}
HEADS = LAYERS - BACKBONE


@pytest.fixture(scope="module")
def model():
    return SiameseNetwork(TinySiameseConfig()).detection_model((128, 128))


def in_stages(*stages):
    """Backbone layers of these stages, convolutions and normalisations."""
    return {layer for layer in BACKBONE if layer[2:3] in stages or layer[3:4] in stages}


def trainable_layers(model):
    return {layer_of(weight_name(variable)) for variable in model.trainable_variables}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("heads", HEADS),
        ("5+", HEADS | in_stages("5")),
        ("4+", HEADS | in_stages("4", "5")),
        ("3+", HEADS | in_stages("3", "4", "5")),
        ("all", LAYERS),
        (r"res2a.*", {f"res2a_branch{branch}" for branch in ("1", "2a", "2b", "2c")}),
        (r"rpn_bbox_pred|mrcnn_mask", {"rpn_bbox_pred", "mrcnn_mask"}),
        (r"(?!.*bn).*", {layer for layer in LAYERS if "bn" not in layer}),  # no gamma, no beta
        (r"fpn_p", None),  # part of a name is none
    ],
)
def test_exactly_these_layers_train(model, layers, expected):
    if expected is None:
        with pytest.raises(ValueError, match="matches no layer"):
            set_trainable(model, layers)
        return
    assert set_trainable(model, layers) == sorted(expected)
    assert trainable_layers(model) == expected


@pytest.mark.parametrize(("layers", "first"), [("3+", 3), ("4+", 4), ("5+", 5)])
def test_groups_of_another_backbone(layers, first):
    config = type("Other", (TinySiameseConfig,), {"BACKBONE_WIDTH": 8})()
    images = keras.Input((64, 64, 3))
    backbone = BACKBONES["efficientnet-lite0"]
    model = keras.Model(images, backbone.make(config)(images))
    assert set_trainable(model, "(?!.*bn).*")[:2] == ["block1a_depth", "block1a_project"]
    trained = set_trainable(model, layers)
    blocks = {layer for layer in backbone.layers if layer.startswith("block")}
    assert set(trained) == {layer for layer in blocks if int(layer[len("block")]) >= first}
    with pytest.raises(ValueError, match="matches no layer"):
        set_trainable(model, "heads")


def test_the_sets_above_are_what_they_should_be():
    assert len(HEADS) == 32 and len(BACKBONE) == 106
    assert len(in_stages("5")) == 2 * 10 and len(in_stages("4")) == 2 * 19
    assert {"conv1", "bn_conv1"} == BACKBONE - in_stages("2", "3", "4", "5")


@pytest.mark.parametrize("layers", [*GROUPS, ".*", "bn.*"])
def test_statistics_never_train_but_gamma_and_beta_do(model, layers):
    set_trainable(model, layers)
    kinds = {weight_name(variable).split("/")[-1] for variable in model.trainable_variables}
    assert {"gamma", "beta"} <= kinds
    assert not {"moving_mean", "moving_variance"} & kinds


def test_whole_layers_train(model):
    set_trainable(model, "all")
    everything = {weight_name(variable) for variable in model.weights}
    trained = {weight_name(variable) for variable in model.trainable_variables}
    assert {name.split("/")[-1] for name in everything - trained} == {
        "moving_mean",
        "moving_variance",
    }


def test_a_later_stage_does_not_depend_on_the_one_before(model):
    set_trainable(model, "heads")
    set_trainable(model, "all")
    assert trainable_layers(model) == LAYERS
    set_trainable(model, "heads")
    assert trainable_layers(model) == HEADS


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        ("head", "layers='head' matches no layer.*heads, 5\\+, 4\\+, 3\\+, all"),
        ("", "matches no layer"),
        ("[", "must be one of heads.*regular expression.*neither"),
        (None, "must be one of heads.*None is neither"),
        (["heads", "all"], "must be one of heads.*neither"),
        (4, "must be one of heads.*neither"),
    ],
)
def test_nonsense_is_told_and_changes_nothing(model, nonsense, words):
    set_trainable(model, "5+")
    with pytest.raises(ValueError, match=words):
        set_trainable(model, nonsense)
    assert trainable_layers(model) == HEADS | in_stages("5")
