"""Co-attention and co-excitation against loops over places; how they begin."""

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling.conv_norm import EPSILON
from mrcnn.weights.hdf5 import named_variables, weight_array
from siamese_mrcnn.modeling.co_attention import ATTENDED, CoAttention, LinearAttention

pytestmark = pytest.mark.backends
CHANNELS, INNER = 32, 16
SIDES = (8, 4, 2, 2, 1)  # of P2..P6 of the query
REFERENCE_SIDES = (4, 4, 2, 1, 1)


def attending_model():
    attention = CoAttention(CHANNELS)
    pyramid = [keras.Input((side, side + 1, CHANNELS)) for side in SIDES]
    vectors = [keras.Input((CHANNELS,)) for _ in SIDES]
    maps = attention.inputs()
    return attention, keras.Model([pyramid, vectors, maps], attention(pyramid, vectors, maps))


@pytest.fixture(scope="module")
def fresh():
    return attending_model()


@pytest.fixture(scope="module")
def trained():
    attention, model = attending_model()
    rng = np.random.default_rng(0)
    for name, variable in named_variables(model).items():
        value = 0.3 * rng.normal(size=variable.shape)
        variable.assign(np.abs(value) + 0.1 if name.endswith("variance") else value)
    weights = {name: weight_array(each) for name, each in named_variables(model).items()}
    return attention, model, weights


def random_inputs(queries=2, references=2, shots=1):
    """Pyramid and vectors of queries, and the reference's pyramid, of which K maps are kept."""
    rng = np.random.default_rng(1)

    def drawn(*shape):
        return rng.normal(size=shape).astype(np.float32)

    pyramid = [drawn(queries, side, side + 1, CHANNELS) for side in SIDES]
    reference = [drawn(references * shots, side, side, CHANNELS) for side in REFERENCE_SIDES]
    vectors = [
        level.reshape(references, -1, CHANNELS).mean(axis=1).astype(np.float32)
        for level in reference
    ]
    return pyramid, vectors, reference


def attend(attention, model, pyramid, vectors, reference, shots=1):
    kept = [ops.convert_to_numpy(each) for each in attention.keep(reference, shots)]
    levels, means = model([pyramid, vectors, kept])
    return [[ops.convert_to_numpy(each) for each in part] for part in (levels, means)]


def gathered(weights, level, side, own, other, keys):
    """What one place gets: W and BN of the mean over the other side's places, in plain numbers."""

    def dense(name, value):
        layer = f"fpn_attention_{name}_P{level}"
        return value @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"]

    total = np.zeros(INNER)
    for place in other:
        total += (dense(keys[0], own) @ dense(keys[1], place)) * dense("g", place)
    layer = f"fpn_attention_{side}_P{level}"
    value = total / len(other) @ weights[f"{layer}/kernel"][0, 0] + weights[f"{layer}/bias"]
    norm = {
        kind: weights[f"fpn_attention_{side}_bn_P{level}/{kind}"]
        for kind in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    scaled = (value - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + EPSILON)
    return scaled * norm["gamma"] + norm["beta"]


def excitation(weights, level, places):
    """2 sigmoid(MLP(mean) + MLP(max)), of reduction 16."""
    logits = 0
    for pooled in (places.mean(axis=0), places.max(axis=0)):
        layers = [f"fpn_excitation_{part}_P{level}" for part in ("squeeze", "weights")]
        hidden = pooled @ weights[f"{layers[0]}/kernel"] + weights[f"{layers[0]}/bias"]
        assert hidden.shape == (CHANNELS // 16,)
        logits = logits + np.maximum(hidden, 0) @ weights[f"{layers[1]}/kernel"]
        logits = logits + weights[f"{layers[1]}/bias"]
    return 2 / (1 + np.exp(-logits))


@pytest.mark.parametrize("shots", [1, 2])
def test_attention_against_a_loop(trained, shots):
    attention, model, weights = trained
    pyramid, vectors, reference = random_inputs(shots=shots)
    levels, means = attend(attention, model, pyramid, vectors, reference, shots)
    np.testing.assert_array_equal(levels[0], pyramid[0])
    np.testing.assert_array_equal(means[0], vectors[0])
    for number, level in enumerate(ATTENDED, start=1):
        for image in range(2):
            query = pyramid[number][image].reshape(-1, CHANNELS)
            # the places of all K references, as one
            other = reference[number].reshape(2, -1, CHANNELS)[image]
            from_other = [
                gathered(weights, level, "query", place, other, ("phi", "theta")) for place in query
            ]
            from_query = [
                gathered(weights, level, "reference", place, query, ("theta", "phi"))
                for place in other
            ]
            changed = other + from_query
            channels = excitation(weights, level, changed)
            assert np.ptp(channels) > 0.05
            expected = (query + from_other) * channels
            found = levels[number][image].reshape(-1, CHANNELS)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(
                means[number][image], changed.mean(axis=0) * channels, rtol=1e-3, atol=1e-3
            )


def test_linear_attention_by_hand():
    keys = np.array([[[1.0, 2.0], [0.0, 1.0]]], np.float32)
    other_keys = np.array([[[1.0, 0.0], [1.0, 1.0], [0.0, 3.0]]], np.float32)
    values = np.array([[[3.0, 0.0], [0.0, 6.0], [9.0, 0.0]]], np.float32)
    # products of keys: 1, 3, 6 and 0, 1, 3; times the values, over 3
    found = LinearAttention()([keys, other_keys, values])
    expected = [[[(3 + 54) / 3, 18 / 3], [27 / 3, 6 / 3]]]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-6)


def test_it_begins_with_changing_nothing(fresh):
    pyramid, vectors, reference = random_inputs()
    levels, means = attend(*fresh, pyramid, vectors, reference)
    for found, given in zip(levels, pyramid, strict=True):
        np.testing.assert_array_equal(found, given)
    for found, given in zip(means, vectors, strict=True):
        np.testing.assert_allclose(found, given, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("queries", "references"), [(1, 3), (3, 1)])
def test_one_query_or_reference_serves_many_of_the_other(trained, queries, references):
    attention, model, _ = trained
    given = random_inputs(queries, references)
    repeated = [[np.repeat(each, 3 // len(each), axis=0) for each in part] for part in given]
    found, expected = attend(attention, model, *given), attend(attention, model, *repeated)
    for part, right in zip(found, expected, strict=True):
        for one, two in zip(part[1:], right[1:], strict=True):
            assert len(one) == 3
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
