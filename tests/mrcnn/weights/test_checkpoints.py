"""Checkpoints are found by their names, and bring back the optimiser of their phase."""

import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from mrcnn.training.optimizer import GloballyClippedAdam, GloballyClippedSGD
from mrcnn.weights.checkpoints import (
    FoundCheckpoint,
    checkpoint_path,
    epoch_of,
    find_last,
    latest_checkpoint,
    optimizer_path,
    position_of,
    remove_outdated,
    restore_means,
    restore_optimizer,
    save_optimizer,
    steps_after,
)
from mrcnn.weights.hdf5 import WeightsError, weight_array

pytestmark = pytest.mark.backends

STAGE = {"learning_rate": 0.02, "layers": "all"}

# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "epoch"),
    [
        ("mask_rcnn_coco_0160.h5", 160),
        ("siamese_mrcnn_small_coco_0012.h5", 12),
        ("siamese_mrcnn_small_coco_0012.weights.h5", 12),
        ("shapes_12345.weights.h5", 12345),
        ("shapes_0012_step000400.weights.h5", 12),
        ("mask_rcnn_coco.h5", None),
        ("imagenet_687.h5", None),
        ("imagenet_1k.h5", None),
        ("small_coco_0012.optimizer.h5", None),
        ("small_coco_0012.h5.partial", None),
        ("0012.h5", None),
    ],
)
def test_the_epoch_is_read_from_the_name(name, epoch):
    assert epoch_of(name) == epoch
    assert epoch_of(f"/runs/coco_0007.h5/{name}") == epoch  # folders do not count


def test_names_that_are_written_are_read(tmp_path):
    for epoch in (1, 160, 9999, 10000):
        assert epoch_of(checkpoint_path(tmp_path, "small_coco", epoch)) == epoch
    assert checkpoint_path(tmp_path, "a", 3) == tmp_path / "a_0003.weights.h5"


def test_the_steps_of_a_snapshot_are_read_from_its_name(tmp_path):
    for epoch, step in ((0, 1), (1, 400), (12, 1234567)):
        path = checkpoint_path(tmp_path, "small_coco", epoch, step)
        assert position_of(path) == (epoch, step)
        assert steps_after(epoch, path) == step and steps_after(epoch + 1, path) == 0
    assert path.name == "small_coco_0012_step1234567.weights.h5"
    assert position_of("small_0012.h5") == (12, 0) and position_of("imagenet_687.h5") is None
    assert steps_after(12, tmp_path / "small_0012.h5") == steps_after(0, "imagenet_687.h5") == 0
    assert steps_after(0, None) == 0
    assert optimizer_path(path).name == "small_coco_0012_step1234567.optimizer.h5"


def make_files(folder, *names):
    """Empty files, the first one youngest."""
    folder.mkdir(parents=True, exist_ok=True)
    for age, name in enumerate(names):
        (folder / name).touch()
        os.utime(folder / name, (2e9 - age, 2e9 - age))


def test_the_latest_checkpoint_is_that_of_the_highest_epoch(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    make_files(
        tmp_path,
        "small_0002.weights.h5",  # the youngest, perhaps copied back from elsewhere
        "small_0011.weights.h5",
        "small_0009.weights.h5",
        "small_0011.optimizer.h5",
        ".small_0012.weights.h5.77.partial.weights.h5",  # left by a killed process
        "._small_0013.weights.h5",  # left by a Mac
        "imagenet_687.h5",
        "events.out",
    )
    assert latest_checkpoint(tmp_path).name == "small_0011.weights.h5"


def test_a_snapshot_is_later_than_the_epoch_before_it(tmp_path):
    make_files(tmp_path, "small_0011.weights.h5", "small_0010_step000900.weights.h5")
    assert latest_checkpoint(tmp_path).name == "small_0011.weights.h5"
    make_files(tmp_path, "small_0011_step000900.weights.h5", "small_0011_step001000.weights.h5")
    assert latest_checkpoint(tmp_path).name == "small_0011_step001000.weights.h5"


def test_only_what_training_goes_on_from_stays(tmp_path):
    weights = ("small_0001.weights.h5", "small_0002.weights.h5", "other_0001_step0009.h5")
    latest = ("small_0002_step000400.weights.h5", "small_0002_step000400.optimizer.h5")
    outdated = ("small_0002_step000200.weights.h5", "small_0002_step000200.optimizer.h5")
    make_files(tmp_path, *weights, *latest, *outdated, "small_0002.optimizer.h5")
    remove_outdated(tmp_path, "small", tmp_path / latest[0])
    assert {path.name for path in tmp_path.iterdir()} == {*weights, *latest}


def test_epochs_are_compared_as_numbers(tmp_path):
    make_files(tmp_path, "small_9999.weights.h5", "small_10000.weights.h5")
    assert latest_checkpoint(tmp_path).name == "small_10000.weights.h5"


def test_the_latest_run_with_a_checkpoint_is_found(tmp_path):
    make_files(tmp_path / "small20240301T101112", "small_0003.weights.h5")
    make_files(tmp_path / "small20231231T235959", "small_0160.weights.h5")
    make_files(tmp_path / "small20240302T0000", "events.out")  # broken off in its first epoch
    found = find_last(tmp_path, "Small")
    assert found == tmp_path / "small20240301T101112" / "small_0003.weights.h5"


def test_a_found_path_is_the_pair_too():
    found = FoundCheckpoint("logs/small20240301T101112/small_0003.weights.h5")
    assert isinstance(found, str) and Path(found).name == "small_0003.weights.h5"
    folder, path = found
    assert folder == found[0] == "logs/small20240301T101112"
    assert path == found[1] == str(found)
    assert found.endswith("0003.weights.h5") and found[-3:] == ".h5"


def test_runs_of_the_original_are_found(tmp_path):
    make_files(tmp_path / "coco20180921T1405", "siamese_mrcnn_coco_0160.h5")
    assert find_last(tmp_path, "coco").name == "siamese_mrcnn_coco_0160.h5"


def test_runs_whose_name_begins_alike_are_others(tmp_path):
    make_files(tmp_path / "small20240301T101112", "small_0003.weights.h5")
    make_files(tmp_path / "small_coco20250101T000000", "small_coco_0007.weights.h5")
    make_files(tmp_path / "small220250101T000000", "small2_0008.weights.h5")
    assert find_last(tmp_path, "small").name == "small_0003.weights.h5"
    assert find_last(tmp_path, "small2").name == "small2_0008.weights.h5"


@pytest.mark.parametrize("folders", [[], ["other20240301T101112"], ["small20240301T101112"]])
def test_no_checkpoint_is_told(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir()
    with pytest.raises(FileNotFoundError, match=r"No checkpoint was found below .*small_0001"):
        find_last(tmp_path, "small")
    with pytest.raises(FileNotFoundError, match="Check model_dir"):
        find_last(tmp_path / "missing", "small")


def test_the_optimiser_lies_beside_its_checkpoint(tmp_path):
    expected = tmp_path / "small_0012.optimizer.h5"
    assert optimizer_path(tmp_path / "small_0012.weights.h5") == expected
    assert optimizer_path(tmp_path / "small_0012.h5") == expected


# --- the optimiser's state ----------------------------------------------------------------------


def make_model(units=2, optimizer=None):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="fc1"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Dense(units, name="fc2"),
        ]
    )
    model.compile(optimizer or GloballyClippedSGD(0.02, momentum=0.9), loss="mse")
    return model


