"""An image with its instances: tinted masks, outlines, boxes, captions."""

import numpy as np

from mrcnn.drawing.canvas import (
    apply_mask,
    check_counts,
    draw_box_line,
    draw_caption,
    draw_outline,
    grid_axes,
    new_axes,
    present,
    random_colors,
    show_image,
    user_picture,
)
from mrcnn.metrics import compute_matches

TRUTH, PREDICTION = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)


def display_instances(
    image,
    boxes,
    masks,
    class_ids,
    class_names,
    scores=None,
    title="",
    figsize=None,
    ax=None,
    show_mask=True,
    show_bbox=True,
    colors=None,
    captions=None,
    filled=True,
):
    """Draw instances over their image: tinted masks with outlines, boxes, captions.

    Args:
        image: uint8 [height, width, 3].
        boxes: [N, (y1, x1, y2, x2)] pixels; boxes without area are left out.
        masks: [height, width, N], or None.
        class_ids: [N], index into class_names.
        class_names: names; the background's first.
        scores: [N] in 0..1, or None. Of scores, colors and captions there may be more than N.
        title: text above the picture.
        figsize: (width, height) in inches of a new picture; by default as the image's sides.
        ax: matplotlib axes to draw into; None makes a new picture.
        show_mask, show_bbox: what to draw.
        colors: N tuples in 0..1; by default `random_colors`.
        captions: N texts in place of class name and score; None or "" writes nothing.
        filled: False draws the outlines of masks alone.

    Returns:
        the figure drawn into.

    Raises:
        ValueError: boxes, masks, ids, scores, colors or captions differ in number.
    """
    boxes = np.asarray(boxes).reshape(-1, 4)
    masks = masks if show_mask else None
    colors = random_colors(len(boxes)) if colors is None else colors
    texts = {"scores": scores, "colors": colors, "captions": captions}
    check_counts(len(boxes), masks=masks, class_ids=class_ids, **texts)
    if captions is None:
        captions = _captions(class_ids, class_names, scores)
    own = ax is None
    ax = new_axes(image.shape, figsize, user_picture) if own else ax
    shown = [index for index, (y1, x1, y2, x2) in enumerate(boxes) if y2 > y1 and x2 > x1]
    canvas = np.array(image)
    for index in shown if masks is not None and filled else ():
        canvas = apply_mask(canvas, masks[:, :, index], colors[index])
    show_image(ax, canvas, title)
    for index in shown:
        if masks is not None:
            draw_outline(ax, masks[:, :, index], colors[index])
        if show_bbox:
            draw_box_line(ax, boxes[index], colors[index])
    for index in reversed(shown):  # after all lines; the first, the best, on top
        draw_caption(ax, boxes[index], captions[index], colors[index], image.shape)
    return present(ax.figure) if own else ax.figure


def display_images(
    images, titles=None, cols=4, cmap=None, norm=None, interpolation=None, figsize=None
):
    """Draw images side by side, `cols` in a row; `cmap`, `norm`, `interpolation` as imshow's.

    Without images, say where nothing was found, the figure stays empty.
    """
    images = list(images)
    titles = list(titles) if titles is not None else [""] * len(images)
    if len(titles) != len(images):
        raise ValueError(f"{len(images)} images need as many titles, but got {len(titles)}.")
    if not images:
        return present(user_picture(figsize=figsize))
    axes = grid_axes([image.shape for image in images], cols, figsize, user_picture)
    for ax, image, title in zip(axes, images, titles, strict=True):
        show_image(ax, image, title, cmap=cmap, norm=norm, interpolation=interpolation)
    return present(axes[0].figure)


def display_differences(
    image,
    gt_box,
    gt_class_id,
    gt_mask,
    pred_box,
    pred_class_id,
    pred_score,
    pred_mask,
    class_names,
    title="",
    ax=None,
    show_mask=True,
    show_box=True,
    iou_threshold=0.5,
    score_threshold=0.5,
):
    """Draw the truth green and the predictions red, these with their score and overlap.

    Args:
        image: [height, width, 3].
        gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask,
            iou_threshold, score_threshold: as of `mrcnn.metrics.compute_matches`.
        class_names, ax, show_mask: as of `display_instances`; show_box: whether to draw boxes.
        title: text above the picture; by default it explains the captions.

    Returns:
        the figure drawn into.
    """
    order = np.argsort(pred_score)[::-1]
    instances = (gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask)
    _, matches, overlaps = compute_matches(*instances, iou_threshold, score_threshold)
    reached = [
        row[int(match)] if match >= 0 else row.max(initial=0)
        for match, row in zip(matches, overlaps, strict=True)
    ]
    captions = [
        f"{score:.2f} / {overlap:.2f}"
        for score, overlap in zip(np.asarray(pred_score)[order], reached, strict=True)
    ]
    return display_instances(
        image,
        np.concatenate([gt_box, np.asarray(pred_box)[order]]),
        np.concatenate([gt_mask, pred_mask[..., order]], axis=-1),
        np.concatenate([gt_class_id, np.asarray(pred_class_id)[order]]).astype(int),
        class_names,
        title=title or "Truth (green) and predictions (red, score / overlap)",
        ax=ax,
        show_mask=show_mask,
        show_bbox=show_box,
        colors=[TRUTH] * len(gt_box) + [PREDICTION] * len(order),
        captions=[""] * len(gt_box) + captions,
    )


def display_top_masks(image, mask, class_ids, class_names, limit=4):
    """Draw an image beside the masks of its `limit` classes that cover most, a class a picture.

    Args:
        image: [height, width, 3].
        mask: [height, width, N].
        class_ids: int [N].
        class_names: names; the background's first.

    Returns:
        the figure.
    """
    mask, class_ids = np.asarray(mask), np.asarray(class_ids)
    present_ids = [each for each in np.unique(class_ids) if each > 0]
    areas = {each: np.count_nonzero(mask[..., class_ids == each]) for each in present_ids}
    top = sorted(present_ids, key=lambda each: -areas[each])[:limit]
    images, titles = [image], [f"{image.shape[0]} x {image.shape[1]} pixels"]
    for number in range(limit):
        chosen = class_ids == top[number] if number < len(top) else np.zeros(len(class_ids), bool)
        numbered = np.where(mask[..., chosen], np.arange(1, chosen.sum() + 1), 0)
        images.append(numbered.max(axis=-1, initial=0))
        titles.append(class_names[top[number]] if number < len(top) else "-")
    return display_images(images, titles, cols=limit + 1, cmap="Blues_r")


def _captions(class_ids, class_names, scores):
    names = [class_names[class_id] for class_id in class_ids]
    if scores is None:
        return names
    return [f"{name} {score:.2f}".strip() for name, score in zip(names, scores, strict=False)]
