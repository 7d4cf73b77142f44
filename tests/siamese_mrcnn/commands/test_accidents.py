"""What happens to commands from outside: signals, and a second call at once."""

import os
import signal

import pytest

from command_line import call, refused
from folders import history_lines
from mrcnn.locks import alone_in
from mrcnn.training.safeguards import StopAtBadLoss

SMALL = [
    *("BACKBONE=resnet18", "BACKBONE_WIDTH=8", "FPN_FEATUREMAPS=16", "RPN_CHANNELS=16"),
    *("MASK_HEAD_CHANNELS=16", "FPN_CLASSIF_FC_LAYERS_SIZE=32", "RUN_EAGERLY=True"),
    *("IMAGES_PER_GPU=1", "IMAGE_MIN_DIM=64", "IMAGE_MAX_DIM=64"),
]


@pytest.fixture
def train(shapes_folder, tmp_path):
    def run(*arguments):
        settings = [word for each in SMALL for word in ("--set", each)]
        data = ("--data", shapes_folder, "--config", "shapes", "--logs", tmp_path)
        steps = ("--epochs", "1", "--steps", "3", "--validation-steps", "0")
        return call("train", *data, *steps, *settings, *arguments)

    return run


def test_terminated_training_saves_its_step_and_goes_on(train, tmp_path, capsys, monkeypatch):
    def terminate(callback, batch, logs=None):
        if batch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(StopAtBadLoss, "on_train_batch_end", terminate)
        assert train("--weights", "none") == 143
    assert "siamese-mrcnn: terminated." in capsys.readouterr().err
    (saved,) = tmp_path.glob("*/*.weights.h5")
    assert saved.name == "siamese_mrcnn_shapes_0000_step000002.weights.h5"
    assert train("--weights", "last") == 0
    assert [line["epoch"] for line in history_lines(saved.parent)] == ["1"]
    (saved,) = tmp_path.glob("*/*.weights.h5")
    assert saved.name == "siamese_mrcnn_shapes_0001.weights.h5"


def test_a_loss_that_is_no_number_is_a_sentence(train, tmp_path, capsys, monkeypatch):
    real = StopAtBadLoss.on_train_batch_end

    def bad(callback, batch, logs=None):
        real(callback, batch, {**logs, "loss": float("nan")} if batch == 1 else logs)

    monkeypatch.setattr(StopAtBadLoss, "on_train_batch_end", bad)
    assert train("--weights", "none") == 1
    text = capsys.readouterr().err
    assert "loss became NaN or infinite in step 2 of epoch 1, at the learning rate 0.002" in text
    assert "with the images" in text and not list(tmp_path.glob("*/*.h5"))


TINY_FOLDERS = {
    "make-glyphs": ("--train", 2, "--val", 1, "--out"),
    "shapes": ("--train-images", 2, "--val-images", 1),
}


@pytest.mark.parametrize("command", TINY_FOLDERS)
def test_two_that_draw_one_folder_are_refused(command, tmp_path, capsys):
    folder = tmp_path / "drawn"
    with alone_in(folder):
        text = refused(capsys, command, *TINY_FOLDERS[command], folder)
    assert f"Another program is at work in {folder}" in text
