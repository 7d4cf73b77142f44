"""Training: the same on one device and on two, in one go and resumed; what it leaves behind."""

import logging
import shutil

import keras
import numpy as np
import pytest

from folders import events_of, history_lines
from mrcnn.data.dataset import Dataset, DatasetError
from mrcnn.data.training_batches import Batches
from mrcnn.training import fit
from mrcnn.training.callbacks import OneTraining
from mrcnn.training.fit import compile_phase
from mrcnn.training.history import HISTORY, complete_history
from mrcnn.training.learning_rates import LearningRate
from mrcnn.training.optimizer import GloballyClippedAdam, GloballyClippedSGD
from mrcnn.weights.checkpoints import checkpoint_path, optimizer_path
from mrcnn.weights.hdf5 import layer_of, weight_array, weight_name
from on_backend import not_on_torch
from programs import assert_succeeds, running
from small import random_rois
from tiny import BoxesDataset, TinyConfig, arrays_of, assert_same_arrays, tiny_model

FIVE_LOSSES = TinyConfig.LOSS_WEIGHTS

# --- several devices ----------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def replica_program(tmp_path_factory):
    """The program that trains on one device and on two; it runs beside the other tests."""
    folder = tmp_path_factory.mktemp("replicas")
    with running("fixtures/replica_steps.py", folder) as process:
        yield process, folder


# --- in one go, and resumed ---------------------------------------------------------------------


class CopyFolder(keras.callbacks.Callback):
    """Keeps copies of the folder of a run as it is after the first epoch, and a step later."""

    def __init__(self, model, targets):
        super().__init__()
        self.run, self.after_epoch, self.within = model, *targets

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self._copy(self.after_epoch)

    def on_train_batch_end(self, batch, logs=None):
        if self.after_epoch.exists() and not self.within.exists():
            self._copy(self.within)

    def _copy(self, target):
        shutil.copytree(self.run.log_dir, target / self.run.run_folder().name)


class Told(keras.callbacks.Callback):
    """Notes what a callback is told."""

    def __init__(self):
        super().__init__()
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(epoch)

    def on_train_end(self, logs=None):
        self.events.append("end")


# Without the pyramid: on a CPU, TensorFlow's gradient of RoIAlign loses an addition now and then.
LAYERS = r"(mrcnn|rpn)_.*"


