"""What is wrong with the weights of a model: what has died, burst or is no number."""

import numpy as np

from mrcnn.drawing.tables import DEAD_KERNEL

HUGE = 100.0  # trained weights stay far below; statistics of activations need not
HEADER = ["weight", "anomaly", "how many", "of"]


def anomalies(model):
    """All anomalies among the weights of a model, for `mrcnn.visualize.display_table`.

    - no number: NaN or infinite.
    - huge: above `HUGE`, whatever the sign; the statistics of batch normalisations may be.
    - negative variance: of a batch normalisation.
    - dead channel: an output whose kernel is all zero, so that it shows its bias alone.
    - dead: a kernel with hardly any spread, of which training has probably left nothing.

    Args:
        model: `mrcnn.model.MaskRCNN`.

    Returns:
        rows, the header first: "<layer>/<weight>", the anomaly, how many numbers or channels
        have it, of how many.
    """
    rows = [HEADER]
    for layer in model.get_trainable_layers():
        for variable, values in zip(layer.weights, layer.get_weights(), strict=True):
            name = f"{layer.name}/{variable.name}"
            found = anomalies_of(variable.name, values, _output_axis(layer))
            rows += [[name, what, *map(str, counts)] for what, counts in found.items()]
    return rows


def anomalies_of(kind, values, output_axis=-1):
    """Anomalies of one weight: {anomaly: (how many, of how many)}.

    Args:
        kind: "kernel", "bias", "gamma", "beta", "moving_mean" or "moving_variance".
        values: float array.
        output_axis: of a kernel, the axis of its outputs.
    """
    is_number = np.isfinite(values)
    numbers = np.where(is_number, values, 0)
    counts = {"no number": (np.sum(~is_number), values.size)}
    if not kind.startswith("moving_"):
        counts["huge"] = (np.sum(np.abs(numbers) > HUGE), values.size)
    if kind == "moving_variance":
        counts["negative variance"] = (np.sum(numbers < 0), values.size)
    if kind == "kernel":
        channels = np.moveaxis(values, output_axis, 0).reshape(values.shape[output_axis], -1)
        counts["dead channel"] = (np.sum(~channels.any(axis=1)), len(channels))
        counts["dead"] = (int(np.std(numbers) < DEAD_KERNEL), 1)
    return {what: (int(count), int(of)) for what, (count, of) in counts.items() if count}


def _output_axis(layer):
    """Kernels of transposed convolutions have their outputs before their inputs."""
    return -2 if "Transpose" in type(layer).__name__ else -1
