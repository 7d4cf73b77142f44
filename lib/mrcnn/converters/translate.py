"""Tensors from another program's names to ours, with a report of each of them."""

import math

import numpy as np

from mrcnn.converters.name_tables import outputs_of
from mrcnn.weights.hdf5 import LoadReport, WeightsError, layer_of


class ConversionError(WeightsError):
    """Weights that do not fit another program's names; `report` says which tensors."""

    def __init__(self, sentence, report):
        super().__init__(f"{sentence} {report}")
        self.report = report


def to_ours(blobs, table, path):
    """Tensors of another program by our names.

    Args:
        blobs: {their name: array}.
        table: `NameTable`.
        path: where they come from, for the report.

    Returns:
        {"<layer>/<kind>": float32 array}, `LoadReport` with their names.

    Raises:
        ConversionError: something is missing or of another shape.
    """
    table = table.for_parts(blobs, "theirs")
    report, tensors = LoadReport(str(path)), {}
    for rule in table.rules:
        array, layout = blobs.get(rule.theirs), rule.layout
        if not isinstance(array, np.ndarray):
            report.missing.append(rule.theirs)
        elif array.ndim != layout.their_axes or array.dtype.kind != "f" or not layout.fits(array):
            expected = f"{layout.their_axes} axes of real numbers"
            report.wrong_shape.append((rule.theirs, array.shape, expected))
        else:
            report.loaded.append(rule.theirs)
            laid_out = layout.to_ours(array.astype(np.float32, copy=False))
            tensors[rule.ours] = np.ascontiguousarray(laid_out)
    wanted = {rule.theirs for rule in table.rules}
    report.unexpected = [name for name in blobs if name not in wanted]
    if not report.missing and not report.wrong_shape:
        _compare_lengths(tensors, table, report)
    if report.missing or report.wrong_shape:
        raise ConversionError(f"These are no complete weights of {table.program}.", report)
    for name, number in table.constants.items():
        length = outputs_of(tensors, layer_of(name))
        tensors[name] = np.full(length, number, np.float32)
    return tensors, report


def _compare_lengths(tensors, table, report):
    """Note the vectors of a layer that are not as long as the layer has outputs."""
    for rule in table.rules:
        shape, length = tensors[rule.ours].shape, outputs_of(tensors, layer_of(rule.ours))
        if len(shape) == 1 and shape != (length,):
            report.loaded.remove(rule.theirs)
            report.wrong_shape.append((rule.theirs, shape, (length,)))


def logits_per_anchor(shapes):
    """Class logits an anchor, from {name of ours: shape}; None without a proposal network."""
    classes, deltas = (shapes.get(f"{name}/bias") for name in ("rpn_class_raw", "rpn_bbox_pred"))
    if classes is None or deltas is None:
        return None
    return 4 * math.prod(classes) / max(math.prod(deltas), 1)
