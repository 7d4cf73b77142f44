"""Frames of films with what was found in them, drawn in milliseconds, without figures."""

from functools import lru_cache

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mrcnn.visualize import apply_mask, random_colors

TINT = 0.45
LARGEST, SMALLEST = 24, 11  # pixels of letters
LETTERS = 40  # of them the height of a frame has


def draw_frame(frame, boxes, masks, captions, numbers):
    """A frame with masks, boxes and captions over it.

    Args:
        frame: uint8 [height, width, 3].
        boxes: N (y1, x1, y2, x2), pixels.
        masks: N arrays bool [height, width], or None for the box alone.
        captions: N texts.
        numbers: N whole numbers from 0 on; the same number has the same colour in every frame.

    Returns:
        uint8 [height, width, 3], a new array.
    """
    drawn = np.array(frame)
    palette = random_colors(max(numbers, default=0) + 1)
    for mask, number in zip(masks, numbers, strict=True):
        if mask is not None:
            drawn = apply_mask(drawn, mask, palette[number], TINT)
    picture = Image.fromarray(drawn)
    pen, font = ImageDraw.Draw(picture), _font(len(frame))
    for (y1, x1, y2, x2), caption, number in zip(boxes, captions, numbers, strict=True):
        colour = tuple(int(255 * part) for part in palette[number])
        pen.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour, width=max(font.size // 8, 1))
        _write(pen, font, (x1, y1), caption, colour, frame.shape)
    return np.asarray(picture)


def _write(pen, font, corner, caption, colour, shape):
    """Write above the corner (x, y) of a box, or in it where there is no room."""
    if not caption:
        return
    _, _, width, height = pen.textbbox((0, 0), caption, font=font)
    x = max(min(corner[0], shape[1] - width), 0)
    y = corner[1] - height - 2 if corner[1] > height + 2 else corner[1]
    pen.rectangle((x, y, x + width + 2, y + height + 2), fill=colour)
    is_light = np.dot(colour, (0.299, 0.587, 0.114)) > 127
    pen.text((x + 1, y), caption, fill="black" if is_light else "white", font=font)


@lru_cache(maxsize=8)
def _font(height):
    path = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(path, int(np.clip(height / LETTERS, SMALLEST, LARGEST)))
