"""Checkpoints of a training run: their names, finding them, and the optimiser's state."""

import contextlib
import json
import re
from pathlib import Path

import numpy as np

from mrcnn.weights.hdf5 import KERAS_SUFFIX, WeightsError, weight_array, weight_name
from mrcnn.weights.hdf5_files import open_hdf5, write_hdf5

PATTERN = re.compile(r"_(\d{4,})(?:_step(\d{6,}))?(?:\.weights)?\.h5$")
MEANS = "means"
BESIDES = ("iterations", "logs")  # what is saved beside the phase
OPTIMIZER_SUFFIX = ".optimizer.h5"


def checkpoint_path(log_dir, name, epoch, step=0):
    """Path of the checkpoint after so many epochs, and so many steps of the next one."""
    within = f"_step{step:06d}" if step else ""
    return Path(log_dir) / f"{name}_{epoch:04d}{within}{KERAS_SUFFIX}"


def position_of(path):
    """(epochs trained, steps of the next one), from a checkpoint's name.

    "..._0012.weights.h5" or "..._0012.h5" is (12, 0), "..._0012_step000400.weights.h5" (12, 400).
    None if the name does not end so.
    """
    match = PATTERN.search(Path(path).name)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else None


def name_of(path):
    """What a checkpoint's name begins with, the `name` of `checkpoint_path`."""
    return PATTERN.sub("", Path(path).name)


def epoch_of(path):
    """Epochs trained, from a checkpoint's name, see `position_of`; None if it does not tell."""
    position = position_of(path)
    return position[0] if position else None


def steps_after(epoch, path):
    """Steps that a checkpoint has behind it since the end of an epoch; 0 if it is no such one."""
    position = None if path is None else position_of(path)
    return position[1] if position and position[0] == epoch else 0


def latest_checkpoint(log_dir):
    """The checkpoint that was trained longest in a folder, by name; None if there is none."""
    paths = [path for path in Path(log_dir).glob("[!.]*.h5") if position_of(path) is not None]
    return max(paths, key=lambda path: (position_of(path), path.name), default=None)


def remove_outdated(log_dir, name, latest, only_latest=False):
    """Remove what no training goes on from: snapshots within epochs, and optimisers' states.

    Args:
        log_dir, name: as of `checkpoint_path`.
        latest: path of the checkpoint that stays, with its optimiser.
        only_latest: remove the weights of earlier epochs, too.
    """
    optimizer = optimizer_path(latest)
    for old in Path(log_dir).glob(f"{name}_*{OPTIMIZER_SUFFIX}"):
        if old != optimizer:
            old.unlink()
    for old in Path(log_dir).glob(f"{name}_*{KERAS_SUFFIX}"):
        position = position_of(old)
        if old != Path(latest) and position is not None and (only_latest or position[1]):
            old.unlink()


class FoundCheckpoint(str):
    """A checkpoint's path, and the pair (folder, path) for programs that take it apart.

    Matterport's Mask R-CNN returned the pair in release 2.1 and the path alone after it; programs
    of both kinds are in use: `find_last()`, `find_last()[1]`, `folder, path = find_last()`.
    """

    def __getitem__(self, place):
        return self._pair()[place] if place in (0, 1) else super().__getitem__(place)

    def __iter__(self):
        return iter(self._pair())

    def _pair(self):
        path = str(self)
        return str(Path(path).parent), path


def find_last(model_dir, name):
    """The latest checkpoint of the latest run of this name: runs are folders name + date.

    Raises:
        FileNotFoundError: there is no run of that name with a checkpoint.
    """
    model_dir = Path(model_dir)
    run = re.compile(rf"{re.escape(name.lower())}\d{{8}}T\d{{4,6}}")
    folders = [path for path in model_dir.glob("*") if path.is_dir() and run.fullmatch(path.name)]
    for folder in sorted(folders, reverse=True):
        path = latest_checkpoint(folder)
        if path is not None:
            return path
    raise FileNotFoundError(
        f"No checkpoint was found below {model_dir}: expected a folder {name.lower()}<date> with a "
        f"file like ..._{name.lower()}_0001{KERAS_SUFFIX}. Check model_dir and NAME, or start from "
        "other weights."
    )


def optimizer_path(checkpoint):
    """Where the state of the optimiser lies beside a checkpoint."""
    name = Path(checkpoint).name.removesuffix(".h5").removesuffix(".weights")
    return Path(checkpoint).with_name(name + OPTIMIZER_SUFFIX)


