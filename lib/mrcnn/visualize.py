"""Pictures of boxes, masks and captions, drawn with matplotlib's Figure alone.

No window is opened and pyplot is not used: every function returns a `Picture`, which a notebook
shows and `savefig` writes. A given `ax` is drawn into, whoever made it.
"""

import colorsys
import io
import math
import os

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from skimage.measure import find_contours

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2  # steps of it round the colour circle never come close
BOX_LINE = 1.6  # points
CAPTION_SIZE = 9  # points
TITLE_SIZE = 12  # points
CELL_WIDTH = 3.6  # inches of a picture in a grid
TITLE_HEIGHT = 0.4  # inches above it
HIGHEST_CELL = 1.2  # height / width of a picture in a grid, at most


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself."""

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def write(self, path, dpi=150):
        """Save as PNG, PDF or what else the ending says, making the folder; returns the path."""
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        self.savefig(path, dpi=dpi)
        return path


def random_colors(count, bright=True, rng=None):
    """Colours that differ from their neighbours, as `count` tuples (red, green, blue) in 0..1.

    The colours are always the same, unless a numpy generator is given to shuffle them.
    """
    hues = [(0.56 + number * GOLDEN_RATIO) % 1 for number in range(count)]
    colors = [colorsys.hsv_to_rgb(hue, 0.85, 1.0 if bright else 0.7) for hue in hues]
    return [colors[i] for i in rng.permutation(count)] if rng is not None else colors


def apply_mask(image, mask, color, alpha=0.5):
    """Tint the pixels of an image where a mask is set.

    Args:
        image: uint8 [height, width, 3]; left as it is.
        mask: [height, width], set where not 0.
        color: (red, green, blue) in 0..1.
        alpha: 0 changes nothing, 1 covers.

    Returns:
        uint8 [height, width, 3].
    """
    tinted = np.array(image)
    inside = np.asarray(mask).astype(bool)
    blend = (1 - alpha) * tinted[inside] + alpha * 255 * np.asarray(color)
    tinted[inside] = blend.round().astype(tinted.dtype)
    return tinted


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
        scores: [N] in 0..1, or None.
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
    colors = colors or random_colors(len(boxes))
    if captions is None:
        captions = _captions(class_ids, class_names, scores)
    _check_counts(len(boxes), masks, class_ids, scores, colors, captions)
    ax = ax if ax is not None else new_axes(image.shape, figsize)
    shown = [index for index, (y1, x1, y2, x2) in enumerate(boxes) if y2 > y1 and x2 > x1]
    canvas = image
    for index in shown if masks is not None and filled else ():
        canvas = apply_mask(canvas, masks[:, :, index], colors[index])
    show_image(ax, canvas, title)
    for index in shown:
        if masks is not None:
            draw_outline(ax, masks[:, :, index], colors[index])
        if show_bbox:
            draw_box(ax, boxes[index], colors[index])
    for index in reversed(shown):  # after all lines; the first, the best, on top
        draw_caption(ax, boxes[index], captions[index], colors[index], image.shape)
    return ax.figure


def display_images(
    images, titles=None, cols=4, cmap=None, norm=None, interpolation=None, figsize=None
):
    """Draw images side by side, `cols` in a row; `cmap`, `norm`, `interpolation` as imshow's."""
    images = list(images)
    titles = list(titles) if titles is not None else [""] * len(images)
    if len(titles) != len(images):
        raise ValueError(f"{len(images)} images need as many titles, but got {len(titles)}.")
    axes = grid_axes([image.shape for image in images], cols, figsize)
    for ax, image, title in zip(axes, images, titles, strict=True):
        show_image(ax, image, title, cmap=cmap, norm=norm, interpolation=interpolation)
    return axes[0].figure


def new_axes(shape, figsize=None):
    """The axes of a new picture in the proportions of an image [height, width, ...]."""
    height, width = shape[:2]
    scale = 8 / max(height, width)  # inches
    figure = Picture(
        figsize=figsize or (max(width * scale, 2), max(height * scale, 2)), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04)
    return figure.add_subplot()


