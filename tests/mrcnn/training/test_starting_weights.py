"""Each word loads what it stands for; what would detect nothing is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from mrcnn.training import starting_weights
from mrcnn.training.starting_weights import load_starting_weights
from mrcnn.weights.checkpoints import checkpoint_path
from mrcnn.weights.hdf5 import layer_of
from tiny import arrays_of, assert_same_arrays, few_weights, tiny_model

COCO = starting_weights.COCO_CLASSES


@pytest.fixture
def published(tmp_path, monkeypatch):
    """In place of the download: a tiny model of COCO's classes; a list of what was fetched."""
    fetched = []

    def fetch(path):
        fetched.append(path)
        tiny_model("training", "logs", NUM_CLASSES=COCO).save_weights(path)

    monkeypatch.setattr(starting_weights, "download_trained_weights", fetch)
    return fetched


def other_model(mode, folder, **settings):
    """A tiny model none of whose weights is as that of `tiny_model`."""
    model = tiny_model(mode, folder, **settings)
    for variable in model.keras_model.variables:
        variable.assign(variable + 1)
    return model


def test_coco_without_its_classes(tmp_path, published):
    model = other_model("training", tmp_path)
    before = arrays_of(model.keras_model)
    for _ in range(2):  # fetched once
        load_starting_weights(model, "coco", folder=tmp_path)
    assert published == [tmp_path / "mask_rcnn_coco.h5"]
    trained = arrays_of(tiny_model("training", tmp_path, NUM_CLASSES=COCO).keras_model)
    of_classes = {"mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask"}
    kept = {name for name in before if layer_of(name) in of_classes}
    assert len(kept) == 6  # kernels and biases
    for name, array in arrays_of(model.keras_model).items():
        expected = before if name in kept else trained
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert model.epoch == 0


def test_coco_with_its_classes(tmp_path, published):
    model = other_model("inference", tmp_path, NUM_CLASSES=COCO)
    load_starting_weights(model, "coco", folder=tmp_path)
    expected = tiny_model("inference", tmp_path, NUM_CLASSES=COCO)
    assert_same_arrays(arrays_of(model.keras_model), arrays_of(expected.keras_model))


def test_a_file_and_the_last_checkpoint(tmp_path):
    trained = tiny_model("training", tmp_path)
    path = checkpoint_path(tmp_path / "tiny20200101T000000", "tiny", 7)
    trained.save_weights(path)
    for weights, mode in ((str(path), "training"), ("last", "inference")):
        model = other_model(mode, tmp_path)
        load_starting_weights(model, weights)
        assert_same_arrays(arrays_of(model.keras_model), arrays_of(trained.keras_model))
        assert model.epoch == 7
    with pytest.raises(FileNotFoundError, match=r"gone\.h5"):
        load_starting_weights(model, str(tmp_path / "gone.h5"))


def test_words_that_others_answer(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        starting_weights, "start_at_random", lambda *arguments: calls.append(arguments)
    )
    model = SimpleNamespace(
        mode="training", load_imagenet_weights=lambda folder: calls.append(folder)
    )
    load_starting_weights(model, "none", dataset="data")
    load_starting_weights(model, "imagenet", folder="here")
    assert calls == [(model, "data"), "here"]


def test_what_detects_nothing_is_refused(tmp_path, published):
    with few_weights():
        model = tiny_model("inference", tmp_path)
    for weights in ("none", "imagenet"):
        with pytest.raises(ValueError, match=f"'{weights}' are to start training from"):
            load_starting_weights(model, weights)
    with pytest.raises(ValueError, match=r"model of 3 classes cannot detect .* which has 81"):
        load_starting_weights(model, "coco", folder=tmp_path)
    assert not published
