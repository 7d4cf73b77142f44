"""Weights are known by name: any layout loads, nothing is lost, and nothing is loaded by half."""

import h5py
import keras
import numpy as np
import pytest

from mrcnn.weights.hdf5 import (
    WeightsError,
    load_weights,
    named_variables,
    read_shapes,
    read_weights,
    save_keras_weights,
    save_original_weights,
    weight_array,
)
from mrcnn.weights.layout import flat

pytestmark = pytest.mark.backends

LAYERS = ["conv", "bn_conv", "up", "fc"]


def make_model(units=3, channels=4):
    """Every kind of layer with weights that the networks have, the first two in a nested model."""
    inputs = keras.Input((6, 6, 2))
    maps = keras.layers.Conv2D(channels, 3, name="conv")(inputs)
    nested = keras.Model(inputs, keras.layers.BatchNormalization(name="bn_conv")(maps))
    maps = keras.layers.Conv2DTranspose(2, 2, name="up")(nested(inputs))
    outputs = keras.layers.Dense(units, name="fc")(keras.layers.Flatten()(maps))
    model = keras.Model(inputs, outputs)
    for seed, variable in enumerate(model.weights):
        variable.assign(np.random.default_rng(seed).normal(size=variable.shape))
    return model


def arrays_of(model):
    return {name: weight_array(each) for name, each in named_variables(model).items()}


def blank(model):
    """The same model with all weights zero."""
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    return model


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def write(path, tensors):
    """An HDF5 file with these data sets, whatever their paths."""
    with h5py.File(path, "w") as file:
        for name, array in tensors.items():
            file[name] = array
    return path


@pytest.fixture
def tensors():
    return arrays_of(make_model())


# --- where a tensor lies does not matter --------------------------------------------------------


def test_names_are_layer_and_kind(tensors):
    statistics = ("gamma", "beta", "moving_mean", "moving_variance")
    assert set(tensors) == {
        *(f"{layer}/{kind}" for layer in ("conv", "up", "fc") for kind in ("kernel", "bias")),
        *(f"bn_conv/{kind}" for kind in statistics),
    }


@pytest.mark.parametrize(
    "place",
    [
        lambda name: f"{name.split('/')[0]}/{name}:0",  # as Keras 2 writes a flat model
        lambda name: f"resnet_model/{name}:0",  # as Keras 2 writes a nested model
        lambda name: f"model_weights/model_3/{name}:0",  # a whole model saved by Keras 2
        lambda name: f"anything/at/all/{name}",
        lambda name: f"{name}_1:0",  # where Keras made names unique
    ],
)
@pytest.mark.parametrize("order", [list, lambda names: list(reversed(names))])
def test_layouts_and_orders_load_alike(tmp_path, tensors, place, order):
    path = write(tmp_path / "w.h5", {place(name): tensors[name] for name in order(list(tensors))})
    model = blank(make_model())
    report = load_weights(model, path)
    assert_same(arrays_of(model), tensors)
    assert sorted(report.loaded) == sorted(tensors)
    assert not report.missing and not report.unexpected and not report.wrong_shape


def test_the_optimiser_in_a_file_is_no_weight(tmp_path, tensors):
    stray = {"optimizer_weights/SGD/conv/kernel:0": np.ones((3, 3, 2, 4), np.float32)}
    placed = {f"a/{name}:0": array for name, array in tensors.items()}
    assert_same(read_weights(write(tmp_path / "w.h5", placed | stray)), tensors)


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_shapes_are_read_without_values(tmp_path, tensors, name, monkeypatch):
    if name == "w.h5":
        write(tmp_path / name, {f"a/{tensor}:0": array for tensor, array in tensors.items()})
    else:
        save_keras_weights(make_model(), tmp_path / name)
    monkeypatch.delattr(h5py.Dataset, "__array__")
    monkeypatch.delattr(h5py.Dataset, "__getitem__")
    assert read_shapes(tmp_path / name) == {each: tensors[each].shape for each in tensors}


def test_keras_round_trip_is_exact(tmp_path, tensors):
    save_keras_weights(make_model(), tmp_path / "w.weights.h5")
    assert_same(read_weights(tmp_path / "w.weights.h5"), tensors)
    model = blank(make_model())
    load_weights(model, tmp_path / "w.weights.h5")
    assert_same(arrays_of(model), tensors)


def test_keras_itself_reads_what_is_written(tmp_path, tensors):
    save_keras_weights(make_model(), tmp_path / "w.weights.h5")
    model = blank(make_model())
    model.load_weights(tmp_path / "w.weights.h5")
    assert_same(arrays_of(model), tensors)


def test_original_round_trip_is_exact(tmp_path, tensors):
    save_original_weights(tensors, tmp_path / "w.h5", [("nested", LAYERS[:2]), *flat(LAYERS[2:])])
    model = blank(make_model())
    load_weights(model, tmp_path / "w.h5")
    assert_same(arrays_of(model), tensors)


def test_a_keras_file_has_its_own_ending(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.weights\.h5, got .*w\.h5"):
        save_keras_weights(make_model(), tmp_path / "w.h5")


# --- reports, and all or nothing ----------------------------------------------------------------


def write_with(path, tensors, without=(), **more):
    """A flat file with these tensors but a few, and others ("layer__kind"=array)."""
    chosen = {name: array for name, array in tensors.items() if name not in without}
    chosen |= {name.replace("__", "/"): array for name, array in more.items()}
    return write(path, {f"{name}:0": array for name, array in chosen.items()})


def assert_refused(path, *words, **keywords):
    """Loading raises a sentence with these words, and the model keeps its weights."""
    model = blank(make_model())
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path, **keywords)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert not any(array.any() for array in arrays_of(model).values())


