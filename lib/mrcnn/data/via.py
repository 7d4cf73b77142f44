"""Annotations of the VGG Image Annotator (VIA): outlines that people drew, and their labels.

Reads the JSON that VIA 1 and 2 export ("Annotations", "Export as JSON") and the projects that
VIA 2 saves. Every region becomes a polygon, rectangles, circles and ellipses included. Its
vertices are (y, x) in pixels, whole numbers in the middle of a pixel, as in `skimage.draw`.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.draw import polygon as pixels_of_polygon

PROJECT_IMAGES = "_via_img_metadata"  # where a project of VIA 2 keeps what an export consists of
ROUNDNESS = 0.05  # pixels between an ellipse and its polygon, at most


class ViaError(ValueError):
    """A file that cannot be used as VIA's annotations, with a sentence that says why."""


@dataclass(frozen=True)
class ViaRegion:
    """One region of an image.

    Attributes:
        polygon: float64 [N, (y, x)], its outline in pixels of the image.
        attributes: {name: value}, what was written about the region; may be empty.
        place: words that say where it stands, for messages.
    """

    polygon: np.ndarray
    attributes: dict
    place: str

    def label(self, attribute=None):
        """The value of an attribute as a text: that of a field, a choice, or the one tick.

        Args:
            attribute: its name; by default the only attribute that the region has.

        Raises:
            ViaError: there is no such attribute, no value, or more than one tick.
        """
        names = sorted(self.attributes)
        if attribute is None and len(names) != 1:
            raise ViaError(
                f"{self.place} has {len(names)} attributes ({', '.join(names) or 'none'}), so "
                "which one holds the label must be said: give its name."
            )
        name = names[0] if attribute is None else attribute
        value = self.attributes.get(name, "")
        if isinstance(value, dict):  # ticks of check boxes
            ticked = [choice for choice, tick in value.items() if tick]
            value = ticked[0] if len(ticked) == 1 else ""
        if not str(value).strip():
            raise ViaError(
                f"{self.place} needs one label in its attribute {name!r}, but has "
                f"{self.attributes.get(name)!r}. Its attributes are: {', '.join(names) or 'none'}."
            )
        return str(value).strip()


@dataclass(frozen=True)
class ViaImage:
    """One image: its file name as VIA has it, its regions, and what was written about the file."""

    filename: str
    regions: tuple[ViaRegion, ...]
    attributes: dict


def read_via(path):
    """Read annotations: a list of `ViaImage`, images without regions included.

    Raises:
        FileNotFoundError: there is no such file.
        ViaError: it is not of VIA 1 or 2, an image is named twice, or a region has no area, as
            points and lines have none.
    """
    images = [_image(key, entry, path) for key, entry in _entries(path).items()]
    counts = Counter(image.filename for image in images)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ViaError(
            f"{path} names an image more than once: {', '.join(twice)}. Keep one entry of each in "
            "VIA, and export again."
        )
    return images


def draw_masks(regions, shape):
    """The pixels whose middle lies in or on each region: bool [H, W, N].

    Args:
        regions: N `ViaRegion`; what lies outside of the image is cut off.
        shape: (height, width, ...) of the image.
    """
    masks = np.zeros((len(regions), *shape[:2]), bool)
    for mask, region in zip(masks, regions, strict=True):
        rows, columns = region.polygon.T
        mask[pixels_of_polygon(rows, columns, mask.shape)] = True
    return np.moveaxis(masks, 0, -1)


# --- the file -----------------------------------------------------------------------------------


def _entries(path):
    """{VIA's key of an image: what it says of it}."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} with annotations of VIA.")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ViaError(
            f"{path} is not JSON ({error}). In VIA, choose to export the annotations as JSON."
        ) from error
    entries = content.get(PROJECT_IMAGES, content) if isinstance(content, dict) else content
    if not isinstance(entries, dict) or not all(map(_is_image, entries.values())):
        raise ViaError(
            f"{path} does not hold annotations as VIA 1 or 2 exports them in JSON, an object of "
            'images with "filename" and "regions". COCO\'s format and VIA 3 are others.'
        )
    return entries


def _is_image(entry):
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("filename"), str)
        and isinstance(entry.get("regions", ()), dict | list | tuple)
    )


def _image(key, entry, path):
    regions = entry.get("regions", ())
    # VIA 1 numbers them by the keys of an object, VIA 2 has a list.
    numbered = regions.items() if isinstance(regions, dict) else enumerate(regions)
    name = entry["filename"]
    return ViaImage(
        name,
        tuple(_region(each, f"Region {number} of {name} in {path}") for number, each in numbered),
        dict(entry.get("file_attributes") or {}),
    )


def _region(entry, place):
    outline = entry.get("shape_attributes") if isinstance(entry, dict) else None
    kind = outline.get("name") if isinstance(outline, dict) else None
    if kind not in OUTLINES:
        raise ViaError(
            f"{place} has the shape {kind!r}, but a mask needs one that has an area: "
            f"{', '.join(OUTLINES)}. Draw it anew in VIA, or delete it."
        )
    names, outline_of = OUTLINES[kind]
    try:
        values = [np.asarray(outline[name], np.float64) for name in names]
        polygon = outline_of(*values, outline.get("theta", 0.0))
        usable = polygon.ndim == 2 and len(polygon) >= 3 and np.isfinite(polygon).all()
    except (KeyError, TypeError, ValueError) as error:
        raise ViaError(f"{place} is no {kind}, which needs {' and '.join(names)}.") from error
    if not usable:
        raise ViaError(f"{place} is no {kind}: it needs three points at least, all of numbers.")
    return ViaRegion(polygon, dict(entry.get("region_attributes") or {}), place)


# --- outlines -----------------------------------------------------------------------------------


def _polygon(x, y, turn):
    return np.stack([y, x], axis=-1)


def _rectangle(x, y, width, height, turn):
    return np.array([(y, x), (y, x + width), (y + height, x + width), (y + height, x)])


def _circle(x, y, radius, turn):
    return _ellipse(x, y, radius, radius, 0.0)


def _ellipse(x, y, x_radius, y_radius, turn):
    """A polygon on an ellipse that was turned clockwise, by radians."""
    radius = max(float(x_radius), float(y_radius), ROUNDNESS)
    # A chord of the angle a lies within radius * (1 - cos(a / 2)) of its arc.
    count = max(8, math.ceil(math.pi / math.acos(1 - min(ROUNDNESS / radius, 1))))
    angles = np.arange(count) * (2 * math.pi / count)
    along, across = x_radius * np.cos(angles), y_radius * np.sin(angles)
    right = along * math.cos(turn) - across * math.sin(turn)
    down = along * math.sin(turn) + across * math.cos(turn)
    return np.stack([y + down, x + right], axis=-1)


# What VIA calls its shapes: the names of their numbers, and how to make a polygon of them.
OUTLINES = {
    "polygon": (("all_points_x", "all_points_y"), _polygon),
    "rect": (("x", "y", "width", "height"), _rectangle),
    "circle": (("cx", "cy", "r"), _circle),
    "ellipse": (("cx", "cy", "rx", "ry"), _ellipse),
}
