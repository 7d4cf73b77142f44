"""Instance masks: scaled, cut down to mini-masks, and put back into the image."""

import functools

import cv2
import numpy as np

from mrcnn.images.resize import resize, resize_exact


def resize_masks(masks, geometry):
    """Give masks the geometry of their prepared image, by nearest neighbours, zero padded.

    Args:
        masks: bool [H, W, N] (or [H, W]) of the original image.
        geometry: the `mrcnn.images.image.Geometry` of the image.

    Returns:
        bool [h, w, N] (or [h, w]).
    """
    masks = np.asarray(masks)
    _check_shape(masks, geometry)
    (rows, columns), (top, left) = _sources(geometry)
    prepared = np.zeros((*geometry.prepared_shape, *masks.shape[2:]), bool)
    inside = prepared[top : top + len(rows), left : left + len(columns)]
    inside[...] = masks[rows][:, columns]
    inside[rows < 0] = False
    inside[:, columns < 0] = False
    return prepared


def prepare_masks(masks, geometry, mini_shape=None):
    """Scale masks one by one, drop those that vanish, find boxes, and cut out mini-masks.

    Equal to `resize_masks`, `boxes_of_masks` and `minimize_masks`, but needs no more than one
    mask at a time and touches only the part of it that holds the instance.

    Args:
        masks: iterable of N masks, bool or 0/1 [H, W] of the original image.
        geometry: the `mrcnn.images.image.Geometry` of the image.
        mini_shape: (height, width) of the mini-masks; None: masks of the whole prepared image.

    Returns:
        boxes int32 [n, 4] in pixels of the prepared image; masks bool [height, width, n];
        kept int [n], the indices of the masks that did not vanish.
    """
    boxes, prepared, kept = [], [], []
    for index, mask in enumerate(masks):
        box, cutout = _prepare_mask(np.asarray(mask), geometry)
        if box is None:
            continue
        kept.append(index)
        boxes.append(box)
        if mini_shape is None:
            prepared.append(_paste(cutout, box, geometry.prepared_shape))
        else:
            prepared.append(_minimize(cutout, tuple(mini_shape)))
    shape = tuple(geometry.prepared_shape if mini_shape is None else mini_shape)
    stack = np.stack(prepared, axis=-1) if prepared else np.zeros((*shape, 0), bool)
    return np.array(boxes, np.int32).reshape(-1, 4), stack, np.array(kept, int)


def boxes_of_masks(masks):
    """The tightest box of each mask [H, W, N]: int32 [N, 4], zeros where a mask is empty."""
    masks = np.asarray(masks)
    boxes = np.zeros((masks.shape[-1], 4), np.int32)
    for index in range(masks.shape[-1]):
        box = _box_of_mask(masks[..., index])
        if box is not None:
            boxes[index] = box
    return boxes


def minimize_masks(masks, boxes, mini_shape):
    """Cut masks [H, W, N] by their boxes [N, 4] and scale to `mini_shape`: bool [h, w, N].

    Bilinear; a pixel belongs to the mini-mask from one half on.

    Raises:
        ValueError: for a box without area, as an empty mask has.
    """
    minis = np.zeros((*mini_shape, len(boxes)), bool)
    for index, (y1, x1, y2, x2) in enumerate(np.asarray(boxes)[:, :4]):
        cutout = masks[y1:y2, x1:x2, index]
        if cutout.size == 0:
            raise ValueError(
                f"Mask {index} has the box {[int(y1), int(x1), int(y2), int(x2)]}, which is "
                "empty: drop instances without pixels before making mini-masks."
            )
        minis[..., index] = _minimize(cutout, tuple(mini_shape))
    return minis


def expand_masks(minis, boxes, image_shape):
    """Put mini-masks [h, w, N] back to their boxes [N, 4] in the image: bool [H, W, N]."""
    masks = np.zeros((*image_shape[:2], minis.shape[-1]), bool)
    for index, box in enumerate(np.asarray(boxes)[:, :4]):
        masks[..., index] = restore_mask(minis[..., index], box, image_shape)
    return masks


