"""A random start is normalised: statistics against numpy, outputs scaled down, all else kept."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from mrcnn.data.training_batches import Batches
from mrcnn.data.training_samples import load_sample
from mrcnn.modeling.conv_norm import EPSILON, MOMENTUM, NormalizedConvolution
from mrcnn.training import random_start
from mrcnn.training.random_start import OUTPUT_SCALE, measure_statistics, prepare_random_start
from mrcnn.weights.hdf5 import named_variables, weight_array
from rectangles import Rectangles, Small
from weight_rule import weight_value

pytestmark = pytest.mark.backends


@pytest.fixture
def model():
    inputs = keras.Input((8, 8, 3))
    maps = NormalizedConvolution(4, 3, "conv", "bn_conv", name="first")(inputs)
    maps = NormalizedConvolution(5, 1, "conv2", "bn_conv2", name="second")(maps)
    outputs = keras.layers.Conv2D(2, 1, name="rpn_bbox_pred")(maps)
    made = keras.Model(inputs, [maps, outputs])
    for name, variable in named_variables(made).items():
        if name.endswith("/kernel"):  # the same in every run
            variable.assign(weight_value(0, *name.split("/"), tuple(variable.shape)))
    return made


def batches(*seeds):
    return [
        (np.random.default_rng(seed).normal(3, 9, (6, 8, 8, 3)).astype(np.float32), None)
        for seed in seeds
    ]


def arrays(model):
    return {name: weight_array(each) for name, each in named_variables(model).items()}


def test_one_batch_comes_out_normalised(model):
    (inputs, _) = batches(0)[0]
    measure_statistics(model, [(inputs, None)])
    maps = keras.ops.convert_to_numpy(model(inputs, training=True)[0])
    np.testing.assert_allclose(maps.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    variance = arrays(model)["bn_conv2/moving_variance"]
    expected = np.sqrt(variance / (variance + EPSILON))  # almost 1
    np.testing.assert_allclose(maps.std(axis=(0, 1, 2)), expected, rtol=1e-4)


def test_several_batches_are_averaged(model):
    measure_statistics(model, batches(0, 1, 2))
    found = arrays(model)
    kernel, bias = found["conv/kernel"], found["conv/bias"]
    convolve = lambda inputs: keras.ops.convert_to_numpy(keras.ops.conv(inputs, kernel)) + bias  # noqa: E731
    maps = [convolve(inputs) for inputs, _ in batches(0, 1, 2)]
    means = np.mean([each.mean(axis=(0, 1, 2)) for each in maps], axis=0)
    variances = np.mean([each.var(axis=(0, 1, 2)) for each in maps], axis=0)
    np.testing.assert_allclose(found["bn_conv/moving_mean"], means, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["bn_conv/moving_variance"], variances, rtol=1e-4)
    assert EPSILON < variances.min()


def test_nothing_else_changes(model):
    before = arrays(model)
    prepare_random_start(model, batches(0))
    after = arrays(model)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    statistics = {
        f"{layer}/moving_{kind}"
        for layer in ("bn_conv", "bn_conv2")
        for kind in ("mean", "variance")
    }
    assert changed == statistics | {"rpn_bbox_pred/kernel"}
    np.testing.assert_allclose(
        after["rpn_bbox_pred/kernel"], OUTPUT_SCALE * before["rpn_bbox_pred/kernel"], rtol=1e-6
    )
    for name in ("first", "second"):
        layer = model.get_layer(name)
        assert not layer.train_norm and layer.norm.momentum == MOMENTUM


def test_what_was_trained_stays(model):
    before = arrays(model)
    prepare_random_start(model, batches(0), keep={"bn_conv/moving_mean", "rpn_bbox_pred/kernel"})
    after = arrays(model)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"bn_conv2/moving_mean", "bn_conv2/moving_variance"}


def test_statistics_are_measured_on_samples_of_the_models_own_kind(monkeypatch):
    measured = []
    monkeypatch.setattr(
        random_start, "prepare_random_start", lambda model, batches, keep: measured.extend(batches)
    )
    changed = lambda *which: load_sample(*which) | {"images": np.full(1, which[1])}  # noqa: E731
    config = type("Changed", (Small,), {"SEED": 5})()
    model = SimpleNamespace(config=config, keras_model=None, sample_loader=changed)
    dataset = Rectangles(11)
    random_start.start_at_random(model, dataset)
    # neither the samples of training (seed 5) nor those of validation (seed 6)
    expected = Batches(dataset, config, 4, seed=7, workers=0)
    assert [x["images"].ravel().tolist() for x, _ in measured] == [
        x["image_metas"][:, 0].tolist() for x, _ in (expected[number] for number in range(4))
    ]
