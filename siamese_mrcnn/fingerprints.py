"""Short texts that differ where files, arguments or models do."""

import hashlib
import json

import numpy as np


def fingerprint(arguments):
    """A short text that differs for different arguments (anything JSON or `str` can write)."""
    text = json.dumps(arguments, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def file_fingerprint(path):
    """The sha256 of a file's content, as hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_fingerprint(array):
    """The sha256 of an array's shape and numbers, as hexadecimal digits."""
    array = np.ascontiguousarray(array)
    return hashlib.sha256(repr((array.shape, array.dtype.str)).encode() + array.data).hexdigest()


def model_fingerprint(model, without=()):
    """What tells models apart: their settings and the numbers of their weights.

    Args:
        model: with `config` and, usually, `keras_model`.
        without: tuple of beginnings of settings that do not count.
    """
    from mrcnn.weights.hdf5 import weight_array  # imports Keras, which takes seconds

    weights = hashlib.sha256()
    network = getattr(model, "keras_model", None)
    for variable in network.weights if network is not None else ():
        weights.update(np.ascontiguousarray(weight_array(variable)))
    settings = [each for each in model.config.items() if not each[0].startswith(without)]
    return fingerprint([repr(settings), weights.hexdigest()])
