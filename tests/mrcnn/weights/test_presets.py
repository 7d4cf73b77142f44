"""Weights that carry their configuration and threshold."""

import json
import logging

import h5py
import numpy as np
import pytest

from mrcnn.model import MaskRCNN
from mrcnn.weights.half_precision import halve
from mrcnn.weights.hdf5 import WeightsError
from mrcnn.weights.presets import FACTS, read_facts
from tiny import TinyConfig, arrays_of, assert_same_arrays, few_weights, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    made = tiny_model("inference", tmp_path_factory.mktemp("logs"), RPN_ANCHOR_RATIOS=[0.5, 1])
    made.threshold = 0.625
    return made


def again(preset, **keywords):
    with few_weights():
        return MaskRCNN.from_preset(preset, **keywords)


@pytest.mark.backends
def test_a_folder_brings_back_model_configuration_and_threshold(model, tmp_path):
    model.save_to_preset(tmp_path / "mine")
    loaded = again(tmp_path / "mine")
    assert_same_arrays(arrays_of(loaded.keras_model), arrays_of(model.keras_model))
    assert loaded.threshold == loaded.config.DETECTION_MIN_CONFIDENCE == 0.625
    settings = dict(loaded.config.items()) | {"DETECTION_MIN_CONFIDENCE": 0.0}
    for name, value in model.config.items():
        np.testing.assert_array_equal(settings[name], value, err_msg=name)
        assert type(settings[name]) is type(value) or isinstance(value, np.ndarray), name


def test_a_file_does_too_halved_or_not_and_settings_may_change(model, tmp_path):
    whole, half = tmp_path / "one.weights.h5", tmp_path / "half.weights.h5"
    model.save_weights(whole)
    halve(whole, half)
    assert read_facts(half) == read_facts(whole)
    changed = again(half, DETECTION_MIN_CONFIDENCE=0.1, DETECTION_MAX_INSTANCES=3)
    assert changed.config.DETECTION_MIN_CONFIDENCE == 0.1
    assert changed.config.DETECTION_MAX_INSTANCES == 3 and changed.threshold == 0.625


def test_files_that_say_nothing_load_as_before(model, tmp_path):
    model.save_weights(tmp_path / "original.h5")  # the originals' layout
    other = tiny_model("inference", tmp_path, RPN_ANCHOR_RATIOS=[0.5, 1])
    other.threshold = 0.9
    other.load_weights(tmp_path / "original.h5")
    assert other.threshold is None
    assert_same_arrays(arrays_of(other.keras_model), arrays_of(model.keras_model))
    with pytest.raises(WeightsError, match="does not say which configuration"):
        again(tmp_path / "original.h5")


def test_what_is_no_preset_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no preset nothing: expected a name"):
        MaskRCNN.from_preset("nothing")
    with pytest.raises(FileNotFoundError, match=r"model\.weights\.h5 is not there"):
        MaskRCNN.from_preset(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"settings": 3, "threshold": null}', '{"settings": {}, "threshold": 7}']
)
def test_damaged_facts_are_refused_and_nothing_is_loaded(model, tmp_path, text):
    path = tmp_path / "one.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        file.attrs[FACTS] = text
    with pytest.raises(WeightsError, match="its configuration and threshold is damaged"):
        model.load_weights(path)
    assert model.threshold == 0.625


def test_settings_of_a_later_version_are_told(model, tmp_path, caplog):
    path = tmp_path / "one.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        facts = json.loads(file.attrs[FACTS])
        facts["settings"]["NOT_YET_KNOWN"] = 3
        file.attrs[FACTS] = json.dumps(facts)
    with caplog.at_level(logging.WARNING):
        again(path)
    assert "Settings that this version does not know: NOT_YET_KNOWN" in caplog.text


def test_what_json_cannot_hold_does_not_stop_saving(tmp_path):
    class Odd(TinyConfig):
        MY_OWN = object()

    with few_weights():
        MaskRCNN("inference", Odd(), tmp_path).save_weights(tmp_path / "odd.weights.h5")
    assert "MY_OWN" not in read_facts(tmp_path / "odd.weights.h5")["settings"]