def test_a_missing_tensor_is_refused(tmp_path, tensors):
    path = write_with(tmp_path / "w.h5", tensors, without=["bn_conv/beta"])
    assert_refused(path, "9 tensors fit, 1 missing", "missing      bn_conv/beta", "may_be_missing")


def test_a_missing_tensor_may_be_named(tmp_path, tensors):
    path = write_with(tmp_path / "w.h5", tensors, without=["bn_conv/beta"])
    model = blank(make_model())
    report = load_weights(model, path, may_be_missing=["bn_.*"])
    assert report.missing == ["bn_conv/beta"]
    expected = tensors | {"bn_conv/beta": np.zeros(4)}
    assert_same(arrays_of(model), expected)  # the rest of the layer is loaded


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(tmp_path, tensors):
    path = write_with(tmp_path / "w.h5", tensors, fc__bias=np.ones(7, np.float32))
    words = ["1 of wrong shape", "fc/bias: (7,) in the file, (3,) in the model"]
    assert_refused(path, *words)
    assert_refused(path, *words, may_be_missing=["fc"])  # it is not missing


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, tensors, value):
    path = write_with(tmp_path / "w.h5", tensors, fc__bias=np.array([0, value, 1], np.float32))
    assert_refused(path, str(path), "no finite numbers, in fc/bias", "Take an earlier checkpoint")


def test_excluded_layers_keep_their_weights(tmp_path, tensors):
    path = write_with(tmp_path / "w.h5", tensors, fc__bias=np.ones(7, np.float32))
    model = blank(make_model())
    report = load_weights(model, path, exclude=["fc"])
    found = arrays_of(model)
    assert not found["fc/kernel"].any() and not found["fc/bias"].any()
    np.testing.assert_array_equal(found["conv/kernel"], tensors["conv/kernel"])
    assert not report.unexpected and not report.missing and len(report.loaded) == 8


def test_names_are_matched_as_a_whole(tmp_path, tensors):
    path = write_with(tmp_path / "w.h5", tensors, without=["bn_conv/beta"])
    assert_refused(path, "bn_conv/beta", may_be_missing=["conv"])
    assert_refused(path, "bn_conv/beta", exclude="bn")  # a single pattern needs no list


def test_unexpected_tensors_are_reported_and_left(tmp_path, tensors):
    more = {f"extra{number}__kernel": np.ones(2) for number in range(8)}
    path = write_with(tmp_path / "w.h5", tensors, **more)
    model = blank(make_model())
    report = load_weights(model, path)
    assert_same(arrays_of(model), tensors)
    assert len(report.unexpected) == 8
    first, second = str(report).splitlines()
    assert first == f"{path}: 10 tensors fit, 0 missing, 8 unexpected, 0 of wrong shape"
    assert second.startswith("  unexpected   extra0/kernel, ") and second.endswith("and 2 more")


def test_a_file_of_another_model_is_refused(tmp_path):
    path = write(tmp_path / "w.h5", {"dense_1/kernel:0": np.ones((2, 2))})
    assert_refused(path, "0 tensors fit, 10 missing, 1 unexpected")
    assert_refused(path, "0 tensors fit", may_be_missing=[".*"])  # silence would be a lie


def test_a_model_with_other_sizes_is_refused(tmp_path):
    save_keras_weights(make_model(units=5), tmp_path / "w.weights.h5")
    assert_refused(tmp_path / "w.weights.h5", "2 of wrong shape", "fc/kernel: (50, 5) in the file")


# --- damaged files ------------------------------------------------------------------------------


@pytest.fixture(params=["w.weights.h5", "w.h5"])
def complete(request, tmp_path, tensors):
    """A complete file in either layout."""
    path = tmp_path / request.param
    if request.param == "w.weights.h5":
        save_keras_weights(make_model(), path)
    else:
        save_original_weights(tensors, path, flat(LAYERS))
    return path


@pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_refused(complete, part):
    data = complete.read_bytes()
    complete.write_bytes(data[: int(part * len(data))])
    assert_refused(complete, complete.name, "truncated")


@pytest.mark.parametrize("content", [b"", b"<html>404 Not Found</html>", b"\x89PNG\r\n" * 500])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "w.h5").write_bytes(content)
    assert_refused(tmp_path / "w.h5", "w.h5 is not a complete HDF5 file")


def test_damage_inside_a_file_is_refused(complete):
    data = bytearray(complete.read_bytes())
    data[200:4000] = bytes(3800)
    complete.write_bytes(data)
    assert_refused(complete)


def test_a_file_without_weights_is_refused(tmp_path):
    path = write(tmp_path / "w.h5", {"images/train": np.ones(3), "kernel": np.ones(3)})
    assert_refused(path, "holds no weights named like layer/kernel")


def test_layers_that_no_network_here_has_are_merely_unexpected(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="fc"), FiveWeights()])
    save_keras_weights(model, tmp_path / "w.weights.h5")
    assert_refused(tmp_path / "w.weights.h5", "8 missing, 5 unexpected, 1 of wrong shape")


@pytest.mark.parametrize("name", ["w.h5", ""])
def test_a_missing_file_is_told(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"There is no weights file .*Check the path"):
        load_weights(make_model(), tmp_path / name)


class FiveWeights(keras.layers.Layer):
    def build(self, input_shape):
        for number in range(5):
            self.add_weight(shape=(2,), name=f"weight{number}")

    def call(self, inputs):
        return inputs


def test_weights_files_hold_no_state_of_an_optimizer(tmp_path):
    model = make_model()
    model.compile(optimizer="adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    save_keras_weights(model, tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "w.weights.h5") as file:
        names = []
        file.visit(names.append)
    assert names and not [name for name in names if "optimizer" in name]
