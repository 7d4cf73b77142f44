"""Outlines of COCO annotations: read in all forms, checked all at once, boxes and areas with them.

After the check an outline is a list of polygons, float64 [x1, y1, x2, y2, ...] in pixels, or one
compressed run-length mask of its image's size; nothing else reaches pycocotools, which trusts what
it is given. A polygon's numbers count from the corner of the first pixel.
"""

from itertools import chain
from typing import NamedTuple

import numpy as np
from pycocotools import mask as rle_tools

from mrcnn.data.via import FARTHEST, LONGEST
from siamese_mrcnn.data.rle import checked_run_lengths, damaged_texts

MOST_POLYGONS = 2_000  # of an outline: merging them takes time by the square
AT_ONCE = 2_000  # annotations, whose arrays stay in the cache of a processor
BOX_MARGIN = 2.0  # pixels that a box may differ from its mask; in COCO by one
AREA_FACTOR, CROWD_FACTOR = 1.5, 3.0  # that an area may differ; in COCO 1.3, of crowds 1.8
LIST_OF_LISTS = "a polygon must be a list [x1, y1, x2, y2, ...], and they a list [[...], ...]"
SMALL_SIDE, SMALL_AREA = 2.0, 4.0  # pixels: below, an outline may cover none


class AnnotationError(ValueError):
    """An annotation file, or one annotation in it, that cannot be used."""


class Findings(NamedTuple):
    """What checking outlines found, as positions in the list of annotations.

    Attributes:
        damaged: {position: why}, outlines that cannot be read.
        missing: those without an outline.
        empty: those whose outline covers no pixel.
        measured: those whose box or area did not fit, and was taken from the mask.
    """

    damaged: dict
    missing: list
    empty: list
    measured: list


def check_outlines(annotations, images, boxes_as_masks=False, draws_all=False):
    """Bring outlines, boxes and areas of annotations into one form, in place.

    Args:
        annotations: list of dicts; `segmentation`, `bbox` and `area` may be anything.
        images: {image id: image with checked `height` and `width`}.
        boxes_as_masks: take the box of an annotation that has no outline as its outline.
        draws_all: draw every outline, which takes minutes for all of COCO, not only those that may
            be empty or not fit their box or area.

    Returns:
        `Findings`.
    """
    findings, sizes_of = Findings({}, [], [], []), _Sizes(images)
    for first in range(0, len(annotations), AT_ONCE):
        polygons, codes, texts = [], [], []
        for position in range(first, min(first + AT_ONCE, len(annotations))):
            annotation = annotations[position]
            outline = annotation.get("segmentation")
            if type(outline) is list and outline and all(map(_is_plain, outline)):
                polygons.append(position)
                continue
            if _is_packed(outline, annotation, images):
                texts.append(position)
                continue
            try:
                outline = _one_form(outline, images, annotation)
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
                findings.damaged[position] = _reason(error)
                continue
            if not outline and boxes_as_masks:
                outline = _polygon_of_box(annotation.get("bbox"))
            annotation["segmentation"] = outline
            if not outline:
                findings.missing.append(position)
            else:
                (codes if isinstance(outline, dict) else polygons).append(position)
        if polygons:
            doubtful = _check_polygons(polygons, annotations, sizes_of, findings)
            drawn = [each for each in polygons if each not in findings.damaged]
            codes += drawn if draws_all else doubtful
        codes += _check_texts(texts, annotations, sizes_of, findings)
        if codes:
            _measure_masks(codes, annotations, sizes_of, findings)
    return findings


def run_lengths(outline, height, width):
    """A checked outline as one compressed run-length mask of its image."""
    if isinstance(outline, dict):
        return outline
    return rle_tools.merge(rle_tools.frPyObjects(outline, height, width))


# --- forms --------------------------------------------------------------------------------------


def _one_form(outline, images, annotation):
    """A list of polygons, a compressed run-length mask, or [] where there is nothing."""
    if outline is None or (isinstance(outline, str | list | dict) and not outline):
        return []
    if isinstance(outline, dict) and outline.get("counts", 0) in ("", [], None):
        return []
    image = images[annotation["image_id"]]
    size = image["height"], image["width"]
    if isinstance(outline, dict):
        return checked_run_lengths(outline, *size)
    if not isinstance(outline, list):
        raise ValueError(f"it must be polygons or run lengths, but is {outline!r:.40}")
    if any(isinstance(part, dict) and "counts" in part for part in outline):
        code = rle_tools.merge([checked_run_lengths(part, *size) for part in outline])
        return {"size": list(size), "counts": code["counts"].decode("ascii")}
    return [ring for ring in _rings(outline) if len(ring) >= 6]


