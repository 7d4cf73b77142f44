"""Weights files say which model they are of, and change their layout without a loss."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

from mrcnn.weights.hdf5 import WeightsError, read_shapes, read_weights
from siamese_mrcnn import cli, demo
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.weights_info import change_layout, describe
from small import SmallTrainingConfig, random_weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = SiameseMaskRCNN("inference", ".", SmallTrainingConfig())
    random_weights(model.keras_model)
    path = tmp_path_factory.mktemp("weights") / "small_0007.weights.h5"
    model.save_weights(path)
    return path


def shapes(**more):
    names = {"res2a_branch2a": (1, 1, 64, 64)} | more
    return {f"{name}/kernel": shape for name, shape in names.items()}


def test_there_and_back(saved, tmp_path):
    original, keras = tmp_path / "original.h5", tmp_path / "again.weights.h5"
    info = change_layout(saved, original)
    change_layout(original, keras)
    assert (info.kind, info.backbone, info.num_classes) == ("siamese", "resnet50", 2)
    assert (info.pyramid_channels, info.hidden_size, info.has_masks) == (32, 32, True)
    with h5py.File(original) as file:
        assert {"resnet_model", "fpn_model", "rpn_model", "mrcnn_mask"} <= set(file)
    before, after = read_weights(saved), read_weights(keras)
    assert before.keys() == after.keys() and len(before) > 300
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_layers_that_compare_places_change_their_layout_too(tmp_path):
    paths = [tmp_path / name for name in ("source.weights.h5", "original.h5", "again.weights.h5")]
    settings = {"CO_ATTENTION": True, "ROI_COMPARISON": True}
    config = type("Changed", (SmallTrainingConfig,), settings)()
    model = SiameseMaskRCNN("inference", ".", config)
    random_weights(model.keras_model)
    model.save_weights(paths[0])
    for source, target in itertools.pairwise(paths):
        assert change_layout(source, target).additions == tuple(settings)
    before, after = read_weights(paths[0]), read_weights(paths[2])
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_commands(saved, tmp_path, capsys):
    assert cli.main(["weights", "inspect", str(saved)]) == 0
    text = capsys.readouterr().out
    assert "Siamese Mask R-CNN, resnet50" in text and "2, background included" in text
    assert "epoch             7" in text
    broken = tmp_path / "broken.h5"
    broken.write_bytes(saved.read_bytes()[:5000])
    for name in (broken, tmp_path / "missing.h5"):
        assert cli.main(["weights", "inspect", str(name)]) == 1
        assert str(name) in capsys.readouterr().err
    arguments = ["weights", "convert", str(saved), str(tmp_path / "a.h5"), "--layout", "keras"]
    assert cli.main(arguments) == 1
    assert "ends in .weights.h5" in capsys.readouterr().err


def test_kinds():
    heads = {"mrcnn_class_logits": (1024, 81), "mrcnn_class_conv1": (7, 7, 256, 1024)}
    info = describe(shapes(**heads, res4w_branch2a=(1, 1, 1024, 256)))
    assert (info.kind, info.backbone, info.num_classes) == ("mask_rcnn", "resnet101", 81)
    assert (info.hidden_size, info.pyramid_channels, info.has_masks) == (1024, None, False)
    assert info.parameters == 64 * 64 + 1024 * 81 + 49 * 256 * 1024 + 1024 * 256
    assert describe(shapes(**heads, fpn_distance_P2=(1, 1, 512, 384))).kind == "siamese"
    assert describe(shapes()).kind == "backbone"
    assert describe(shapes(mrcnn_compare_merge=(512, 384))).additions == ("ROI_COMPARISON",)


def test_no_backbone_and_backbone_only(tmp_path):
    with pytest.raises(WeightsError, match="no layer of a backbone that is known"):
        describe({"dense/kernel": (3, 3), "conv1/kernel": (7, 7, 3, 64)})
    path = tmp_path / "backbone.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("res2a_branch2a/res2a_branch2a/kernel:0", data=np.zeros((1, 1, 64, 64)))
    with pytest.raises(WeightsError, match="holds a backbone only"):
        change_layout(path, tmp_path / "out.h5")


def test_a_narrow_model_of_small_blocks_changes_its_layout(tmp_path):
    source, original = Path(__file__).parents[2] / demo.WEIGHTS, tmp_path / "original.h5"
    info = change_layout(source, original)
    assert (info.backbone, info.width, info.proposal_channels) == ("resnet18", 32, 96)
    before, after = read_weights(source), read_weights(original)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_model_of_another_family_changes_its_layout_and_back(tmp_path):
    settings = {"BACKBONE": "efficientnet-lite0", "BACKBONE_WIDTH": 8}
    config = type("Lite", (SmallTrainingConfig,), settings)()
    model = SiameseMaskRCNN("inference", ".", config)
    random_weights(model.keras_model)
    model.save_weights(tmp_path / "own.weights.h5")
    info = change_layout(tmp_path / "own.weights.h5", tmp_path / "original.h5")
    assert (info.kind, info.backbone, info.width) == ("siamese", "efficientnet-lite0", 8)
    with h5py.File(tmp_path / "original.h5") as file:
        assert list(file["efficientnet_lite_model"])[:1] == ["block1a_depth"]
        assert file.attrs["layer_names"][0] == b"efficientnet_lite_model"
    assert describe(read_shapes(tmp_path / "original.h5")) == info
    before, after = (read_weights(tmp_path / name) for name in ("own.weights.h5", "original.h5"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
