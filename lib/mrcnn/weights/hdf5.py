"""Weights by name: reads and writes the HDF5 files of the originals and of Keras 3.

A tensor is known by "<layer>/<kind>", say "rpn_conv_shared/kernel", wherever it lies in a file:
nested or flat, in any order.
"""

import io
import json
import re
from dataclasses import dataclass, field

import h5py
import keras
import numpy as np
from keras import ops

from mrcnn.modeling.conv_norm import no_longer_folded
from mrcnn.weights.hdf5_files import WeightsError, open_hdf5, put, write_hdf5

KINDS = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
KERAS_SUFFIX = ".weights.h5"
FACTS = "facts"  # attribute of such a file, JSON


@dataclass
class LoadReport:
    """What became of every tensor: names, or (name, shape in file, shape in model)."""

    path: str
    loaded: list = field(default_factory=list)
    missing: list = field(default_factory=list)  # in the model, not in the file
    unexpected: list = field(default_factory=list)  # in the file, not in the model
    wrong_shape: list = field(default_factory=list)

    def __str__(self):
        lines = [
            f"{self.path}: {len(self.loaded)} tensors fit, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.wrong_shape)} of wrong shape"
        ]
        lines += [f"  missing      {_shorten(self.missing)}"] if self.missing else []
        lines += [f"  unexpected   {_shorten(self.unexpected)}"] if self.unexpected else []
        lines += [
            f"  wrong shape  {name}: {in_file} in the file, {in_model} in the model"
            for name, in_file, in_model in self.wrong_shape[:8]
        ]
        return "\n".join(lines)


def weight_name(variable):
    """ "<layer>/<kind>" of a Keras variable."""
    return "/".join(variable.path.split("/")[-2:])


def layer_of(name):
    """The layer's part of a tensor's name."""
    return name.split("/")[0]


def named_variables(model):
    """All weights of a model by name, in the model's order."""
    return {
        weight_name(variable): variable
        for variable in model.weights
        if weight_name(variable).split("/")[-1] in KINDS
    }


def weight_array(variable):
    """The value of a Keras variable as a numpy array."""
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


def read_weights(path):
    """All tensors of a weights file by name: {"<layer>/<kind>": array}.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is truncated, no HDF5 file, or holds no weights.
    """
    return _read(path, _numbers)


def read_shapes(path):
    """The shape of each tensor of a weights file by name, without reading values.

    Raises: as `read_weights`.
    """
    return _read(path, lambda dataset: dataset.shape)


def _read(path, take):
    """What a function takes of each tensor's data set, by name."""
    with open_hdf5(path) as file:
        tensors = _read_tensors(file, take)
    if not tensors:
        raise WeightsError(
            f"{path} is an HDF5 file, but holds no weights named like layer/kernel; expected the "
            "weights of a Keras 2 model or a .weights.h5 file of Keras 3."
        )
    return tensors


def _read_tensors(file, take):
    tensors = {}

    def visit(path, item):
        if isinstance(item, h5py.Dataset) and not path.startswith("optimizer"):
            name = _tensor_name(path, item)
            if name:
                tensors[name] = take(item)

    file.visititems(visit)
    return tensors


def _numbers(dataset):
    if dataset.dtype.kind not in "fiu":
        raise WeightsError(
            f"{dataset.file.filename} holds no numbers under {dataset.name}, but {dataset.dtype}."
        )
    return np.asarray(dataset)


def _tensor_name(path, dataset):
    """Name of a data set in either format, or None if it is no weight of a layer."""
    parts = path.split("/")
    if len(parts) > 1 and parts[-2] == "vars" and "name" in dataset.parent.attrs:
        return f"{dataset.parent.attrs['name']}/{_kind_by_position(dataset)}"
    kind = re.sub(r"(_\d+)?:\d+$", "", parts[-1])
    return f"{parts[-2]}/{kind}" if len(parts) > 1 and kind in KINDS else None


def _kind_by_position(dataset):
    """Keras 3 numbers the variables of a layer: convolutions have two, normalisations four."""
    position = dataset.name.split("/")[-1]
    kinds = KINDS[2:] if len(dataset.parent) == 4 else KINDS[:2]
    return dict(zip("0123", kinds, strict=False)).get(position, position)