def save_optimizer(model, checkpoint, phase, logs=None):
    """Write the optimiser's state beside a checkpoint, atomically.

    Args:
        model: compiled `keras.Model`.
        checkpoint: path of its weights.
        phase: dict of strings and numbers that tells training phases apart.
        logs: of the epoch that the checkpoint ends, for `saved_logs`.
    """
    with write_hdf5(optimizer_path(checkpoint)) as file:
        file.attrs.update(phase)
        file.attrs["iterations"] = int(weight_array(model.optimizer.iterations))
        if logs:
            file.attrs["logs"] = json.dumps({name: float(value) for name, value in logs.items()})
        # Those of the epoch's losses: an epoch that is broken off goes on with them.
        file.create_dataset(MEANS, data=[weight_array(each) for each in model.metrics_variables])
        for name, variable in _state(model):
            file.create_dataset(name, data=weight_array(variable))


def saved_phase(checkpoint):
    """The phase that a checkpoint was saved in, as given to `save_optimizer`; {} if unknown.

    Raises:
        WeightsError: the file is damaged.
    """
    if checkpoint is None or not optimizer_path(checkpoint).is_file():
        return {}
    with _reading_state(checkpoint) as file:
        return {key: _plain(value) for key, value in file.attrs.items() if key not in BESIDES}


def saved_logs(checkpoint):
    """The logs of the epoch that a checkpoint ends, {name: number}; {} if unknown.

    Raises:
        WeightsError: the file is damaged.
    """
    if not optimizer_path(checkpoint).is_file():
        return {}
    with _reading_state(checkpoint) as file:
        logs = json.loads(file.attrs.get("logs", "{}"))
        return {name: float(value) for name, value in logs.items()}


def _plain(value):
    """An attribute as the Python number or text that was saved."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is no text or number")
    return value


@contextlib.contextmanager
def _reading_state(checkpoint):
    """The open file of the optimiser's state; what is wrong with it becomes one sentence."""
    path = optimizer_path(checkpoint)
    try:
        with open_hdf5(path) as file:
            if "iterations" not in file.attrs:
                raise ValueError("it lacks the number of steps")
            yield file
    except WeightsError as error:
        raise WeightsError(
            f"{path} does not hold the optimiser's state of this model. Delete it to continue with "
            f"a fresh optimiser. The reason: {error.__cause__ or error}"
        ) from error


def restore_optimizer(model, checkpoint, phase):
    """Continue with the optimiser's state of a checkpoint: whether that was possible.

    It is not where no state was saved, or where another phase begins, which starts with a
    momentum of zero.

    Raises:
        WeightsError: the state is damaged or of another model.
    """
    if not optimizer_path(checkpoint).is_file():
        return False
    model.optimizer.build(model.trainable_variables)
    with _reading_state(checkpoint) as file:
        if {key: v for key, v in file.attrs.items() if key not in BESIDES} != phase:
            return False
        values = [(variable, _read_like(variable, file[name])) for name, variable in _state(model)]
        iterations = int(file.attrs["iterations"])
    for variable, value in values:
        variable.assign(value)
    model.optimizer.iterations.assign(iterations)
    return True


def restore_means(model, checkpoint):
    """Let the losses' means in the logs go on as they were at a checkpoint within an epoch."""
    with _reading_state(checkpoint) as file:
        values = np.asarray(file[MEANS])
        for variable, value in zip(model.metrics_variables, values, strict=True):
            variable.assign(value)


def _read_like(variable, dataset):
    """A data set's numbers, which are finite and of a variable's shape."""
    if dataset.shape != tuple(variable.shape):
        raise ValueError(
            f"{dataset.name} has the shape {dataset.shape}, expected {tuple(variable.shape)}"
        )
    values = np.asarray(dataset, np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{dataset.name} holds values that are no finite numbers")
    return values


def _state(model):
    """(name, variable) of everything that the optimiser keeps for each weight."""
    model.optimizer.build(model.trainable_variables)
    names = [weight_name(variable) for variable in model.trainable_variables]
    for kind, prefix in (("momentums", ""), ("velocities", "velocity/")):
        if hasattr(model.optimizer, kind):
            variables = getattr(model.optimizer, kind)
            yield from zip([prefix + name for name in names], variables, strict=True)
