"""Files in the layout of the originals hold exactly what the originals write, in their order."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import mrcnn.config
import siamese_mrcnn.config
from mrcnn.model import MaskRCNN
from mrcnn.modeling.backbones import architecture_of
from mrcnn.weights.hdf5 import (
    WeightsError,
    named_variables,
    read_weights,
    save_original_weights,
    weight_array,
)
from mrcnn.weights.layout import backbone_layers, mask_rcnn_groups
from siamese_mrcnn.model import SiameseMaskRCNN
from tiny import arrays_of, assert_same_arrays, tiny_model, tiny_siamese_model

RECORDED = json.loads(
    (Path(__file__).parents[2] / "golden" / "recordings" / "checkpoint_layout.json").read_text()
)


def plain(backbone, folder):
    settings = {"BACKBONE": backbone, "NUM_CLASSES": 81}
    return MaskRCNN("inference", type("Config", (mrcnn.config.Config,), settings)(), folder)


def siamese(config, folder):
    return SiameseMaskRCNN("inference", folder, config())


MODELS = {
    "siamese_small": lambda folder: siamese(siamese_mrcnn.config.SmallConfig, folder),
    "siamese_large": lambda folder: siamese(siamese_mrcnn.config.LargeConfig, folder),
    "mask_rcnn_resnet50_81_classes": lambda folder: plain("resnet50", folder),
    "mask_rcnn_resnet101_81_classes": lambda folder: plain("resnet101", folder),
}


def test_every_recorded_layout_is_checked():
    assert set(RECORDED) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_groups_names_order_and_shapes_are_those_of_the_original(tmp_path, name):
    model, path = MODELS[name](tmp_path), tmp_path / "checkpoint.h5"
    model.save_weights(path)
    variables = named_variables(model.keras_model)
    with h5py.File(path) as file:
        assert [each.decode() for each in file.attrs["layer_names"]] == list(RECORDED[name])
        assert set(file) == set(RECORDED[name])
        for group, weights in RECORDED[name].items():
            names = [each.decode() for each in file[group].attrs["weight_names"]]
            assert names == [each for each, _ in weights]
            assert _datasets(file[group]) == {each: tuple(shape) for each, shape in weights}
            for each in names:
                assert file[group][each].dtype == np.float32
                value = weight_array(variables[each.removesuffix(":0")])
                np.testing.assert_array_equal(file[group][each], value)
    path.unlink()  # hundreds of megabytes


def _datasets(group):
    """Shapes of all data sets below a group by path."""
    found = {}
    group.visititems(
        lambda path, item: found.update({path: item.shape} if hasattr(item, "shape") else {})
    )
    return found


def test_the_root_says_what_keras_2_asks_for(tmp_path):
    tiny_model("inference", tmp_path).save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert dict(file.attrs).keys() == {"layer_names", "backend", "keras_version"}
        assert (file.attrs["backend"], file.attrs["keras_version"]) == ("tensorflow", "2.1.6")
        # Keras 2 decodes: its h5py reads fixed-length and ASCII strings as bytes
        assert file.attrs.get_id("layer_names").dtype.kind == "S"
        assert file["mrcnn_mask"].attrs.get_id("weight_names").dtype.kind == "S"
        backend = h5py.check_string_dtype(file.attrs.get_id("backend").dtype)
        assert backend.encoding == "ascii"


def test_a_model_without_masks_has_no_groups_for_them(tmp_path):
    model = tiny_model("inference", tmp_path, MODEL="frcnn")
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert "mrcnn_bbox_fc" in file
        assert not [group for group in file if group.startswith("mrcnn_mask")]


@pytest.mark.parametrize("make", [tiny_model, tiny_siamese_model])
@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_round_trips_are_exact_from_training_to_inference_and_back(tmp_path, make, name):
    trained = make("training", tmp_path)
    trained.save_weights(tmp_path / name)
    expected = arrays_of(trained.keras_model)
    for mode in ("inference", "training"):
        model = make(mode, tmp_path)
        for variable in model.keras_model.weights:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        report = model.load_weights(tmp_path / name)
        assert_same_arrays(arrays_of(model.keras_model), expected)
        assert len(report.loaded) == len(expected)
        assert not report.missing and not report.unexpected
        model.save_weights(tmp_path / name)


def test_the_backbone_has_a_shortcut_in_the_first_block_of_a_stage():
    layers = backbone_layers("resnet101")
    assert layers[:3] == ["conv1", "bn_conv1", "res2a_branch2a"]
    assert [layer for layer in layers if "branch1" in layer and layer.startswith("res")] == [
        f"res{stage}a_branch1" for stage in (2, 3, 4, 5)
    ]
    assert layers[-1] == "bn5c_branch2c" and "res4w_branch2c" in layers
    assert len(layers) == 2 * (1 + 3 * (3 + 4 + 23 + 3) + 4)


@pytest.mark.parametrize("architecture", ["resnet50", "resnet101"])
def test_the_architecture_is_told_from_layer_names(architecture):
    names = [f"{layer}/kernel" for _, layers in mask_rcnn_groups(architecture) for layer in layers]
    assert architecture_of(names) == architecture


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "efficientnet-lite0"])
def test_small_backbones_are_saved_whole_too(tmp_path, backbone):
    model = tiny_model("inference", tmp_path, BACKBONE=backbone, BACKBONE_WIDTH=8)
    path = tmp_path / "w.h5"
    model.save_weights(path)
    saved = read_weights(path)
    assert architecture_of(saved) == backbone
    assert_same_arrays(saved, arrays_of(model.keras_model))


def test_nothing_is_lost_silently(tmp_path):
    tensors = {"conv1/kernel": np.zeros(1), "extra/kernel": np.zeros(1)}
    with pytest.raises(WeightsError, match=r"no place for extra/kernel\. Save"):
        save_original_weights(tensors, tmp_path / "w.h5", [("conv1", ["conv1"])])
    assert not list(tmp_path.iterdir())
