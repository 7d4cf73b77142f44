"""labelme's JSON files, one beside each picture, as the lists of a COCO file.

labelme counts points from the corner of the first pixel, as COCO does, in the picture as its EXIF
mark turns it. Shapes of one label and one group number are one instance.
"""

import base64
import io
import math

import numpy as np
from PIL import Image

from mrcnn.images.run_lengths import encode_mask
from siamese_mrcnn.data.annotation_check import MOST_PIXELS
from siamese_mrcnn.data.outlines import AnnotationError

CORNERS_OF_CIRCLE = 64


def is_labelme(content):
    """Whether parsed JSON is labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def labelme_content(files):
    """COCO's lists of labelme's files; images without height and width where a file lacks them.

    Args:
        files: {path of a JSON file: what was parsed of it}.

    Raises:
        AnnotationError: a file is not labelme's, or a shape has no area or no label.
    """
    images, annotations = [], []
    for number, (path, content) in enumerate(files.items(), start=1):
        if not is_labelme(content) or not isinstance(content.get("imagePath"), str):
            raise AnnotationError(
                f"{path} is not as labelme writes it, with shapes and imagePath. Keep only "
                "labelme's JSON files in this folder."
            )
        size = {"height": content.get("imageHeight"), "width": content.get("imageWidth")}
        images.append({"id": number, "file_name": content["imagePath"], **size})
        for instance in _instances(content, path):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **instance})
    names = sorted({annotation["category_id"] for annotation in annotations})
    number_of = {name: number for number, name in enumerate(names, start=1)}
    for annotation in annotations:
        annotation["category_id"] = number_of[annotation["category_id"]]
    categories = [{"id": number, "name": name} for name, number in number_of.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _instances(content, path):
    """Each instance with its label and outline, in the order of their first shapes."""
    grouped = {}
    for position, shape in enumerate(content["shapes"]):
        place = f"Shape {position} of {path}"
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label.strip():
            raise AnnotationError(f"{place} has the label {label!r}, but needs a text.")
        group = shape.get("group_id")
        key = (label.strip(), position if group is None else f"group {group}")
        grouped.setdefault(key, []).append(_outline(shape, content, place))
    for (label, _), outlines in grouped.items():
        one_kind = len({type(outline) for outline in outlines}) == 1
        if len(outlines) > 1 and not (one_kind and isinstance(outlines[0], list)):
            raise AnnotationError(f"{path}: a group of {label!r} holds masks; draw it as polygons.")
        yield {"category_id": label, "segmentation": outlines if one_kind else outlines[0]}


def _outline(shape, content, place):
    """A polygon [x, y, ...], or run lengths of a drawn mask."""
    kind = shape.get("shape_type") or "polygon"
    if kind not in (*SHAPES, "mask") or (kind == "mask" and "mask" not in shape):
        raise AnnotationError(
            f"{place} has the type {kind!r:.40}, but a mask needs one that has an area: "
            f"{', '.join(SHAPES)}, mask. Draw it anew in labelme, or delete it."
        )
    try:
        points = _points_of(shape)
        if kind == "mask":
            return _mask(shape["mask"], points, content)
        outline = SHAPES[kind](points)
    except ValueError as error:
        raise AnnotationError(f"{place} is no {kind}: {error}. Draw it anew.") from error
    return outline.reshape(-1).tolist()


def _points_of(shape):
    """float64 [N, (x, y)], at least one."""
    try:
        points = np.asarray(shape.get("points"), np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("its points must be pairs of numbers [x, y]")
    return points


def _polygon(points):
    if len(points) < 3:
        raise ValueError(f"it has {len(points)} points")
    return points


def _rectangle(points):
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])


def _circle(points):
    """From its middle and a point on it."""
    if len(points) != 2:
        raise ValueError(f"it has {len(points)} points, not its middle and one on it")
    middle, edge = points
    angles = np.arange(CORNERS_OF_CIRCLE) * (2 * math.pi / CORNERS_OF_CIRCLE)
    radius = math.hypot(*(edge - middle))
    return middle + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _mask(text, points, content):
    """Run lengths of a small mask picture, pasted with its corner at the first point."""
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if not (_is_side(height) and _is_side(width) and height * width <= MOST_PIXELS):
        raise ValueError(f"its picture is said to have {width!r} x {height!r} pixels")
    x, y = (int(side) for side in np.clip(points.min(axis=0), -1, MOST_PIXELS))
    if x < 0 or y < 0:
        raise ValueError("it begins outside of its picture")
    part = _decoded(text, height * width)
    whole = np.zeros((height, width), bool)
    place = whole[y : y + part.shape[0], x : x + part.shape[1]]
    place[...] = part[: place.shape[0], : place.shape[1]]
    return encode_mask(whole)


def _is_side(number):
    return type(number) is int and number > 0


def _decoded(text, most):
    """The pixels of a mask picture, bool [H, W], `most` of them at most."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            if picture.width * picture.height <= most:
                return np.asarray(picture.convert("L")) > 0
    except Image.DecompressionBombError:
        pass
    except Exception as error:  # what decoders raise for damaged files has no common class
        raise ValueError("its mask is no picture that can be decoded") from error
    raise ValueError(f"its mask has more than the {most} pixels of its picture")


# The types that have an area: how to make a polygon of their points.
SHAPES = {"polygon": _polygon, "rectangle": _rectangle, "circle": _circle}
