"""Weights files from one program's format to another's."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mrcnn.converters.formats import (
    HDF5_FORMATS,
    format_for,
    format_of,
    read_tensors,
    shapes_of,
    tensor_shapes,
    write_tensors,
)
from mrcnn.files import written_whole
from mrcnn.weights.hdf5 import LoadReport, WeightsError, read_shapes
from siamese_mrcnn.weights_info import WeightsInfo, change_layout, describe


@dataclass(frozen=True)
class Conversion:
    """What was converted, and what became of every tensor of the source."""

    info: WeightsInfo
    source_format: str
    target_format: str
    report: LoadReport


def convert(
    source, target, source_format=None, target_format=None, backbone=None, num_classes=None
):
    """Write the weights of a file in another format.

    Args:
        source: file of any of `mrcnn.converters.formats.FORMATS`, recognised by its content.
        target: file to write.
        source_format: the format that the source must have; any by default.
        target_format: "original", "keras" or "pytorch"; by default as the target's name says.
        backbone: say "resnet50", which the source must have; any by default.
        num_classes: of the source, background included; any by default.

    Returns:
        `Conversion`

    Raises:
        FileNotFoundError, WeightsError: the source cannot be read, is not complete, not as
            expected, or has no form in the target's format (`ConversionError`, with a report).
        ValueError: the target's name does not say or does not go with a format.
        ImportError: the target's format is PyTorch's, which is not installed.
    """
    target_format = target_format or format_for(target)
    found = format_of(source)
    changes_layout = {found, target_format} <= set(HDF5_FORMATS)
    if changes_layout:
        shapes = tensor_shapes(source, source_format)
    else:
        tensors, report = read_tensors(source, source_format)
        shapes = shapes_of(tensors)
    info = describe(shapes)
    _require(source, "backbone", info.backbone, backbone)
    _require(source, "number of classes", info.num_classes, num_classes)
    if changes_layout:
        change_layout(source, target, target_format)
        written = read_shapes(target)
        report = LoadReport(str(source), loaded=[name for name in shapes if name in written])
        report.unexpected = [name for name in shapes if name not in written]
    elif target_format == "keras":
        _write_keras(tensors, info, source, target)
    else:
        write_tensors(tensors, target, target_format)
    return Conversion(info, found, target_format, report)


def _require(source, what, found, expected):
    if expected not in (None, found):
        raise WeightsError(f"The {what} of {source} is {found}, not {expected}.")


def _write_keras(tensors, info, source, target):
    """Write a .weights.h5 file, which takes a model, by way of the original layout."""
    if info.kind == "backbone":
        raise WeightsError(
            f"The weights of {source} are not those of a whole Mask R-CNN, which a .weights.h5 "
            "file would need. Convert to a .h5 file, which holds any tensors."
        )
    with tempfile.TemporaryDirectory(dir=Path(target).absolute().parent) as folder:
        original = Path(folder) / "original.h5"
        write_tensors(tensors, original, "original")
        change_layout(original, target, "keras")


def write_report(report, path, **more):
    """Write what became of every tensor as JSON: used, left_over, missing, wrong_shape.

    Args:
        report: `LoadReport`.
        path: file to write.
        more: further entries, say target="W.pth".
    """
    entries = {
        "source": report.path,
        **more,
        "used": report.loaded,
        "left_over": report.unexpected,
        "missing": report.missing,
        "wrong_shape": report.wrong_shape,
    }
    with written_whole(path) as file:
        json.dump(entries, file, indent=2)
        file.write("\n")
