"""Reading COCO annotation files, checked once, and turning one annotation into a mask."""

import contextlib
import gc
import io
import json
from pathlib import Path

import numpy as np
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from siamese_mrcnn.data.annotation_check import check_content
from siamese_mrcnn.data.outlines import AnnotationError, run_lengths


@contextlib.contextmanager
def collector_paused():
    """Spare Python's search for cycles among millions of values that hold none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Annotations(COCO):
    """Checked annotations as a pycocotools object.

    Attributes:
        path: of the file, or of what else they were made of, for messages.
        image_order: ids of all annotated images in the order that the paper's training used.
    """

    @collector_paused()
    def __init__(self, content, path, boxes_as_masks=False, draws_all=False):
        """Check content, in place, and index it: arguments as of `check_content`."""
        super().__init__()
        self.path = Path(path)
        empty = check_content(content, path, boxes_as_masks, draws_all)
        self.dataset = content
        self.image_order = _paper_order(content)
        if empty:
            nothing = set(empty)
            annotations = enumerate(content["annotations"])
            content["annotations"] = [each for n, each in annotations if n not in nothing]
        with contextlib.redirect_stdout(io.StringIO()):
            self.createIndex()


def read_annotations(path, boxes_as_masks=False):
    """Read and check a COCO instance file: `Annotations`.

    Raises:
        FileNotFoundError: if the file is missing.
        AnnotationError: if it is not JSON, or cannot be used.
    """
    return Annotations(read_json(path), path, boxes_as_masks)


@collector_paused()
def read_json(path):
    """Parse a JSON file, outlines of COCO annotations as arrays, which halves their memory.

    Raises: as of `read_annotations`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no annotation file {path}. Expected a COCO file such as "
            "annotations/instances_train2017.json."
        )
    try:
        return json.loads(path.read_bytes(), object_hook=_shrink_polygons)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f"{path} is not valid JSON ({error}). It may be cut off or still be an archive: "
            "download or unpack it again."
        ) from error


def decode_mask(annotation, image):
    """The pixels of one checked annotation: bool [height, width].

    Args:
        annotation: of `Annotations`.
        image: the COCO image entry, for height and width.
    """
    code = run_lengths(annotation["segmentation"], image["height"], image["width"])
    return rle_tools.decode(code).view(bool)


def is_crowd(annotation):
    """Whether the annotation marks a region of many things rather than one."""
    return bool(annotation["iscrowd"])


def _shrink_polygons(entry):
    """Polygons as arrays, as soon as they are read; other outlines are left to the check."""
    outline = entry.get("segmentation")
    if isinstance(outline, list):
        try:
            entry["segmentation"] = [np.array(part, np.float64) for part in outline]
        except (ValueError, TypeError, OverflowError):
            return entry
    return entry


def _paper_order(content):
    """Ids of all annotated images in the order that the paper's training used.

    The original collected ids category by category and took them out of a set, so the order is
    CPython's for whole numbers; it decides which 3000 images are "the last".
    """
    shown = {category["id"]: [] for category in content["categories"]}
    for annotation in content["annotations"]:
        shown[annotation["category_id"]].append(annotation["image_id"])
    image_ids = []
    for category_id in sorted(shown):
        image_ids.extend(list(set(shown[category_id])))
    return list(set(image_ids))
