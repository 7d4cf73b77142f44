"""COCO's run-length masks: made of masks, and checked before pycocotools decodes them.

Run lengths count pixels down the columns: of 0, of 1, of 0, and so on. pycocotools leaves pixels
that a cut-off mask does not mention to chance, so what does not add up is refused here.
"""

import cv2
import numpy as np
from pycocotools import mask as rle_tools


def run_lengths_of(mask):
    """The run lengths of a mask [height, width] bool, in pycocotools' compressed form."""
    pixels = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
    # Column by column, as run lengths count: OpenCV turns a mask in a tenth of numpy's time.
    return rle_tools.encode(cv2.transpose(pixels).T)


def checked_run_lengths(outline, height, width):
    """A COCO run-length mask in pycocotools' compressed form.

    Args:
        outline: {"size": [height, width], "counts": list, str or bytes}.
        height, width: of the image.

    Raises:
        ValueError: if sizes or run lengths do not fit the image.
    """
    if list(outline["size"]) != [height, width]:
        raise ValueError(
            f"it is for an image of {list(outline['size'])} (height, width), not {[height, width]}"
        )
    plain = isinstance(outline["counts"], list)
    counts = np.array(outline["counts"]) if plain else expand_counts(outline["counts"])
    if counts.min(initial=0) < 0 or counts.sum() != height * width:
        raise ValueError(f"its run lengths must add up to the image's {height * width} pixels")
    return rle_tools.frPyObjects(outline, height, width) if plain else outline


def expand_counts(compressed):
    """Run lengths, int64 [N], from COCO's compressed text.

    Each number is written in groups of five bits, lowest first, one character (from code 48) a
    group, bit 32 marking that another follows; from the fourth on it is the difference to the
    number two places before.
    """
    data = compressed.encode("ascii") if isinstance(compressed, str) else compressed
    groups = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((groups & 32) == 0)
    if not len(ends) or ends[-1] != len(groups) - 1:
        raise ValueError("its run lengths are cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    place = np.arange(len(groups)) - np.repeat(starts, lengths)
    if groups.min() < 0 or groups.max() > 63 or place.max() > 6:
        raise ValueError("its run lengths hold characters that do not belong there")
    counts = np.add.reduceat((groups & 31) << (5 * place), starts)
    counts -= np.where(groups[ends] & 16, np.int64(1) << (5 * lengths), 0)  # the sign
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
