"""Small tensor operations that several rooms of the network share."""

import keras
from keras import ops


def gather_rows(values, indices):
    """Pick rows of each batch entry: values [batch, N, ...], indices [batch, M] -> [batch, M, ...].

    One flat `take`, which every backend compiles well.
    """
    count = values.shape[1]
    offsets = ops.expand_dims(ops.arange(ops.shape(values)[0], dtype="int32") * count, axis=1)
    flat = ops.reshape(values, (-1, *values.shape[2:]))
    return ops.take(flat, ops.cast(indices, "int32") + offsets, axis=0)


def top_k(values, count):
    """The highest values of each row [..., N], best first, and their positions: [..., count].

    Of equal values the first comes first, on every backend.
    """
    if keras.backend.backend() != "torch":
        return ops.top_k(values, count)
    positions = ops.argsort(-values, axis=-1)[..., :count]
    return ops.take_along_axis(values, positions, axis=-1), positions


def nonzero_rows(boxes):
    """Whether each box of [..., N, 4] is more than zero padding: bool [..., N]."""
    return ops.any(ops.not_equal(boxes, 0), axis=-1)
