"""A start from nothing: crops carry their category, both losses against loops, a learned start."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from coloured_squares import COLOURS, ColouredSquares
from command_line import call, refused
from mrcnn.weights.hdf5 import named_variables, read_weights, weight_array
from siamese_mrcnn.config import GlyphConfig
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.training import category_pretraining, resumable_fit
from siamese_mrcnn.training.category_pretraining import (
    CategoryCrops,
    CommonAccuracy,
    MeanCrossEntropy,
    pretrain,
)
from siamese_mrcnn.training.resumable_fit import PretrainingError
from tiny import TinySiameseConfig, assert_same_arrays, few_weights

RNG = np.random.default_rng(0)


@pytest.fixture
def config():
    made = TinySiameseConfig()
    return made


def test_crops_show_their_category(config):
    dataset = ColouredSquares()
    dataset.active_classes = [1, 2, 4]
    crops = CategoryCrops(dataset, config, steps=3, seed=4)
    pictures, labels = crops[1]
    assert pictures.shape == (32, 32, 32, 3) and labels.shape == (32, 1)
    assert set(labels.ravel().tolist()) == {0, 1, 2}
    middle = pictures[:, 16, 16]
    np.testing.assert_array_equal(middle, np.array(COLOURS)[[0, 1, 3]][labels.ravel()])
    crops.close()


def test_crops_depend_on_seed_epoch_and_number_alone(config):
    def labels(seed, epoch, index, workers):
        crops = CategoryCrops(ColouredSquares(), config, 3, seed, workers)
        crops.epoch = epoch
        drawn = crops[index][1].ravel().tolist()
        crops.close()
        return drawn

    usual = labels(0, 1, 2, 0)
    assert labels(0, 1, 2, 3) == usual
    assert usual not in (labels(1, 1, 2, 0), labels(0, 2, 2, 0), labels(0, 1, 1, 0))


def test_one_category_teaches_nothing(config):
    dataset = ColouredSquares()
    dataset.active_classes = [3]
    with pytest.raises(PretrainingError, match="has 1 categories to learn from"):
        CategoryCrops(dataset, config, 3)


def test_several_devices_are_refused(config):
    config.GPU_COUNT = 2
    with pytest.raises(PretrainingError, match="on one device, but GPU_COUNT is 2"):
        pretrain(SimpleNamespace(config=config), ColouredSquares(), 1, 1)


def test_categories_without_a_picture(config):
    dataset = ColouredSquares(images=1)
    dataset.active_classes = [2, 3]
    crops = CategoryCrops(dataset, config, 3, workers=0)
    with pytest.raises(PretrainingError, match="the last reason: No reference for class"):
        crops[0]


@pytest.mark.backends
def test_loss_and_accuracy_against_loops():
    logits = RNG.normal(0, 2, (5, 3, 4)).astype(np.float32)
    labels = RNG.integers(0, 4, (5, 1)).astype(np.int32)
    entropies, right = [], []
    for answers, (label,) in zip(logits.astype(float), labels, strict=True):
        for answer in answers:
            entropies.append(np.log(np.exp(answer).sum()) - answer[label])
        right.append(answers.mean(axis=0).argmax() == label)
    assert float(MeanCrossEntropy()(labels, logits)) == pytest.approx(np.mean(entropies), rel=1e-5)
    accuracy = CommonAccuracy()
    accuracy.update_state(labels, logits)
    assert float(accuracy.result()) == pytest.approx(np.mean(right))


def arrays(model):
    return {name: weight_array(each) for name, each in named_variables(model).items()}


def test_a_model_learns_to_name_and_keeps_it(config, monkeypatch, tmp_path):
    monkeypatch.setattr(resumable_fit, "WARM_UP", 2)
    monkeypatch.setattr(category_pretraining, "LEARNING_RATE", 0.01)
    monkeypatch.setattr(category_pretraining, "BATCH", 8)
    config.RUN_EAGERLY = False  # thirty steps are worth compiling
    keras.utils.set_random_seed(0)
    with few_weights():
        model = SiameseMaskRCNN("training", tmp_path, config)
    before = arrays(model.keras_model)
    history = pretrain(model, ColouredSquares(), epochs=2, steps=15, verbose=0)
    assert history.history["accuracy"][-1] > 0.8  # chance names one of four
    after = arrays(model.keras_model)
    assert before.keys() == after.keys()
    changed = {name for name in after if not np.array_equal(before[name], after[name])}
    assert {"conv1/kernel", "bn_conv1/moving_mean", "fpn_p2/kernel", "fpn_c5p5/bias"} <= changed
    # as of a random start: outputs near zero, statistics of the heads measured
    assert {"rpn_class_raw/kernel", "mrcnn_class_bn1/moving_mean"} <= changed
    assert not {"rpn_conv_shared/kernel", "fpn_distance_P2/kernel"} & changed
    norms = [layer for layer in model.keras_model.layers if hasattr(layer, "train_norm")]
    assert norms and not any(layer.train_norm for layer in norms)


def test_an_interrupted_call_goes_on(config, monkeypatch, tmp_path):
    monkeypatch.setattr(category_pretraining, "BATCH", 4)
    epochs = []

    def call_to(last, interrupted=None):
        with few_weights():
            model = SiameseMaskRCNN("training", tmp_path, config)

        class Watch(resumable_fit.FollowEpochs):
            def on_epoch_begin(self, epoch, logs=None):
                super().on_epoch_begin(epoch, logs)
                epochs.append(epoch)
                if epoch == interrupted:
                    raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(resumable_fit, "FollowEpochs", Watch)
            pretrain(model, ColouredSquares(), last, 2, backup=tmp_path / "backup", verbose=0)

    monkeypatch.setattr(
        category_pretraining, "start_at_random", lambda *arguments, **keywords: None
    )
    config.RUN_EAGERLY = True
    with pytest.raises(KeyboardInterrupt):
        call_to(3, interrupted=2)
    assert epochs == [0, 1, 2]
    call_to(3)
    assert epochs == [0, 1, 2, 2]


def test_the_command(shapes_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(category_pretraining, "BATCH", 2)
    weights = tmp_path / "start.weights.h5"
    arguments = ("pretrain", "--data", shapes_folder, "--split", "1", "--config", "glyphs")
    assert "must end in .weights.h5" in refused(capsys, *arguments, "--out", tmp_path / "start.h5")
    small = ("--set", "BACKBONE_WIDTH=8", "--set", "RUN_EAGERLY=True", "--epochs", "1")
    small = (*small, "--set", "IMAGES_PER_GPU=1", "--steps", "1")
    assert call(*arguments, *small, "--out", weights) == 0
    assert f"Weights to start from: {weights}" in capsys.readouterr().out
    config = type("Narrow", (GlyphConfig,), {"BACKBONE_WIDTH": 8})()
    model = SiameseMaskRCNN("inference", tmp_path, config)
    report = model.load_weights(weights)
    assert not report.missing and not report.unexpected


@pytest.mark.parametrize("left", ["optimizer.h5", "weights.h5", "nothing"])
def test_a_kill_while_the_backup_is_removed_lets_the_call_be_repeated(
    left, shapes_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(category_pretraining, "BATCH", 2)
    weights = tmp_path / "start.weights.h5"

    def killed(folder):
        for path in Path(folder).iterdir():
            if not path.name.endswith(left):
                path.unlink()
        raise KeyboardInterrupt

    settings = ("BACKBONE_WIDTH=8", "RUN_EAGERLY=True", "IMAGES_PER_GPU=1")
    small = [word for each in settings for word in ("--set", each)]
    arguments = ("pretrain", "--data", shapes_folder, "--config", "glyphs", *small)
    arguments = (*arguments, "--epochs", "1", "--steps", "1", "--out", weights)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        assert call(*arguments) == 130
    first = read_weights(weights)
    assert call(*arguments) == 0
    assert_same_arrays(read_weights(weights), first)
    assert [path.name for path in tmp_path.iterdir()] == ["start.weights.h5"]