def restore_mask(mask, box, image_shape, threshold=0.5):
    """Put one mask [h, w] of probabilities to its box in the image: bool [H, W].

    Bilinear, black outside of the mask, true from the threshold on. What lies outside of the
    image is cut off; a box without area gives an empty mask.
    """
    height, width = image_shape[:2]
    full = np.zeros((height, width), bool)
    y1, x1, y2, x2 = (int(side) for side in box)
    if y2 <= y1 or x2 <= x1:
        return full
    pixels = resize(mask, (y2 - y1, x2 - x1)) >= threshold
    top, left = max(-y1, 0), max(-x1, 0)
    cut = pixels[top : max(height - y1, 0), left : max(width - x1, 0)]
    full[y1 + top : y1 + top + cut.shape[0], x1 + left : x1 + left + cut.shape[1]] = cut
    return full


def _check_shape(mask, geometry):
    if mask.shape[:2] != tuple(geometry.original_shape):
        raise ValueError(
            f"A mask of {mask.shape[0]} x {mask.shape[1]} pixels does not belong to an image of "
            f"{geometry.original_shape[0]} x {geometry.original_shape[1]} pixels."
        )


def _sources(geometry):
    """Rows and columns to take from the original (-1: none), and where they begin inside."""
    lines = [
        _nearest(size, scaled)
        for size, scaled in zip(geometry.original_shape, geometry.scaled_shape, strict=True)
    ]
    if geometry.crop:
        y, x, height, width = geometry.crop
        return (lines[0][y : y + height], lines[1][x : x + width]), (0, 0)
    return lines, geometry.window[:2]


@functools.lru_cache(maxsize=256)
def _nearest(size, new_size):
    """Old index of each new one, as scipy.ndimage.zoom(order=0) picks it; increasing.

    The first and last pixels stay at the ends. Where rounding pushes the last one beyond the
    end, scipy writes 0: index -1.
    """
    step = (size - 1) / (new_size - 1) if new_size > 1 else 1.0
    places = np.arange(new_size) * step
    indices = np.floor(places + 0.5).astype(np.intp)
    indices[places > size - 1] = -1
    indices.setflags(write=False)
    return indices


def _prepare_mask(mask, geometry):
    """Box of the scaled mask in the prepared image and what is inside, or (None, None)."""
    _check_shape(mask, geometry)
    box = _box_of_mask(mask)
    if box is None:
        return None, None
    (rows, columns), (top, left) = _sources(geometry)
    inside_rows = np.flatnonzero((rows >= box[0]) & (rows < box[2]))
    inside_columns = np.flatnonzero((columns >= box[1]) & (columns < box[3]))
    if not len(inside_rows) or not len(inside_columns):
        return None, None
    cutout = _take(mask, rows[inside_rows], columns[inside_columns])
    tight = _box_of_mask(cutout)
    if tight is None:
        return None, None
    y, x = top + inside_rows[0], left + inside_columns[0]
    y1, x1, y2, x2 = tight
    return (y + y1, x + x1, y + y2, x + x2), cutout[y1:y2, x1:x2]


def _take(mask, rows, columns):
    """Rows and columns of a mask, line by line in the order in which it lies in memory."""
    if mask.flags.f_contiguous:
        return mask.T[columns].take(rows, axis=1).T
    return mask[rows].take(columns, axis=1)


def _box_of_mask(mask):
    """(y1, x1, y2, x2) of one mask [H, W], None if it is empty."""
    pixels = _as_bytes(mask)
    if pixels.flags.f_contiguous:
        y, x, height, width = cv2.boundingRect(pixels.T)
    else:
        x, y, width, height = cv2.boundingRect(np.ascontiguousarray(pixels))
    return (y, x, y + height, x + width) if height and width else None


def _as_bytes(mask):
    return mask.view(np.uint8) if mask.dtype.itemsize == 1 else (mask != 0).view(np.uint8)


def _minimize(cutout, mini_shape):
    return resize_exact(cutout, mini_shape) >= 0.5


def _paste(cutout, box, shape):
    full = np.zeros(shape, bool)
    full[box[0] : box[2], box[1] : box[3]] = cutout
    return full