def train(model, steps):
    rng = np.random.default_rng(steps)
    for _ in range(steps):
        model.train_on_batch(rng.normal(size=(8, 3)), rng.normal(size=(8, 2)))
    return model


def momenta(model):
    model.optimizer.build(model.trainable_variables)
    return [weight_array(each) for each in model.optimizer.momentums]


@pytest.fixture(scope="module")
def trained():
    return train(make_model(), 3)


@pytest.fixture
def checkpoint(tmp_path, trained):
    path = tmp_path / "small_0001.weights.h5"
    save_optimizer(trained, path, STAGE)
    return path


def test_the_state_comes_back_exactly(checkpoint, trained):
    model = make_model()
    assert restore_optimizer(model, checkpoint, STAGE)
    for found, expected in zip(momenta(model), momenta(trained), strict=True):
        assert expected.any()
        np.testing.assert_array_equal(found, expected)
    assert int(weight_array(model.optimizer.iterations)) == 3


def test_the_means_of_the_losses_come_back_exactly(checkpoint, trained):
    model = train(make_model(), 1)
    restore_means(model, checkpoint)
    found, expected = (
        [weight_array(v) for v in each.metrics_variables] for each in (model, trained)
    )
    np.testing.assert_array_equal(found, expected)
    assert np.all(expected)


def test_adam_goes_on_as_if_it_had_never_stopped(tmp_path):
    one = train(make_model(optimizer=GloballyClippedAdam(0.02)), 3)
    path = tmp_path / "small_0001.weights.h5"
    save_optimizer(one, path, STAGE)
    other = make_model(optimizer=GloballyClippedAdam(0.02))
    other.set_weights(one.get_weights())
    assert restore_optimizer(other, path, STAGE)
    for model in (one, other):
        train(model, 2)
    for found, expected in zip(other.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "phase",
    [
        {**STAGE, "learning_rate": 0.002},
        {**STAGE, "layers": "heads"},
        {"learning_rate": 0.02},
        {**STAGE, "train_bn": True},
    ],
)
def test_another_stage_starts_without_momentum(checkpoint, phase):
    model = make_model()
    assert not restore_optimizer(model, checkpoint, phase)
    assert not any(each.any() for each in momenta(model))
    assert int(weight_array(model.optimizer.iterations)) == 0


def test_a_checkpoint_without_state_starts_without_momentum(tmp_path):
    assert not restore_optimizer(make_model(), tmp_path / "mask_rcnn_coco_0160.h5", STAGE)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def remove_a_tensor(path):
    with h5py.File(path, "a") as file:
        del file["fc1/kernel"]


def remove_the_step(path):
    with h5py.File(path, "a") as file:
        del file.attrs["iterations"]


def write_something_else(path):
    with h5py.File(path, "w") as file:
        file["a"] = [1]


def change_a_shape(path):
    with h5py.File(path, "a") as file:
        del file["fc2/kernel"]
        file["fc2/kernel"] = np.ones((4, 5))


DAMAGES = (truncate, remove_a_tensor, remove_the_step, write_something_else, change_a_shape)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_told_and_changes_nothing(checkpoint, damage):
    damage(optimizer_path(checkpoint))
    model = make_model()
    with pytest.raises(WeightsError, match=r"small_0001\.optimizer\.h5 does not hold.*Delete it"):
        restore_optimizer(model, checkpoint, STAGE)
    assert not any(each.any() for each in momenta(model))


def test_the_state_of_the_same_stage_is_the_one_that_is_written_last(checkpoint):
    other = train(make_model(), 5)
    save_optimizer(other, checkpoint, STAGE)
    model = make_model()
    assert restore_optimizer(model, checkpoint, STAGE)
    assert int(weight_array(model.optimizer.iterations)) == 5