RATE = LearningRate(0.004, warm_up_steps=2, drop_steps=(3,))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(model after three epochs in one go, its history, model_dir as it was on the way)."""
    folder = tmp_path_factory.mktemp("runs")
    on_the_way = {"after an epoch": folder / "after", "within an epoch": folder / "within"}
    model = tiny_model("training", folder / "whole", SNAPSHOT_STEPS=1)
    history = model.train(
        BoxesDataset(),
        BoxesDataset(3),
        learning_rate=RATE,
        epochs=3,
        layers=LAYERS,
        custom_callbacks=[CopyFolder(model, on_the_way.values())],
    )
    return model, history, on_the_way


@pytest.fixture(scope="module", params=["after an epoch", "within an epoch"])
def resumed(run, request):
    """The model that went on from such a copy, its history, and its model_dir."""
    folder = run[2][request.param]
    model = tiny_model("training", folder)
    for variable in model.keras_model.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    model.load_latest_checkpoint()
    within = "_step000001" if request.param == "within an epoch" else ""
    assert model.checkpoint.name == f"mask_rcnn_tiny_0001{within}.weights.h5"
    assert model.epoch == 1
    told = Told()
    history = model.train(BoxesDataset(), BoxesDataset(3), RATE, 3, LAYERS, custom_callbacks=[told])
    assert told.events == ["begin", 1, 2, "end"] and history.epoch == [1, 2]
    return model, history, folder


def momenta_of(model):
    optimizer = model.keras_model.optimizer
    names = map(weight_name, model.keras_model.trainable_variables)
    return dict(zip(names, map(weight_array, optimizer.momentums), strict=True))


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_a_resumed_training_ends_where_an_unbroken_one_does(run, resumed):
    for arrays in (lambda model: arrays_of(model.keras_model), momenta_of):
        assert_same_arrays(arrays(resumed[0]), arrays(run[0]))
    assert resumed[0].epoch == run[0].epoch == 3
    for name, values in run[1].history.items():
        assert resumed[1].history[name] == values[1:], name


def test_a_resumed_training_stays_in_its_folder(run, resumed):
    assert resumed[0].run_folder() == resumed[2] / run[0].run_folder().name
    assert [row["epoch"] for row in history_lines(resumed[0].log_dir)] == ["1", "2", "3"]


def test_a_new_stage_counts_steps_from_the_very_beginning(tmp_path, monkeypatch):
    model, seen = tiny_model("training", tmp_path, STEPS_PER_EPOCH=7), []
    trained = model.keras_model

    def see(*_, **__):
        seen.append(trained.optimizer)
        raise KeyboardInterrupt

    monkeypatch.setattr(trained, "fit", see)
    model.epoch = 5
    for drop in (35, 36):
        with pytest.raises(KeyboardInterrupt):
            model.train(BoxesDataset(), None, LearningRate(0.1, drop_steps=(drop,)), 6, "heads")
    rates = [float(weight_array(optimizer.learning_rate)) for optimizer in seen]
    np.testing.assert_allclose(rates, [0.01, 0.1], rtol=1e-6)


def test_callbacks_are_told_of_one_training_whatever_calls_of_fit_it_takes():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    told, history = Told(), keras.callbacks.History()
    callbacks = OneTraining([told, history], model)
    callbacks.set_params({"verbose": 0, "epochs": 3, "steps": 1})
    for first, last in ((0, 1), (1, 3)):
        x = np.ones((2, 1))
        model.fit(x, x, initial_epoch=first, epochs=last, callbacks=callbacks, verbose=0)
    assert told.events == ["begin", 0, 1, 2]
    callbacks.end()
    assert told.events[-1] == "end" and history.epoch == [0, 1, 2]
    assert len(history.history["loss"]) == 3


def test_a_training_that_a_callback_stops_ends_there(tmp_path):
    def stop(epoch, logs):
        model.keras_model.stop_training = True

    model = tiny_model("training", tmp_path, STEPS_PER_EPOCH=1, RUN_EAGERLY=True)
    stopping = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    model.train(BoxesDataset(), None, 0.1, 5, "mrcnn_class_logits", custom_callbacks=[stopping])
    assert (model.epoch, model.checkpoint.name) == (1, "mask_rcnn_tiny_0001.weights.h5")
    assert model.checkpoint.is_file()


def test_a_snapshot_of_the_first_epoch_goes_on_in_its_folder(tmp_path):
    model = tiny_model("training", tmp_path)
    path = checkpoint_path(tmp_path / "tiny20240101T000000", "tiny", 0, 1)
    model.save_weights(path)
    model.load_latest_checkpoint()
    assert (model.checkpoint, model.run_folder(), model.epoch) == (path, path.parent, 0)


def test_a_run_goes_on_under_the_name_that_its_checkpoints_have(tmp_path):
    model = tiny_model("training", tmp_path, STEPS_PER_EPOCH=1)
    run = tmp_path / "tiny20240101T000000"
    model.save_weights(run / "tiny_0001.weights.h5")
    model.load_latest_checkpoint()
    model.train(BoxesDataset(), None, 0.001, 2, "heads")
    names = [path.name for path in sorted(run.glob("*.weights.h5"))]
    assert names == ["tiny_0001.weights.h5", "tiny_0002.weights.h5"]
    assert model.find_last() == model.checkpoint_path.format(epoch=2) == str(run / names[1])


def test_a_snapshot_needs_epochs_as_long_as_its_own(tmp_path):
    model = tiny_model("training", tmp_path)
    model.save_weights(checkpoint_path(tmp_path / "tiny20240101T000000", "tiny", 3, 2))
    model.load_latest_checkpoint()
    with pytest.raises(ValueError, match="after 2 batches of an epoch, but an epoch has 2"):
        model.train(BoxesDataset(), None, RATE, 4, LAYERS)


# --- what is left behind ------------------------------------------------------------------------


def test_every_epoch_leaves_its_weights_and_the_last_one_the_optimiser(run):
    names = {path.name for path in run[0].run_folder().glob("*.h5")}
    epochs = {f"mask_rcnn_tiny_000{number}.weights.h5" for number in (1, 2, 3)}
    assert names == epochs | {"mask_rcnn_tiny_0003.optimizer.h5"}
    assert run[0].find_last() == str(run[0].run_folder() / "mask_rcnn_tiny_0003.weights.h5")
    loaded = tiny_model("inference", run[0].model_dir)
    loaded.load_latest_checkpoint()
    assert_same_arrays(arrays_of(loaded.keras_model), arrays_of(run[0].keras_model))
    assert loaded.epoch == 3


def test_history_csv_holds_every_loss_of_every_epoch(run):
    rows = history_lines(run[0].log_dir)
    assert [row.pop("epoch") for row in rows] == ["1", "2", "3"]
    names = {"loss", *FIVE_LOSSES}
    assert set(rows[0]) == names | {f"val_{name}" for name in names}
    for name, values in run[1].history.items():
        assert [float(row[name]) for row in rows] == values


@pytest.mark.parametrize("missing", ["line", "file"])
def test_a_kill_between_checkpoint_and_history_loses_no_line(run, tmp_path, missing):
    folder = tmp_path / run[0].run_folder().name
    shutil.copytree(run[0].log_dir, folder)
    whole = (folder / HISTORY).read_text()
    checkpoint = folder / "mask_rcnn_tiny_0003.weights.h5"
    lines = whole.splitlines(keepends=True)
    complete_history(folder, checkpoint)
    assert (folder / HISTORY).read_text() == whole  # nothing was missing
    if missing == "line":
        (folder / HISTORY).write_text("".join(lines[:-1]))
    else:
        (folder / HISTORY).unlink()
    complete_history(tmp_path, checkpoint)  # of another folder
    assert not (tmp_path / HISTORY).exists()
    complete_history(folder, checkpoint)
    rows = history_lines(run[0].log_dir)
    assert history_lines(folder) == (rows if missing == "line" else rows[-1:])


def test_tensorboard_reads_the_same_curves(run):
    for folder, prefix in (("train", ""), ("validation", "val_")):
        events = events_of(run[0].run_folder() / folder)
        assert set(events.Tags()["scalars"]) == {"loss", *FIVE_LOSSES}
        for name in events.Tags()["scalars"]:
            points = events.Scalars(name)
            assert [point.step for point in points] == [1, 2, 3]
            values = [point.value for point in points]
            np.testing.assert_allclose(values, run[1].history[prefix + name], rtol=1e-6)


def test_a_second_training_of_the_same_stage_goes_on_from_the_last_checkpoint(
    tmp_path, monkeypatch
):
    calls = []

    def run_phase(*arguments):
        calls.append(arguments)
        history = keras.callbacks.History()
        history.epoch = list(range(*arguments[5:7]))
        return history

    monkeypatch.setattr(fit, "run_phase", run_phase)
    model = tiny_model("training", tmp_path)
    model.train(BoxesDataset(), None, 0.02, epochs=3, layers="heads")
    model.train(BoxesDataset(), None, 0.02, epochs=5, layers="all")
    (log_dir, name), epoch, epochs, checkpoint, phase, _ = calls[1][4:]
    assert (epoch, epochs, model.epoch) == (3, 5, 5)
    assert checkpoint == log_dir / f"{name}_0003.weights.h5"
    assert phase == {"learning_rate": 0.02, "layers": "all", "train_bn": False}
    assert calls[0][4] == (log_dir, "mask_rcnn_tiny") and calls[0][7] is None


@pytest.mark.parametrize("train_bn", [True, False])
def test_a_stage_decides_about_batch_statistics(tmp_path, train_bn):
    model = tiny_model("training", tmp_path, TRAIN_BN=not train_bn, STEPS_PER_EPOCH=1)
    before = arrays_of(model.keras_model)
    model.train(BoxesDataset(), None, 1e-5, 1, "mrcnn_class_logits", train_bn=train_bn)
    after = arrays_of(model.keras_model)
    statistics = [name for name in before if "moving_" in name]
    changed = [name for name in statistics if np.any(before[name] != after[name])]
    assert changed == (statistics if train_bn else [])


# --- the step itself ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch():
    """Two images whose boxes fill all MAX_GT_INSTANCES."""
    config = type("Changed", (TinyConfig,), {"MAX_GT_INSTANCES": 2})()
    return Batches(BoxesDataset(), config, steps=1, workers=0)[0]


def test_every_loss_falls_on_a_batch_seen_again_and_again(tmp_path, batch):
    model = tiny_model("training", tmp_path, USE_RPN_ROIS=False, MAX_GT_INSTANCES=2)
    compile_phase(model.keras_model, model.config, 5e-5, "all")
    x, y = batch
    rois = [random_rois(model.config, each, np.random.default_rng(0)) for each in x["gt_boxes"]]
    losses = []
    for _ in range(8):
        model.keras_model.reset_metrics()
        x_with_rois = {**x, "rois": np.stack(rois)}
        losses.append(model.keras_model.train_on_batch(x_with_rois, y, return_dict=True))
    for name in ("loss", *FIVE_LOSSES):
        assert losses[-1][name] < losses[0][name], name
    assert losses[-1]["loss"] < 0.9 * losses[0]["loss"]


@pytest.mark.parametrize("layers", ["heads", "all"])
def test_weight_decay_covers_what_trains_but_gamma_and_beta(tmp_path, batch, layers):
    model = tiny_model("training", tmp_path, WEIGHT_DECAY=10.0, MAX_GT_INSTANCES=2).keras_model
    compile_phase(model, TinyConfig(), 0.002, layers)
    model.run_eagerly = True  # to trace a graph takes longer than one step
    logs = model.test_on_batch(*batch, return_dict=True)
    expected = 10 * sum(
        np.mean(array.astype(np.float64) ** 2)
        for name, array in arrays_of(model).items()
        if name.split("/")[1] in ("kernel", "bias")
        and (layers == "all" or not layer_of(name).startswith(("conv", "res")))
    )
    found = logs["loss"] - sum(logs[name] for name in FIVE_LOSSES)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.backends
@pytest.mark.parametrize(("limit", "factor"), [(6.5, 0.5), (26.0, 1.0)])
def test_the_norm_of_all_gradients_together_is_clipped(limit, factor):
    variables = [keras.Variable(np.zeros(2), name="a"), keras.Variable(np.zeros(1), name="b")]
    optimizer = GloballyClippedSGD(1.0, momentum=0.9, global_clipnorm=limit)
    gradients = [keras.ops.array([3.0, 4.0]), keras.ops.array([12.0])]  # norms 5, 12, together 13
    optimizer.apply(gradients, variables)
    np.testing.assert_allclose(weight_array(variables[0]), [-3 * factor, -4 * factor], rtol=1e-6)
    np.testing.assert_allclose(weight_array(variables[1]), [-12 * factor], rtol=1e-6)


def test_a_stage_takes_momentum_and_clipping_from_the_configuration(tmp_path):
    model = tiny_model("training", tmp_path, LEARNING_MOMENTUM=0.7, GRADIENT_CLIP_NORM=2.5)
    compile_phase(model.keras_model, model.config, 0.02, "heads")
    optimizer = model.keras_model.optimizer
    assert (optimizer.momentum, optimizer.global_clipnorm) == (0.7, 2.5)
    assert float(optimizer.learning_rate) == np.float32(0.02)
    assert len(optimizer.momentums) == len(model.keras_model.trainable_variables)


def test_a_stage_may_train_with_adam(tmp_path):
    model = tiny_model("training", tmp_path, OPTIMIZER="adam", LEARNING_MOMENTUM=0.7)
    compile_phase(model.keras_model, model.config, 0.02, "heads")
    optimizer = model.keras_model.optimizer
    assert isinstance(optimizer, GloballyClippedAdam)
    assert (optimizer.beta_1, optimizer.global_clipnorm) == (0.7, model.config.GRADIENT_CLIP_NORM)


# --- what a user may get wrong ------------------------------------------------------------------


def test_more_devices_than_there_are_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"GPU_COUNT is 9, but this machine has \d device"):
        tiny_model("training", tmp_path, GPU_COUNT=9)


def test_detection_needs_no_devices(tmp_path):
    assert tiny_model("inference", tmp_path, GPU_COUNT=9).config.BATCH_SIZE == 18


def test_a_model_for_detection_does_not_train(tmp_path):
    with pytest.raises(RuntimeError, match=r'train\(\) needs a model in mode "training"'):
        tiny_model("inference", tmp_path).train(BoxesDataset(), None, 0.1, 1, "all")


def test_an_epoch_that_is_reached_already_is_told(tmp_path, caplog):
    model = tiny_model("training", tmp_path)
    model.epoch = 160
    with caplog.at_level(logging.WARNING):
        assert model.train(BoxesDataset(), None, 0.1, 120, "all") is None
    assert "up to epoch 120: epoch 160 is reached already" in caplog.text


def test_layers_that_do_not_exist_leave_no_folder(tmp_path):
    model = tiny_model("training", tmp_path)
    with pytest.raises(ValueError, match="layers='head' matches no layer"):
        model.train(BoxesDataset(), None, 0.1, 1, "head")
    assert not list(tmp_path.iterdir())


def test_a_data_set_must_be_prepared(tmp_path):
    with pytest.raises(DatasetError, match="call prepare"):
        tiny_model("training", tmp_path).train(Dataset(), None, 0.1, 1, "all")


@pytest.mark.parametrize("mode", ["pad64", "none"])
def test_training_needs_images_of_one_size(tmp_path, mode):
    with pytest.raises(ValueError, match=f'is "{mode}", but training needs images of one size'):
        tiny_model("training", tmp_path, IMAGE_RESIZE_MODE=mode)


def test_a_damaged_optimiser_is_told_before_training(run, tmp_path):
    folder = tmp_path / run[0].run_folder().name
    shutil.copytree(run[0].log_dir, folder)
    optimizer_path(folder / "mask_rcnn_tiny_0003.weights.h5").write_bytes(b"nonsense")
    model = tiny_model("training", tmp_path)
    model.load_latest_checkpoint()
    with pytest.raises(ValueError, match=r"tiny_0003\.optimizer\.h5 does not hold"):
        model.train(BoxesDataset(), None, 0.002, 4, LAYERS)


# --- several devices, at the end: the program has run meanwhile ---------------------------------


@pytest.fixture(scope="module")
def replicas(replica_program):
    """What each run of the program ended with."""
    process, folder = replica_program
    assert_succeeds(process)
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@not_on_torch
@pytest.mark.backends
@pytest.mark.long_on_jax
@pytest.mark.parametrize("kind", ["", "_weighed"])
def test_two_devices_train_as_one_does(replicas, kind):
    one, two = replicas[f"one{kind}"], replicas[f"two{kind}"]
    assert set(one) == set(two)
    # Sums in another order, over two steps; float32 on TensorFlow, see replica_steps.py
    tolerance = 2e-5 if keras.backend.backend() == "tensorflow" else 1e-6
    for name, expected in one.items():
        scale = np.abs(expected).max()
        assert scale > 0, name
        np.testing.assert_allclose(
            two[name] / scale, expected / scale, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("kind", ["", "_weighed"])
def test_two_devices_train_in_parts_as_one_does_at_once(replicas, kind):
    """A weight of one part, or one part twice, would change whole tensors by tenths.

    Some processors sum otherwise for a single image. A sum on the other side of a ReLU's zero then
    changes single places of a gradient, by up to 8e-4 of the whole tensor with AVX2.
    """
    if "two_in_parts" not in replicas:
        pytest.skip("JAX runs one program on all devices; test_subdivisions has its parts")
    one, two = replicas[f"one{kind}"], replicas[f"two{kind}_in_parts"]
    assert set(one) == set(two)
    for name, expected in one.items():
        apart = np.linalg.norm(two[name] - expected) / np.linalg.norm(expected)
        assert apart < 5e-3, name


@not_on_torch
@pytest.mark.backends
@pytest.mark.long_on_jax
def test_every_loss_and_the_clipping_took_part_in_that(replicas):
    for name in FIVE_LOSSES:
        assert replicas["one"][f"loss|{name}"][0] > 0.01, name
    for run in {"one", "two", "two_in_parts"} & set(replicas):
        np.testing.assert_allclose(replicas[run]["first_step"], 0.5, rtol=1e-4)


@not_on_torch
@pytest.mark.backends
@pytest.mark.long_on_jax
def test_a_batch_without_a_thing_to_find_has_no_loss_of_boxes_and_masks(replicas):
    for name in FIVE_LOSSES:
        means = replicas["one_weighed"][f"loss|{name}"]
        first, second = means[0], 2 * means[1] - means[0]
        assert first > 0 and (second > 1e-5) == name.endswith("class_loss"), name


def test_clipping_on_each_device_would_be_noticed(replicas):
    if "each_on_its_own" not in replicas:
        pytest.skip("JAX runs one program on all devices")
    assert replicas["each_on_its_own"]["first_step"] > 0.6
