import logging
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling.compiled_functions import compiled

pytestmark = pytest.mark.backends


@pytest.fixture
def model():
    inputs = {
        "a": keras.Input((4, 3), name="a"),
        "b": [keras.Input((1,), name=f"b{number}") for number in range(2)],
    }
    doubled = keras.layers.Dense(2, name="dense")(inputs["a"])
    total = ops.sum(inputs["b"][0] - inputs["b"][1])
    dropped = keras.layers.Dropout(0.5)(inputs["a"])
    return keras.Model(inputs, {"dense": doubled, "total": [total], "dropped": dropped})


def inputs_of(batch):
    rng = np.random.default_rng(batch)
    values = rng.normal(size=(batch, 4, 3)).astype(np.float32)
    return {"a": values, "b": [np.full((batch, 1), 3, np.float32), np.ones((batch, 1), np.float32)]}


def dense(model, values):
    kernel, bias = model.get_layer("dense").get_weights()
    return values @ kernel + bias


def test_outputs_keep_their_structure_for_any_batch(model):
    function = compiled(model)
    for batch in (2, 5, 2):
        inputs = inputs_of(batch)
        found = function(inputs)
        assert set(found) == {"dense", "total", "dropped"} and isinstance(found["total"], list)
        values = ops.convert_to_numpy(found["dense"])
        np.testing.assert_allclose(values, dense(model, inputs["a"]), atol=1e-6)
        assert float(ops.convert_to_numpy(found["total"][0])) == 2 * batch


def test_it_runs_as_when_not_training(model):
    inputs = inputs_of(3)
    found = compiled(model)(inputs)["dropped"]
    np.testing.assert_array_equal(ops.convert_to_numpy(found), inputs["a"])


def test_weights_may_change_between_calls(model):
    function, inputs = compiled(model), inputs_of(2)
    function(inputs)
    model.get_layer("dense").set_weights([np.ones((3, 2)), np.array([0, 7])])
    found = ops.convert_to_numpy(function(inputs)["dense"])
    expected = inputs["a"].sum(axis=-1, keepdims=True) + np.array([0, 7])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_change_of_places_is_a_change_of_weights(model):
    function, inputs = compiled(model), inputs_of(2)
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    for changed in (kernel, kernel[::-1], kernel[[1, 0, 2]]):
        model.get_layer("dense").set_weights([changed, np.array([0, 7])])
        found = ops.convert_to_numpy(function(inputs)["dense"])
        np.testing.assert_allclose(found, dense(model, inputs["a"]), atol=1e-5)


def test_inputs_may_be_of_any_type(model):
    function, inputs = compiled(model), inputs_of(2)
    for dtype in ("float32", "uint8", "int32", "float32"):
        values = (5 * np.abs(inputs["a"])).astype(dtype)
        found = ops.convert_to_numpy(function({**inputs, "a": values})["dense"])
        np.testing.assert_allclose(found, dense(model, values), atol=1e-4)


def test_outputs_stay_on_the_device_and_serve_as_inputs(model):
    function, inputs = compiled(model), inputs_of(2)
    found = function(inputs)
    assert not isinstance(found["dense"], np.ndarray) and ops.is_tensor(found["dense"])
    again = function({**inputs, "a": found["dropped"]})
    np.testing.assert_allclose(
        ops.convert_to_numpy(again["dense"]), ops.convert_to_numpy(found["dense"]), atol=1e-6
    )


def test_tensorflow_does_not_warn_of_many_shapes(model):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow does")
    compiled(model)
    logger = logging.getLogger("tensorflow")
    # Not its real warnings: they stop after two in a process, where other tests may have been.
    text = "5 out of the last 5 calls to {} triggered tf.function retracing."
    told = [
        bool(logger.filter(logging.makeLogRecord({"msg": text.format(each)})))
        for each in ("<function _tensorflow.<locals>.run_compiled_model at 0x7f>", print)
    ]
    assert told == [False, True]


CROPPING = """
import keras, numpy as np
from mrcnn.modeling.compiled_functions import compiled
from mrcnn.ops.roi_align import PyramidRoIAlign

inputs = [keras.Input((5, 4)), *(keras.Input((side, side, 4)) for side in (16, 8, 4, 2))]
model = keras.Model(inputs, keras.ops.relu(PyramidRoIAlign(7, (64, 64))(inputs)))
compiled(model)([np.ones((3, *each.shape[1:]), "float32") for each in inputs])
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow does")
def test_tensorflow_writes_no_page_about_costs():
    """In a fresh process that hides none of its lines, and imports it before this package."""
    environment = {key: v for key, v in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", CROPPING], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "op_level_cost_estimator" not in done.stderr
