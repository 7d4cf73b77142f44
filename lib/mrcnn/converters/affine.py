"""Batch normalisation that is a scale and a shift alone, as programs with frozen statistics write.

Our layers divide by sqrt(moving_variance + epsilon). With `UNIT_VARIANCE` and a mean of zero the
divisor is 1, exactly in float32: gamma is the scale and beta the shift.
"""

import numpy as np

from mrcnn.converters.name_tables import convolution_of
from mrcnn.modeling.conv_norm import EPSILON
from mrcnn.weights.hdf5 import layer_of

UNIT_VARIANCE = np.float32(1) - np.float32(EPSILON)


def without_constants(tensors, constants):
    """The same function of the same inputs, with the constant tensors at their numbers.

    Where they are there already, nothing changes. Where training has moved them, what they do
    goes into the scale and shift of the normalisation, or, if these are constants as well, into
    the kernel and bias of the convolution; computed in float64 and rounded once.

    Args:
        tensors: {"<layer>/<kind>": array}.
        constants: {name: number}, as of a `NameTable`.

    Returns:
        the tensors that are not constants.
    """
    reduced = dict(tensors)
    for norm in [layer_of(name) for name in constants if name.endswith("/moving_variance")]:
        names = [name for name in constants if layer_of(name) in (norm, convolution_of(norm))]
        if any(np.any(tensors[name] != np.float32(constants[name])) for name in names):
            _fold(reduced, norm, into_kernel=f"{norm}/gamma" in constants)
    return {name: array for name, array in reduced.items() if name not in constants}


def _fold(tensors, norm, into_kernel):
    convolution = convolution_of(norm)
    gamma, beta, mean, variance = (
        tensors[f"{norm}/{kind}"].astype(np.float64)
        for kind in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    shift = beta + (tensors[f"{convolution}/bias"] - mean) * scale
    if into_kernel:
        kernel = tensors[f"{convolution}/kernel"] * scale
        tensors[f"{convolution}/kernel"] = kernel.astype(np.float32)
        tensors[f"{convolution}/bias"] = shift.astype(np.float32)
    else:
        tensors[f"{norm}/gamma"] = scale.astype(np.float32)
        tensors[f"{norm}/beta"] = shift.astype(np.float32)
