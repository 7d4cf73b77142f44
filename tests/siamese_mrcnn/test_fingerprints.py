import keras
import numpy as np
import pytest

from siamese_mrcnn.config import Config
from siamese_mrcnn.fingerprints import (
    array_fingerprint,
    file_fingerprint,
    fingerprint,
    model_fingerprint,
)


class Model:
    """Settings and weights alone."""

    def __init__(self, score=0.7, weight=1.0):
        self.config = type("ItsConfig", (Config,), {"DETECTION_MIN_CONFIDENCE": score})()
        inputs = keras.Input((1,))
        outputs = keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(weight))(
            inputs
        )
        self.keras_model = keras.Model(inputs, outputs)


def test_fingerprint_tells_arguments_apart():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_fingerprint_of_a_file_is_that_of_its_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert file_fingerprint(tmp_path / "a") == expected


@pytest.mark.parametrize("change", [{"score": 0.6}, {"weight": 1.5}])
def test_fingerprint_tells_models_apart(change):
    assert model_fingerprint(Model()) == model_fingerprint(Model())
    assert model_fingerprint(Model()) != model_fingerprint(Model(**change))


@pytest.mark.parametrize(
    "other",
    [
        np.arange(6, dtype=np.uint8).reshape(3, 2),
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.ones((2, 3), np.uint8),
    ],
)
def test_fingerprint_tells_arrays_apart(other):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert array_fingerprint(array) == array_fingerprint(np.asfortranarray(array))
    assert array_fingerprint(array) != array_fingerprint(other)
