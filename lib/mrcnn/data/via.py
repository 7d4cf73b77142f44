"""Annotations of the VGG Image Annotator (VIA): outlines that people drew, and their labels.

Reads the JSON and the CSV that VIA 1 and 2 export ("Annotations", "Export ...") and the projects
that VIA 2 saves. Every region becomes a polygon, rectangles, circles and ellipses included. Its
vertices are (y, x) in pixels, whole numbers in the middle of a pixel, as in `skimage.draw`.
"""

import csv
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FARTHEST = 100_000  # pixels that an outline may reach from the corner of its image
LONGEST = 1_000_000  # pixels of all its edges: drawing walks each of them
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
        is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
        if not is_text or not str(value).strip():
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


def read_via(path, content=None):
    """Read annotations: a list of `ViaImage`, images without regions included.

    Args:
        path: of the JSON or CSV file.
        content: what was parsed of the JSON file already.

    Raises:
        FileNotFoundError: there is no such file.
        ViaError: it is not of VIA 1 or 2, an image is named twice, or a region has no area, as
            points and lines have none.
    """
    images = [_image(key, entry, path) for key, entry in _entries(Path(path), content).items()]
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
        _fill(mask, region.polygon)
    return np.moveaxis(masks, 0, -1)


# --- the file -----------------------------------------------------------------------------------


def _entries(path, content):
    """{VIA's key of an image: what it says of it}."""
    if content is None:
        content = _parsed(path)
    entries = content.get(PROJECT_IMAGES, content) if isinstance(content, dict) else content
    if not isinstance(entries, dict) or not all(map(_is_image, entries.values())):
        raise ViaError(
            f"{path} does not hold annotations as VIA 1 or 2 exports them in JSON, an object of "
            'images with "filename" and "regions". COCO\'s format and VIA 3 are others.'
        )
    return entries


def _parsed(path):
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} with annotations of VIA.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            return _entries_of_rows(csv.DictReader(text.splitlines()), path)
        return json.loads(text)
    except (ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, ViaError):
            raise
        raise ViaError(
            f"{path} is not JSON ({error}). In VIA, choose to export the annotations as JSON."
        ) from error


def _entries_of_rows(rows, path):
    """What an export as CSV, with a row for each region, would be as JSON."""
    entries = {}
    for number, row in enumerate(rows, start=2):
        row = {str(key).lstrip("#"): value for key, value in row.items()}
        try:
            entry = entries.setdefault(row["filename"], {"filename": row["filename"]})
            entry["file_attributes"], outline, attributes = (
                {} if row[key] == "" else json.loads(row[key])
                for key in ("file_attributes", "region_shape_attributes", "region_attributes")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ViaError(
                f"Line {number} of {path} is not as VIA writes it in CSV, with filename, "
                f"region_shape_attributes and region_attributes ({error}). Export it as JSON."
            ) from error
        if outline:  # an image without regions has a row as well
            region = {"shape_attributes": outline, "region_attributes": attributes}
            entry.setdefault("regions", []).append(region)
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
        _attributes(entry, "file_attributes", f"{name} in {path}"),
    )


def _attributes(entry, key, place):
    attributes = entry.get(key) or {}
    if not isinstance(attributes, dict):
        raise ViaError(f"{place} has the {key} {attributes!r:.40}, but an object is expected.")
    return dict(attributes)


def _region(entry, place):
    outline = entry.get("shape_attributes") if isinstance(entry, dict) else None
    kind = outline.get("name") if isinstance(outline, dict) else None
    if not isinstance(kind, str) or kind not in OUTLINES:
        raise ViaError(
            f"{place} has the shape {kind!r:.40}, but a mask needs one that has an area: "
            f"{', '.join(OUTLINES)}. Draw it anew in VIA, or delete it."
        )
    names, outline_of = OUTLINES[kind]
    try:
        values = [np.asarray(outline[name], np.float64) for name in names]
        turn = float(outline.get("theta", 0.0))
        if all((np.abs(value) < FARTHEST).all() for value in [*values, turn]):  # NaN is not
            polygon = outline_of(*values, turn)
            usable = polygon.ndim == 2 and len(polygon) >= 3
            usable = usable and np.abs(np.roll(polygon, 1, 0) - polygon).max(1).sum() <= LONGEST
        else:
            usable = False
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ViaError(f"{place} is no {kind}, which needs {' and '.join(names)}.") from error
    if not usable:
        raise ViaError(
            f"{place} is no {kind}: it needs three points at least, all of numbers, none "
            f"{FARTHEST} pixels away, and edges of no more than {LONGEST} pixels together."
        )
    return ViaRegion(polygon, _attributes(entry, "region_attributes", place), place)


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


def _fill(mask, polygon):
    """Set the pixels of a mask whose middle lies in (even-odd rule) or on a polygon.

    Row by row: the crossings of the edges with the rows' middles, in pairs from left to right.
    """
    height = mask.shape[0]
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    swapped = (begin[:, 0] > end[:, 0])[:, None]
    top, bottom = np.where(swapped, end, begin), np.where(swapped, begin, end)
    # An edge crosses the rows from its top on, its bottom excluded, so that corners count once.
    first = np.clip(np.ceil(top[:, 0]), 0, height).astype(np.int64)
    counts = np.maximum(np.clip(np.ceil(bottom[:, 0]), 0, height).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(polygon)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    part = (rows - top[edge, 0]) / (bottom[edge, 0] - top[edge, 0])
    columns = _snapped(top[edge, 1] + part * (bottom[edge, 1] - top[edge, 1]))
    order = np.lexsort((columns, rows))
    _fill_runs(mask, rows[order][::2], columns[order][::2], columns[order][1::2])
    # What only lies on the polygon: level edges, and corners where it turns back.
    level = (begin[:, 0] == end[:, 0]) & (begin[:, 0] == np.floor(begin[:, 0]))
    inside = (begin[:, 0] >= 0) & (begin[:, 0] < height)
    for chosen, other in ((level & inside, end), (inside & (begin % 1 == 0).all(1), begin)):
        columns = np.sort(np.stack([begin[chosen, 1], other[chosen, 1]]), axis=0)
        _fill_runs(mask, begin[chosen, 0].astype(np.int64), *columns)


def _fill_runs(mask, rows, first, last):
    """Set the pixels of rows whose middle lies between two columns, or on one."""
    if not len(rows):
        return
    width, top, bottom = mask.shape[1], rows.min(), rows.max() + 1
    first = np.clip(np.ceil(first), 0, width).astype(np.int64)
    last = np.clip(np.floor(last) + 1, 0, width).astype(np.int64)
    kept = last > first
    changes = np.zeros((bottom - top, width + 1), np.int32)
    np.add.at(changes, (rows[kept] - top, first[kept]), 1)
    np.add.at(changes, (rows[kept] - top, last[kept]), -1)
    mask[top:bottom] |= np.cumsum(changes, axis=1)[:, :width] > 0


def _snapped(columns):
    """Columns of crossings, those that rounding moved off the middle of a pixel put back."""
    whole = np.around(columns)
    return np.where(np.abs(columns - whole) < 1e-7, whole, columns)


# What VIA calls its shapes: the names of their numbers, and how to make a polygon of them.
OUTLINES = {
    "polygon": (("all_points_x", "all_points_y"), _polygon),
    "rect": (("x", "y", "width", "height"), _rectangle),
    "circle": (("cx", "cy", "r"), _circle),
    "ellipse": (("cx", "cy", "rx", "ry"), _ellipse),
}