def grid_axes(shapes, columns, figsize=None):
    """Axes of a new picture for images of the shapes [height, width, ...], row by row.

    Raises:
        ValueError: there is nothing to draw.
    """
    count = len(shapes)
    if count < 1 or columns < 1:
        raise ValueError(f"A grid needs images and columns, but got {count} and {columns}.")
    columns = min(columns, count)
    relative = [min(shape[0] / shape[1], HIGHEST_CELL) for shape in shapes]
    heights = [
        CELL_WIDTH * max(relative[first : first + columns]) + TITLE_HEIGHT
        for first in range(0, count, columns)
    ]
    figure = Picture(figsize=figsize or (columns * CELL_WIDTH, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    return [figure.add_subplot(grid[divmod(number, columns)]) for number in range(count)]


def show_image(ax, image, title="", **keywords):
    """Show an image without ticks, its pixels where boxes expect them: (0, 0) is a corner."""
    height, width = image.shape[:2]
    ax.imshow(image, extent=(0, width, height, 0), **keywords)
    ax.set_axis_off()
    if title:
        ax.set_title(title, fontsize=TITLE_SIZE)


def draw_box(ax, box, color, style="solid"):
    """Draw the line of a box (y1, x1, y2, x2) in pixels."""
    y1, x1, y2, x2 = map(float, box)
    ax.add_patch(
        Rectangle(
            (x1, y1),
            x2 - x1,
            y2 - y1,
            fill=False,
            edgecolor=color,
            linewidth=BOX_LINE,
            linestyle=style,
        )
    )


def draw_outline(ax, mask, color):
    """Draw the line around every part and hole of a mask [height, width]."""
    for corners in outlines(mask):
        ax.add_patch(PathPatch(Path(corners), fill=False, edgecolor=color, linewidth=BOX_LINE))


def outlines(mask):
    """The closed lines around a mask's parts and holes, each [corners, (x, y)] in pixels."""
    rows, columns = np.nonzero(np.any(mask, axis=1))[0], np.nonzero(np.any(mask, axis=0))[0]
    if not len(rows):
        return []
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    padded = np.pad(np.asarray(part, dtype=np.float32), 1)  # closes lines at the image's border
    shift = np.array([rows[0] - 0.5, columns[0] - 0.5])  # pixel centres; the padding
    return [(line + shift)[:, ::-1] for line in find_contours(padded, 0.5)]


def draw_caption(ax, box, text, color, shape):
    """Write above the upper left corner of a box, kept inside an image [height, width, ...]."""
    if not text:
        return
    height, width = shape[:2]
    y1, x1 = max(float(box[0]), 0), max(float(box[1]), 0)
    below = y1 < 0.06 * height  # no room above
    leftwards = x1 > 0.8 * width  # no room to the right
    ax.annotate(
        text,
        (min(float(box[3]), width) if leftwards else x1, y1),
        xytext=(-1.5 if leftwards else 1.5, -1.5 if below else 1.5),
        textcoords="offset points",
        ha="right" if leftwards else "left",
        va="top" if below else "bottom",
        fontsize=_caption_size(ax),
        color=_readable_on(color),
        bbox={"facecolor": color, "alpha": 0.9, "edgecolor": "none", "boxstyle": "square,pad=.15"},
    )


def _caption_size(ax):
    """Points: smaller where several pictures share a figure."""
    place = ax.get_subplotspec()
    columns = place.get_gridspec().ncols if place is not None else 1
    width = ax.figure.get_size_inches()[0] / columns
    return float(np.clip(1.6 * width, 6, CAPTION_SIZE))


def _readable_on(color):
    luminance = np.dot(color[:3], (0.299, 0.587, 0.114))
    return "black" if luminance > 0.5 else "white"


def _captions(class_ids, class_names, scores):
    names = [class_names[class_id] for class_id in class_ids]
    if scores is None:
        return names
    return [f"{name} {score:.2f}".strip() for name, score in zip(names, scores, strict=True)]


def _check_counts(count, masks, class_ids, scores, colors, captions):
    counts = {
        "masks": count if masks is None else masks.shape[-1],
        "class ids": len(class_ids),
        "scores": count if scores is None else len(scores),
        "colors": len(colors),
        "captions": len(captions),
    }
    for name, found in counts.items():
        if found != count:
            raise ValueError(f"{count} boxes need as many {name}, but got {found}.")
