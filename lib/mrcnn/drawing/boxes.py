"""Boxes over their image: before and after refinement, as proposals, or written into pixels."""

import numpy as np

from mrcnn.drawing.canvas import (
    apply_mask,
    check_counts,
    draw_box_line,
    draw_caption,
    draw_outline,
    new_axes,
    present,
    random_colors,
    show_image,
    user_picture,
)
from mrcnn.images.masks import restore_mask

GREY = (0.5, 0.5, 0.5)
HIDDEN, DOTTED, SOLID = range(3)  # visibilities, by their numbers in `draw_boxes`
BAND = 2  # pixels of the line that `draw_box` writes into an image


def draw_boxes(
    image,
    boxes=None,
    refined_boxes=None,
    masks=None,
    captions=None,
    visibilities=None,
    title="",
    ax=None,
):
    """Draw boxes and what they became: dashed before, solid after, joined at the corner.

    Args:
        image: [height, width, 3].
        boxes: [N, (y1, x1, y2, x2)] pixels, before refinement; or None.
        refined_boxes: [N, 4] pixels, after it; or None. Rows of zeros are left out.
        masks: [height, width, N], or None.
        captions: N texts or more, or None.
        visibilities: N of 0 (grey and faint), 1 (coloured), 2 (coloured and solid); by default 1.
        title: text above the picture.
        ax: matplotlib axes to draw into; None makes a new picture.

    Returns:
        the figure drawn into.

    Raises:
        ValueError: there are no boxes at all, or the arguments differ in number.
    """
    before, after, count = _pairs(boxes, refined_boxes)
    check_counts(count, masks=masks, captions=captions, visibilities=visibilities)
    own = ax is None
    ax = new_axes(np.shape(image), make=user_picture) if own else ax
    colors = random_colors(count)
    levels = [DOTTED] * count if visibilities is None else [int(each) for each in visibilities]
    canvas = np.array(image)
    shown = [index for index in range(count) if _has_any(before, after, index)]
    for index in shown if masks is not None else ():
        canvas = apply_mask(canvas, masks[:, :, index], colors[index])
    show_image(ax, canvas, title)
    for index in shown:
        color = GREY if levels[index] == HIDDEN else colors[index]
        _draw_pair(ax, before, after, index, color, levels[index])
        if masks is not None:
            draw_outline(ax, masks[:, :, index], color)
        if captions is not None:
            place = after if _has_any(None, after, index) else before
            draw_caption(ax, place[index], captions[index], color, canvas.shape)
    return present(ax.figure) if own else ax.figure


def draw_rois(image, rois, refined_rois, mask, class_ids, class_names, limit=10):
    """Draw some RoIs as training sees them: grey negatives, coloured positives with their masks.

    Args:
        image: [height, width, 3].
        rois: [N, (y1, x1, y2, x2)] pixels; rows of zeros are padding.
        refined_rois: [N, 4] pixels, where the deltas move them.
        mask: [N, rows, columns], the mask target of each RoI, in whose box it is drawn.
        class_ids: int [N], 0 for negatives.
        class_names: names; the background's first.
        limit: how many to draw, taken at random.

    Returns:
        the figure. Prints how many RoIs are positive.
    """
    rois, class_ids = np.asarray(rois), np.asarray(class_ids)
    real = np.flatnonzero(np.any(rois != 0, axis=1))
    chosen = np.random.default_rng().permutation(real)[:limit]
    positive = class_ids[chosen] > 0
    masks = np.zeros((*np.shape(image)[:2], len(chosen)), bool)
    for place in np.flatnonzero(positive):
        index = chosen[place]
        masks[..., place] = restore_mask(mask[index], rois[index], image.shape)
    refined = np.where(positive[:, None], np.asarray(refined_rois)[chosen], 0)
    captions = [class_names[class_ids[index]] if class_ids[index] else "" for index in chosen]
    positives = int(np.sum(class_ids[real] > 0))
    print(f"Positive RoIs: {positives}. Negative RoIs: {len(real) - positives}.")
    print(f"Share of positives: {positives / max(len(real), 1):.2f}")
    return draw_boxes(
        image,
        boxes=rois[chosen],
        refined_boxes=refined,
        masks=masks,
        captions=captions,
        visibilities=np.where(positive, DOTTED, HIDDEN),
        title=f"{len(chosen)} of {len(real)} RoIs",
    )


def draw_box(image, box, color, style="solid"):
    """Draw the line of a box (y1, x1, y2, x2): into the pixels of an image, or into axes.

    Args:
        image: [height, width, 3], which is changed and returned; a line of 2 pixels lies inside
            the box. Or matplotlib axes.
        box: in pixels; what lies outside the image is cut off.
        color: (red, green, blue) in the numbers of the image; in axes, any colour of matplotlib.
        style: of the line in axes.

    Returns:
        the image, or None for axes.
    """
    if hasattr(image, "add_patch"):
        draw_box_line(image, box, color, style)
        return None
    height, width = image.shape[:2]
    y1, x1, y2, x2 = np.clip(np.asarray(box, np.int64), 0, [height, width, height, width])
    band_y, band_x = min(BAND, y2 - y1), min(BAND, x2 - x1)
    image[y1 : y1 + band_y, x1:x2] = color
    image[y2 - band_y : y2, x1:x2] = color
    image[y1:y2, x1 : x1 + band_x] = color
    image[y1:y2, x2 - band_x : x2] = color
    return image


def _pairs(boxes, refined_boxes):
    if boxes is None and refined_boxes is None:
        raise ValueError("draw_boxes needs boxes, refined_boxes or both, but got neither.")
    before = None if boxes is None else np.asarray(boxes).reshape(-1, 4)
    after = None if refined_boxes is None else np.asarray(refined_boxes).reshape(-1, 4)
    count = len(after if before is None else before)
    check_counts(count, refined_boxes=after)
    return before, after, count


def _has_any(before, after, index):
    return any(each is not None and np.any(each[index]) for each in (before, after))


def _draw_pair(ax, before, after, index, color, level):
    faint = 0.5 if level == HIDDEN else 1.0
    has_after = after is not None and np.any(after[index])
    if before is not None:
        style = "solid" if level == SOLID and not has_after else "dashed"
        draw_box_line(ax, before[index], color, style, faint)
    if has_after:
        draw_box_line(ax, after[index], color, "solid", faint)
    if has_after and before is not None:
        (y1, x1), (to_y, to_x) = before[index][:2], after[index][:2]
        ax.plot([x1, to_x], [y1, to_y], color=color, alpha=faint)
