"""COCO's run-length masks, checked before pycocotools decodes them.

Run lengths count pixels down the columns: of 0, of 1, of 0, and so on. pycocotools leaves pixels
that a cut-off mask does not mention to chance, so what does not add up is refused here.
"""

import numpy as np
from pycocotools import mask as rle_tools

MOST_GROUPS = 7  # of five bits, of a number


def checked_run_lengths(outline, height, width):
    """A COCO run-length mask in pycocotools' compressed form, its counts as text.

    Args:
        outline: {"size": [height, width], "counts": list of numbers, str or bytes}.
        height, width: of the image.

    Raises:
        ValueError: if sizes or run lengths do not fit the image.
    """
    size = [_whole(side) for side in outline["size"]]
    if size != [height, width]:
        swapped = " (height and width are exchanged)" if size == [width, height] else ""
        raise ValueError(
            f"it is for an image of {size} (height, width), not {[height, width]}{swapped}"
        )
    plain = not isinstance(outline["counts"], str | bytes)
    counts = np.array(outline["counts"], np.float64) if plain else expand_counts(outline["counts"])
    pixels = height * width
    # The largest is looked at as well, since a sum may overflow.
    adds_up = counts.ndim == 1 and len(counts) and (counts >= 0).all() and (counts <= pixels).all()
    if not adds_up or counts.sum() != pixels or (counts != np.floor(counts)).any():
        raise ValueError(f"its run lengths must add up to the image's {pixels} pixels")
    code = outline["counts"]
    if plain:
        listed = {"size": size, "counts": counts.astype(np.int64).tolist()}
        code = rle_tools.frPyObjects(listed, height, width)["counts"]
    return {"size": size, "counts": code.decode("ascii") if isinstance(code, bytes) else code}


def expand_counts(compressed):
    """Run lengths, int64 [N], from COCO's compressed text.

    Each number is written in groups of five bits, lowest first, one character (from code 48) a
    group, bit 32 marking that another follows; from the fourth on it is the difference to the
    number two places before.

    Raises:
        ValueError: the text is damaged.
    """
    groups, _, _, damaged = _groups([compressed])
    if damaged:
        raise ValueError(damaged[0])
    return _numbers(groups, np.zeros(1, np.int64))[0]


def damaged_texts(texts, pixels):
    """Why compressed run lengths cannot be decoded, many at once: {index: why}.

    Args:
        texts: list of str.
        pixels: int64 [N], that the run lengths of each must add up to.
    """
    groups, kept, starts, damaged = _groups(texts)
    if len(kept):
        counts, first = _numbers(groups, starts)
        expected = np.asarray(pixels)[kept]
        # The largest is looked at as well, since a sum may overflow.
        wrong = np.minimum.reduceat(counts, first) < 0
        wrong |= np.maximum.reduceat(counts, first) > expected
        wrong |= np.add.reduceat(counts, first) != expected
        for index in kept[wrong].tolist():
            damaged[index] = f"its run lengths must add up to the image's {pixels[index]} pixels"
    return damaged


def _groups(texts):
    """The groups of texts one after the other, of those that are whole.

    Returns:
        groups int64; indices of the texts that they are of; where each begins; {index: why} of the
        other texts.
    """
    # Halves of characters pass, to be found strange like others.
    parts = [t.encode("utf-8", "surrogatepass") if isinstance(t, str) else t for t in texts]
    lengths = np.array(list(map(len, parts)), np.int64)
    groups = np.frombuffer(b"".join(parts), np.uint8).astype(np.int64) - 48
    owner = np.repeat(np.arange(len(parts)), lengths)
    strange = np.bincount(owner[(groups < 0) | (groups > 63)], minlength=len(parts)) > 0
    last = np.cumsum(lengths) - 1
    cut_off = lengths == 0
    cut_off[~cut_off] = groups[last[~cut_off]] & 32 != 0
    follows = np.cumsum(np.concatenate([[0], (groups & 32) != 0]))  # so far, which may follow
    ends = np.flatnonzero((groups & 32) == 0)
    runs = np.diff(follows[ends], prepend=0)  # groups of a number that another follows
    large = np.bincount(owner[ends[runs > MOST_GROUPS - 1]], minlength=len(parts)) > 0
    damaged = {}
    for wrong, why in (
        (large, "its run lengths hold numbers that are too large"),
        (cut_off, "its run lengths are cut off"),
        (strange, "its run lengths hold characters that do not belong there"),
    ):
        damaged |= dict.fromkeys(np.flatnonzero(wrong).tolist(), why)
    whole = ~(large | cut_off | strange)
    starts = np.cumsum(np.where(whole, lengths, 0)) - lengths
    return groups[whole[owner]], np.flatnonzero(whole), starts[whole], damaged


def _numbers(groups, starts):
    """Run lengths int64 of texts whose groups begin at `starts`, and where each text's begin."""
    ends = np.flatnonzero((groups & 32) == 0)
    begins = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - begins + 1
    place = np.arange(len(groups)) - np.repeat(begins, lengths)
    counts = np.add.reduceat((groups & 31) << (5 * place), begins)
    counts -= np.where(groups[ends] & 16, np.int64(1) << (5 * lengths), 0)  # the sign
    first = np.searchsorted(begins, starts)
    local = np.arange(len(counts)) - np.repeat(first, np.diff(first, append=len(counts)))
    for chain in (local % 2 == 1, (local % 2 == 0) & (local > 0)):
        sums = np.cumsum(np.where(chain, counts, 0))
        before = np.concatenate([[0], sums])[first]
        sums -= np.repeat(before, np.diff(first, append=len(counts)))
        counts = np.where(chain, sums, counts)
    return counts, first


def _whole(number):
    """A whole number of a number or its text."""
    if isinstance(number, bool) or float(number) != int(float(number)):
        raise ValueError(f"its size holds {number!r}, which is no whole number")
    return int(float(number))
