"""Losses and weights that are no numbers stop a training; signals wait until it is saved."""

import os
import signal
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from mrcnn.training.callbacks import SaveCheckpoint
from mrcnn.training.safeguards import EndBetweenSteps, StopAtBadLoss, TrainingError, ending_gently


class NamedBatches:
    """Of an epoch whose first three batches were trained on before."""

    skipped = 3

    def names_of(self, index):
        return [f"{index}_{place}.jpg" for place in range(20)]


def stopped(batches, logs, batch=4, epoch=1):
    callback = StopAtBadLoss(batches)
    callback.set_model(SimpleNamespace(optimizer=SimpleNamespace(learning_rate=np.array(0.02))))
    callback.on_epoch_begin(epoch)
    with pytest.raises(TrainingError) as caught:
        callback.on_train_batch_end(batch, logs)
    return str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_loss_is_told_with_step_rate_and_images(value):
    text = stopped(NamedBatches(), {"loss": value, "rpn_class_loss": 1.0, "mask_loss": value})
    assert "for loss, mask_loss became NaN or infinite in step 8 of epoch 2" in text
    assert "at the learning rate 0.02, with the images 4_0.jpg, 4_1.jpg" in text
    assert "4_15.jpg." in text and "4_16.jpg" not in text
    assert "go on from the last checkpoint with a lower learning rate, and look" in text


def test_without_names_nothing_is_said_of_images():
    assert "image" not in stopped(None, {"loss": np.nan})


def model():
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="only")])
    made.compile("sgd", "mse", run_eagerly=True)
    return made


def test_fit_stops_at_the_first_bad_step():
    inputs = np.array([[1.0], [1.0], [np.inf], [1.0]])
    with pytest.raises(TrainingError, match="in step 3 of epoch 1"):
        model().fit(inputs, inputs, 1, shuffle=False, callbacks=[StopAtBadLoss()], verbose=0)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    trained = model()
    trained.layers[-1].kernel.assign([[np.nan]])
    saving = SaveCheckpoint(tmp_path, "mine", {}, NamedBatches())
    saving.set_model(trained)
    with pytest.raises(TrainingError, match="the weights of only/kernel became NaN or infinite"):
        saving.on_epoch_end(0, {})
    assert not list(tmp_path.iterdir())


# --- signals ------------------------------------------------------------------------------------


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def number(request):
    return request.param


@pytest.fixture
def heard(number):
    """The signals that arrive where they would without us."""
    signals = []
    before = signal.signal(number, lambda number, frame: signals.append(number))
    yield signals
    signal.signal(number, before)


def training(ending, saves):
    return EndBetweenSteps(ending, lambda batch: saves.append(batch) or batch < 2)


def test_a_signal_waits_until_a_step_is_saved(number, heard):
    saves = []
    with ending_gently() as ending:
        callback = training(ending, saves)
        callback.on_epoch_begin(0)
        callback.on_train_batch_end(0)
        assert saves == []
        os.kill(os.getpid(), number)
        assert (heard, ending.signal) == ([], number)
        callback.on_train_batch_end(1)
        assert (heard, saves) == ([number], [1])


def test_a_signal_in_the_last_step_waits_for_the_epoch(number, heard):
    saves = []
    with ending_gently() as ending:
        callback = training(ending, saves)
        callback.on_epoch_begin(0)
        os.kill(os.getpid(), number)
        callback.on_train_batch_end(2)  # which is not saved within the epoch
        assert (heard, saves) == ([], [2])
        callback.on_epoch_end(0)
        assert heard == [number]


def test_a_second_signal_acts_at_once(number, heard):
    with ending_gently() as ending:
        training(ending, []).on_epoch_begin(0)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert heard == [number]


def test_before_and_after_a_signal_does_what_it_did(number, heard):
    with ending_gently():
        os.kill(os.getpid(), number)
        assert heard == [number]
    os.kill(os.getpid(), number)
    assert heard == [number, number]
