"""Learning rates by the step: worked by hand, and as the optimiser sees them."""

import json

import keras
import numpy as np
import pytest

from mrcnn.training.learning_rates import LearningRate, as_setting, for_optimizer, learning_rate
from mrcnn.training.optimizer import GloballyClippedSGD
from mrcnn.weights.hdf5 import weight_array

pytestmark = pytest.mark.backends

GROWING = LearningRate(0.3, warm_up_steps=4, warm_up_factor=0.5, drop_steps=(6, 8), drop_factor=0.1)
BY_HAND = [0.15, 0.1875, 0.225, 0.2625, 0.3, 0.3, 0.03, 0.03, 0.003, 0.003]
WAITING = GROWING._replace(warm_up="constant", drop_steps=())
OVERLAPPING = LearningRate(0.6, 4, drop_steps=(2,))  # the drop falls into the warm-up


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (GROWING, BY_HAND),
        (WAITING, [0.15] * 4 + [0.3] * 6),
        (OVERLAPPING, [0.2, 0.3, 0.04, 0.05, 0.06, 0.06]),
        (LearningRate(0.2), [0.2] * 3),
        (LearningRate(0.2, drop_steps=(1,)), [0.2, 0.02]),
    ],
)
def test_rates_by_hand(rate, expected):
    steps = range(len(expected))
    np.testing.assert_allclose([rate.at(step) for step in steps], expected, rtol=1e-12)
    seen = for_optimizer(rate)
    seen = [float(seen(step) if callable(seen) else seen) for step in steps]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_an_optimiser_follows_the_global_step():
    weight = keras.Variable(np.zeros(1))
    optimizer = GloballyClippedSGD(for_optimizer(GROWING, first_step=2), momentum=0.0)
    moved = []
    for _ in range(5):
        before = weight_array(weight)
        optimizer.apply([keras.ops.ones(1)], [weight])
        moved.append(float(before[0] - weight_array(weight)[0]))
    np.testing.assert_allclose(moved, BY_HAND[2:7], rtol=1e-5)


def test_what_is_saved_is_read_again():
    assert as_setting(0.02) == as_setting(LearningRate(0.02)) == 0.02
    for rate in (GROWING, WAITING, OVERLAPPING):
        assert learning_rate(json.loads(json.dumps(as_setting(rate)))) == rate
    assert learning_rate(0.02) == LearningRate(0.02)
    schedule = for_optimizer(GROWING, 7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert (again.rate, again.first_step) == (GROWING, 7)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"warm_up": "slow"}, "warm_up must be one of linear, constant, but is 'slow'"),
        ({"warm_up_steps": -1}, "they are -1 and"),
        ({"drop_steps": (5, 5)}, r"in order, but they are 0 and \(5, 5\)"),
        ({"drop_steps": (0,)}, "such numbers"),
    ],
)
def test_what_makes_no_sense_is_told(fields, text):
    with pytest.raises(ValueError, match=text):
        as_setting(LearningRate(0.02, **fields))
