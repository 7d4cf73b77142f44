"""A picture that shows what to find, and where in it."""

import os
from dataclasses import dataclass
from typing import Any

from mrcnn.images.image import ImageError, read_image, to_rgb


@dataclass(frozen=True, eq=False)  # arrays compare cell by cell
class Reference:
    """A thing as somebody shows it.

    Args:
        picture: array [height, width(, channels)], or the path of a file, which is turned upright.
        box: (y1, x1, y2, x2) of the thing in whole pixels, y2 and x2 outside; None: all of it.
    """

    picture: Any
    box: tuple | None = None

    def crop(self):
        """The thing cut out: uint8 [height, width, 3].

        Raises:
            ImageError: the picture is none, or the box does not fit it.
        """
        is_path = isinstance(self.picture, str | os.PathLike)
        picture = read_image(self.picture, upright=True) if is_path else to_rgb(self.picture)
        if self.box is None:
            return picture
        y1, x1, y2, x2 = self.box
        height, width = picture.shape[:2]
        if not (0 <= y1 < y2 <= height and 0 <= x1 < x2 <= width):
            name = f" {self.picture}" if is_path else ""
            raise ImageError(
                f"The box {y1},{x1},{y2},{x2} does not fit the reference{name} of {height} x "
                f"{width} pixels (height x width). Give y1,x1,y2,x2 inside it."
            )
        return picture[y1:y2, x1:x2]


def references_of(pictures, boxes=None):
    """Pictures and a box for each, or none at all, as a list of `Reference`.

    Raises:
        ValueError: not one box for each picture.
    """
    if boxes and len(boxes) != len(pictures):
        raise ValueError(
            f"{len(pictures)} references need as many --box, or none, but got {len(boxes)}."
        )
    boxes = boxes or [None] * len(pictures)
    return [Reference(*each) for each in zip(pictures, boxes, strict=True)]