def _is_packed(outline, annotation, images):
    """Whether an outline is a text of run lengths already, which many are checked of at once."""
    if type(outline) is not dict or type(outline.get("counts")) is not str or not outline["counts"]:
        return False
    image = images[annotation["image_id"]]
    return outline.get("size") == [image["height"], image["width"]]


def _check_texts(positions, annotations, sizes_of, findings):
    """Sort out texts of run lengths that cannot be decoded; the positions of the others."""
    texts = [annotations[position]["segmentation"]["counts"] for position in positions]
    pixels = sizes_of(positions, annotations).prod(axis=1).astype(np.int64)
    damaged = damaged_texts(texts, pixels)
    findings.damaged.update((positions[number], why) for number, why in damaged.items())
    return [position for n, position in enumerate(positions) if n not in damaged]


def _is_plain(part):
    return type(part) is np.ndarray and part.ndim == 1 and len(part) >= 6 and not len(part) & 1


def _rings(outline):
    """The polygons of a list of numbers, of lists of numbers, or of lists of such lists."""
    if all(np.ndim(part) == 0 for part in outline):
        return [_ring(outline)]  # one flat list
    parts = [np.asarray(part, np.float64) for part in outline]
    if len(parts) >= 3 and all(part.shape == (2,) for part in parts):
        raise ValueError(f"its points are lists of their own: {LIST_OF_LISTS}")
    rings = []
    for part in parts:
        rings += map(_ring, part) if part.ndim == 2 and part.shape[1] != 2 else [_ring(part)]
    return rings


def _ring(points):
    points = np.asarray(points, np.float64)
    if points.ndim != 1 or len(points) % 2:
        raise ValueError(LIST_OF_LISTS)
    return points


def _polygon_of_box(box):
    """The outline of a box [x, y, width, height]; nothing if it is none."""
    x, y, width, height = _boxes_of([box])[0]
    if np.isnan([x, y, width, height]).any():
        return []
    return [np.array([x, y, x + width, y, x + width, y + height, x, y + height])]