def load_weights(model, path, may_be_missing=(), exclude=()):
    """Load the tensors of a file into a model by name; all of them, or none.

    Args:
        model: a Keras model.
        path: weights file of the originals or of Keras 3.
        may_be_missing: regular expressions of layer names whose weights need not be in the
            file; what is there is loaded.
        exclude: regular expressions of layer names that keep their weights.

    Returns:
        `LoadReport`

    Raises:
        FileNotFoundError, WeightsError: as `read_weights`; also when something is missing or of
            another shape. The model is then unchanged.
    """
    variables = {
        name: variable
        for name, variable in named_variables(model).items()
        if not matches(layer_of(name), exclude)
    }
    tensors = read_weights(path)
    report = _compare(str(path), variables, tensors, exclude)
    _refuse_mismatch(report, may_be_missing)
    _refuse_not_finite(path, {name: tensors[name] for name in report.loaded})
    for name in report.loaded:
        variables[name].assign(tensors[name])
    no_longer_folded(model)
    return report


def _compare(path, variables, tensors, exclude):
    report = LoadReport(path)
    for name, variable in variables.items():
        if name not in tensors:
            report.missing.append(name)
        elif tensors[name].shape != tuple(variable.shape):
            report.wrong_shape.append((name, tensors[name].shape, tuple(variable.shape)))
        else:
            report.loaded.append(name)
    report.unexpected = [
        name for name in tensors if name not in variables and not matches(layer_of(name), exclude)
    ]
    return report


def _refuse_mismatch(report, may_be_missing):
    unexplained = [name for name in report.missing if not matches(layer_of(name), may_be_missing)]
    if report.wrong_shape or unexplained or not report.loaded:
        raise WeightsError(
            f"These weights do not fit the model, which is left unchanged. {report}\n"
            "Check that configuration and file belong together (backbone, NUM_CLASSES, FC size), "
            "or name the layers that may be missing (may_be_missing) or that are to keep their "
            "weights (exclude)."
        )


def _refuse_not_finite(path, tensors):
    wrong = not_finite(tensors)
    if wrong:
        raise WeightsError(
            f"{path} holds values that are no finite numbers, in {_shorten(wrong)}: it comes from "
            "a training that went wrong. Take an earlier checkpoint."
        )


def not_finite(tensors):
    """Names of the tensors {name: array} that hold NaN or infinity."""
    return [name for name, array in tensors.items() if not np.isfinite(array).all()]


def matches(layer, patterns):
    """Whether a layer's name matches one of the regular expressions, as a whole."""
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(re.fullmatch(pattern, layer) for pattern in patterns)


def save_keras_weights(model, path):
    """Write a `.weights.h5` file of Keras 3, atomically.

    What the `facts` of the model say, if it has any, goes along: see `mrcnn.weights.presets`.
    """
    if not str(path).endswith(KERAS_SUFFIX):
        raise ValueError(f"The name of a Keras weights file ends in {KERAS_SUFFIX}, got {path}.")
    # The same layers without the optimiser, whose state Keras would save as well.
    layers, content = keras.Model(model.inputs, model.outputs), _InMemory()
    layers.save_weights(content)
    facts = getattr(model, "facts", None)
    if facts is not None:
        with h5py.File(content, "r+") as file:
            file.attrs[FACTS] = json.dumps(facts())
    put(content, path)


class _InMemory(io.BytesIO):
    """A file that Keras writes weights to, though it asks for the ending of its name."""

    def __str__(self):
        return KERAS_SUFFIX


def save_original_weights(tensors, path, groups):
    """Write tensors in the layout of the originals (Keras 2), atomically.

    Args:
        tensors: {"<layer>/<kind>": array}.
        path: file to write.
        groups: [(HDF5 group, [layers])], see `mrcnn.weights.layout`.

    Raises:
        WeightsError: a tensor belongs to none of the groups, so that it would be lost.
    """
    grouped = {layer for _, layers in groups for layer in layers}
    lost = [name for name in tensors if layer_of(name) not in grouped]
    if lost:
        raise WeightsError(
            f"The originals' layout has no place for {_shorten(lost)}. Save these weights as a "
            f"file that ends in {KERAS_SUFFIX}."
        )
    with write_hdf5(path) as file:
        file.attrs["layer_names"] = _fixed_length([group for group, _ in groups])
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.1.6"
        for group_name, layers in groups:
            _write_group(file.create_group(group_name), layers, tensors)


def _write_group(group, layers, tensors):
    names = [
        f"{layer}/{kind}" for layer in layers for kind in KINDS if f"{layer}/{kind}" in tensors
    ]
    group.attrs["weight_names"] = _fixed_length([f"{name}:0" for name in names])
    for name in names:
        group.create_dataset(f"{name}:0", data=tensors[name])


def _fixed_length(names):
    """Names as Keras 2 stores and expects them; h5py would make them of variable length."""
    return np.array(names, dtype=np.bytes_)


def _shorten(names, limit=6):
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
