"""Reading COCO annotation files, and turning one annotation into a mask."""

import contextlib
import io
import json
import logging
from pathlib import Path

import numpy as np
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from siamese_mrcnn.data.rle import checked_run_lengths, run_lengths_of

logger = logging.getLogger(__name__)

LISTS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id"),
    "categories": ("id", "name"),
}
FARTHEST = 100_000  # pixels; the rasteriser walks every edge, so one absurd point would stall it


class AnnotationError(ValueError):
    """An annotation file, or one annotation in it, that cannot be used."""


def read_annotations(path):
    """Read a COCO instance file without pycocotools' messages.

    Polygons become float64 arrays while reading, which halves the memory of train2017;
    pycocotools works on them as on lists. Annotations of unlisted images or categories are left
    out with a warning; missing `iscrowd`, `area` and `bbox` are filled in.

    Args:
        path: the JSON file.

    Returns:
        pycocotools COCO object.

    Raises:
        FileNotFoundError: if the file is missing.
        AnnotationError: if it is not JSON, not COCO, or lists no categories, images, annotations.
    """
    path = Path(path)
    return index_annotations(_parse(path), path)


def index_annotations(content, path):
    """What was parsed of a COCO instance file as a COCO object, as `read_annotations` makes it.

    Args:
        content: dict with the lists images, annotations and categories; changed in place.
        path: of the file, or of what else it was made of, for messages.

    Raises:
        AnnotationError: if it is not COCO, or lists no categories, images or annotations.
    """
    for name, keys in LISTS.items():
        _check_list(content, name, keys, path)
    _drop_orphans(content, path)
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    for annotation in content["annotations"]:
        _complete(annotation, coco.imgs[annotation["image_id"]])
    return coco


def decode_mask(annotation, image):
    """The pixels of one annotation.

    Args:
        annotation: COCO annotation with polygons, uncompressed or compressed run lengths.
        image: the COCO image entry, for height and width.

    Returns:
        bool [height, width]; all False if the outline covers no pixel or is missing.

    Raises:
        AnnotationError: if the outline is damaged or made for another image size.
    """
    height, width = image["height"], image["width"]
    if not has_outline(annotation):
        return np.zeros((height, width), bool)
    try:
        run_lengths = _run_lengths(annotation["segmentation"], height, width)
        return rle_tools.decode(run_lengths).view(bool)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise AnnotationError(
            f"The outline of {_name(annotation, image)} cannot be read: {error}. "
            "Correct or remove this annotation."
        ) from error


def has_outline(annotation):
    """Whether there is a run-length mask or a polygon of at least three points."""
    outline = annotation.get("segmentation")
    if isinstance(outline, dict):
        return bool(outline.get("counts"))
    return bool(outline) and (np.ndim(outline[0]) != 1 or any(len(part) >= 6 for part in outline))


def is_crowd(annotation):
    """Whether the annotation marks a region of many things rather than one."""
    return bool(annotation.get("iscrowd"))


def _run_lengths(outline, height, width):
    """One compressed run-length mask, of the size of the image."""
    if isinstance(outline, dict):
        return checked_run_lengths(outline, height, width)
    polygons = [polygon for polygon in map(_polygon, outline) if len(polygon) >= 6]
    return rle_tools.merge(rle_tools.frPyObjects(polygons, height, width))


def _polygon(points):
    points = np.asarray(points, np.float64)
    if points.ndim != 1 or len(points) % 2:
        raise ValueError("a polygon must be a list [x1, y1, x2, y2, ...]")
    if not np.all(np.abs(points) < FARTHEST):
        raise ValueError("a polygon has points far outside the image")
    return points


def _parse(path):
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no annotation file {path}. Expected a COCO file such as "
            "annotations/instances_train2017.json."
        )
    try:
        content = json.loads(path.read_text("utf-8-sig"), object_hook=_shrink_polygons)
    except ValueError as error:
        raise AnnotationError(
            f"{path} is not valid JSON ({error}). It may be cut off or still be an archive: "
            "download or unpack it again."
        ) from error
    if not isinstance(content, dict):
        raise AnnotationError(
            f"{path} is not a COCO file: expected an object with images, annotations and "
            f"categories, but it holds a {type(content).__name__}."
        )
    return content


def _shrink_polygons(entry):
    """Polygons as arrays, as soon as they are read; a damaged one stays for its user to report."""
    outline = entry.get("segmentation")
    if isinstance(outline, list):
        with contextlib.suppress(ValueError, TypeError):
            entry["segmentation"] = [np.array(part, np.float64) for part in outline]
    return entry


def _check_list(content, name, keys, path):
    entries = content.get(name)
    if not isinstance(entries, list):
        raise AnnotationError(
            f"{path} is not a COCO instance file: it has no list of {name}. Use a file like "
            "instances_train2017.json, not one with captions or image names only."
        )
    if not entries:
        raise AnnotationError(f"{path} lists no {name}, so there is nothing to learn or to find.")
    for position, entry in enumerate(entries):
        missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise AnnotationError(
                f"{path}: entry {position} of {name} lacks {', '.join(missing)}, which every "
                "COCO file gives."
            )


def _drop_orphans(content, path):
    """Leave out annotations of images or categories that the file does not list."""
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    kept = [
        annotation
        for annotation in content["annotations"]
        if annotation["image_id"] in images and annotation["category_id"] in categories
    ]
    dropped = len(content["annotations"]) - len(kept)
    if dropped:
        logger.warning(
            "%s: left out %d annotations of images or categories that it does not list.",
            path,
            dropped,
        )
    content["annotations"] = kept


def _complete(annotation, image):
    """Fill in what COCO's evaluation needs and other programs leave out."""
    annotation.setdefault("iscrowd", 0)
    if annotation.get("area") is not None and annotation.get("bbox") is not None:
        return
    try:
        mask = decode_mask(annotation, image)
    except AnnotationError:  # reported when the data set is indexed
        mask = np.zeros((1, 1), bool)
    run_lengths = run_lengths_of(mask)
    annotation["area"] = annotation.get("area") or float(rle_tools.area(run_lengths))
    annotation["bbox"] = annotation.get("bbox") or rle_tools.toBbox(run_lengths).tolist()


def _name(annotation, image):
    return f"annotation {annotation['id']} (image {image['id']}, {image['file_name']})"
