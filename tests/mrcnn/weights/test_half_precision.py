"""Halved files load as the whole ones do, with kernels rounded to float16 and nothing else."""

import h5py
import numpy as np
import pytest

from mrcnn.weights.half_precision import halve
from mrcnn.weights.hdf5 import (
    WeightsError,
    load_weights,
    named_variables,
    read_weights,
    weight_array,
)
from tiny import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model("inference", tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5"])
def test_only_kernels_are_rounded(model, tmp_path, name):
    whole, half = tmp_path / name, tmp_path / f"half-{name}"
    model.save_weights(whole)
    halve(whole, half)
    before, after = read_weights(whole), read_weights(half)
    assert before.keys() == after.keys()
    for tensor, array in before.items():
        kernel = tensor.endswith("/kernel")
        assert after[tensor].dtype == (np.float16 if kernel else np.float32), tensor
        expected = array.astype(np.float16) if kernel else array
        np.testing.assert_array_equal(after[tensor], expected, err_msg=tensor)
    with h5py.File(whole) as one, h5py.File(half) as other:
        assert dict(one.attrs).keys() == dict(other.attrs).keys()


def test_a_halved_file_loads(model, tmp_path):
    whole, half = tmp_path / "w.weights.h5", tmp_path / "half.weights.h5"
    model.save_weights(whole)
    halve(whole, half)
    assert half.stat().st_size < 0.75 * whole.stat().st_size
    report = load_weights(model.keras_model, half)
    assert not (report.missing or report.unexpected or report.wrong_shape)
    halved = read_weights(half)
    for name, variable in named_variables(model.keras_model).items():
        values = weight_array(variable)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, halved[name].astype(np.float32))


def test_what_float16_cannot_hold_is_refused_and_the_target_kept(tmp_path):
    whole, half = tmp_path / "w.h5", tmp_path / "half.h5"
    half.write_bytes(b"earlier")
    with h5py.File(whole, "w") as file:
        file["conv1/conv1/kernel:0"] = np.full((1, 1), 7e4, np.float32)
    with pytest.raises(WeightsError, match="beyond 65504, which float16 cannot hold"):
        halve(whole, half)
    assert half.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.h5", "w.h5"]


def test_the_layout_stays(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must both end in \.weights\.h5"):
        halve(tmp_path / "w.h5", tmp_path / "w.weights.h5")