def _reason(error):
    """Why an outline cannot be read, without the words of a library."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, ValueError) and not str(error).startswith(("could not", "setting")):
        return str(error)
    return "it holds something other than numbers, or lists of different depth"


# --- polygons -----------------------------------------------------------------------------------


class _Extent(NamedTuple):
    """What is known of the polygons of N annotations without drawing them; pixels."""

    low: np.ndarray  # float64 [N, (x, y)]
    high: np.ndarray
    area: np.ndarray  # [N], overlaps counted twice
    length: np.ndarray  # [N], of all edges


def _check_polygons(positions, annotations, sizes_of, findings):
    """Sort out what must not be drawn; of the rest the positions whose masks are to be seen."""
    outlines = [annotations[position]["segmentation"] for position in positions]
    extent = _extent(outlines)
    inside = (extent.low > -FARTHEST).all(1) & (extent.high < FARTHEST).all(1)  # NaN is not
    short = extent.length <= LONGEST
    few = np.fromiter(map(len, outlines), np.int64) <= MOST_POLYGONS
    for number in np.flatnonzero(~(inside & short & few)).tolist():
        findings.damaged[positions[number]] = (
            f"it consists of {len(outlines[number])} polygons, more than {MOST_POLYGONS}"
            if not few[number]
            else "a polygon has points far outside the image, or that are no numbers"
            if not inside[number]
            else f"its edges are {extent.length[number]:.0f} pixels long, more than {LONGEST}"
        )
    sizes = sizes_of(positions, annotations)
    corner = np.minimum(extent.high, sizes[:, ::-1]) - np.maximum(extent.low, 0)
    doubtful = (corner < SMALL_SIDE).any(1) | (extent.area < SMALL_AREA)
    boxes, areas = _boxes_and_areas(positions, annotations)
    doubtful |= ~_is_near(boxes, np.hstack([extent.low, extent.high]))
    doubtful |= ~_is_like(areas, extent.area, AREA_FACTOR)
    return [positions[number] for number in np.flatnonzero(doubtful & inside & short & few)]


def _extent(outlines):
    parts = list(chain.from_iterable(outlines))
    points = np.concatenate(parts).reshape(-1, 2)
    ends = np.cumsum(np.fromiter(map(len, parts), np.int64) // 2)
    starts = np.concatenate([[0], ends[:-1]])
    counts = np.fromiter(map(len, outlines), np.int64)
    first = np.cumsum(counts) - counts  # polygon of each outline
    following = np.empty_like(points)
    following[:-1] = points[1:]
    following[ends - 1] = points[starts]
    with np.errstate(all="ignore"):  # what is no number is sorted out by the caller
        cross = points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]
        steps = np.abs(following - points)
        return _Extent(
            np.minimum.reduceat(points, starts[first]),
            np.maximum.reduceat(points, starts[first]),
            np.add.reduceat(np.abs(np.add.reduceat(cross, starts)) / 2, first),
            np.add.reduceat(np.maximum(steps[:, 0], steps[:, 1]), starts[first]),
        )


# --- masks --------------------------------------------------------------------------------------


def _measure_masks(positions, annotations, sizes_of, findings):
    """Find the masks that are empty, and boxes and areas that are not theirs."""
    sizes = sizes_of(positions, annotations).tolist()
    codes = [
        run_lengths(annotations[position]["segmentation"], int(height), int(width))
        for position, (height, width) in zip(positions, sizes, strict=True)
    ]
    true_areas = np.array([rle_tools.area(code) for code in codes], np.float64)  # lists overflow
    true_boxes = rle_tools.toBbox(codes).reshape(-1, 4)
    boxes, areas = _boxes_and_areas(positions, annotations)
    factor = [CROWD_FACTOR if annotations[each]["iscrowd"] else AREA_FACTOR for each in positions]
    corners = np.hstack([true_boxes[:, :2], true_boxes[:, :2] + true_boxes[:, 2:]])
    fits = _is_near(boxes, corners) & _is_like(areas, true_areas, np.array(factor))
    for number, position in enumerate(positions):
        if not true_areas[number]:
            findings.empty.append(position)
        elif not fits[number]:
            if any(annotations[position].get(key) is not None for key in ("area", "bbox")):
                findings.measured.append(position)
            annotations[position]["area"] = float(true_areas[number])
            annotations[position]["bbox"] = true_boxes[number].tolist()


class _Sizes:
    """(height, width) of the images of annotations, looked up for many at once."""

    def __init__(self, images):
        self._rows = {image_id: row for row, image_id in enumerate(images)}
        sides = [[image["height"], image["width"]] for image in images.values()]
        self._sides = np.array(sides, np.float64)

    def __call__(self, positions, annotations):
        """Of the annotations at these positions: float64 [N, 2]."""
        rows = [self._rows[annotations[position]["image_id"]] for position in positions]
        return self._sides[np.array(rows, np.int64)]


def _boxes_and_areas(positions, annotations):
    """What annotations say themselves, NaN where they say nothing: float64 [N, 4] and [N]."""
    boxes = [annotations[position].get("bbox") for position in positions]
    areas = [annotations[position].get("area") for position in positions]
    return _boxes_of(boxes), _floats(areas)


def _boxes_of(boxes):
    if any(type(box) is not list or len(box) != 4 for box in boxes):
        boxes = [box if type(box) is list and len(box) == 4 else [np.nan] * 4 for box in boxes]
    return _floats(chain.from_iterable(boxes)).reshape(-1, 4)


def _floats(values):
    values = list(values)
    if not set(map(type, values)) <= {int, float}:
        values = [value if type(value) in (int, float) else np.nan for value in values]
    try:
        return np.array(values, np.float64)
    except OverflowError:  # a whole number of hundreds of digits
        return np.array([np.nan if abs(value) > 1e300 else value for value in values], np.float64)


def _is_near(boxes, corners):
    """Whether boxes [x, y, width, height] are those of corners [x1, y1, x2, y2]."""
    given = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    return (np.abs(given - corners) <= BOX_MARGIN).all(axis=1)


def _is_like(areas, others, factor):
    return (areas > 0) & (areas <= factor * others + 1) & (factor * areas + 1 >= others)
