"""What pictures consist of: figures and axes, boxes, outlines, captions, colours.

Drawn with matplotlib's Figure alone; pyplot is told of what is drawn at a user's request.
"""

import colorsys
import io
import math
import os
import sys

import numpy as np
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from skimage.measure import find_contours

from mrcnn.harmless_text import for_terminal

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2  # steps of it round the colour circle never come close
BOX_LINE = 1.6  # points
CAPTION_SIZE = 9  # points
EXACT = ("masks", "refined_boxes", "class_ids")  # of which there may be no more than boxes
TITLE_SIZE = 12  # points
CELL_WIDTH = 3.6  # inches of a picture in a grid
TITLE_HEIGHT = 0.4  # inches above it
HIGHEST_CELL = 1.2  # height / width of a picture in a grid, at most
KEPT_PICTURES = 19  # that pyplot holds where nothing shows them; of more than 20 matplotlib warns


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself."""

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def _ipython_display_(self):
        # Asked before all formatters, that of pyplot's inline backend among them.
        from IPython.display import display_png

        display_png(self._repr_png_(), raw=True)
        if (pyplot := pyplot_if_imported()) is not None:
            pyplot.close(self)  # or it would be shown once more, at the end of the cell

    def write(self, path, dpi=150):
        """Save as PNG, PDF or what else the ending says, making the folder; returns the path."""
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        self.savefig(path, dpi=dpi)
        return path


def pyplot_if_imported():
    """pyplot, if anything has imported it, as Keras does; or None."""
    return sys.modules.get("matplotlib.pyplot")


def user_picture(**keywords):
    """A new `Picture`, which pyplot knows of, as its current figure.

    So `plt.savefig`, wherever a program imports pyplot, and the end of a notebook's cell find what
    was drawn last. pyplot keeps figures until they are closed. Where nothing shows them, a program
    that never closes one keeps the latest `KEPT_PICTURES`.

    Args:
        keywords: as of `matplotlib.figure.Figure`.
    """
    from matplotlib import pyplot  # slow, and to be had without: drawing needs none

    if pyplot.get_backend().lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
        kept = _held_by(pyplot)
        for figure in kept[: max(len(kept) + 1 - KEPT_PICTURES, 0)]:
            pyplot.close(figure)
    return pyplot.figure(FigureClass=Picture, **keywords)


def _held_by(pyplot):
    """Our figures that pyplot holds, oldest first.

    pyplot is asked for each number anew, since it gives numbers of closed figures to others.
    """
    numbers = pyplot.get_fignums()
    if not numbers:
        return []
    current = pyplot.gcf().number
    held = [pyplot.figure(number) for number in numbers]
    pyplot.figure(current)
    return [figure for figure in held if isinstance(figure, Picture)]


def present(figure):
    """Open the window of a `user_picture` if pyplot's backend has windows; returns the figure."""
    pyplot = pyplot_if_imported()
    if pyplot is not None and hasattr(figure, "number"):  # it is known to pyplot
        if pyplot.get_backend().lower() in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
            pyplot.show()
    return figure


def random_colors(N, bright=True, rng=None):
    """Colours that differ from their neighbours, as N tuples (red, green, blue) in 0..1.

    The colours are always the same, unless a numpy generator is given to shuffle them.
    """
    hues = [(0.56 + number * GOLDEN_RATIO) % 1 for number in range(N)]
    colors = [colorsys.hsv_to_rgb(hue, 0.85, 1.0 if bright else 0.7) for hue in hues]
    return [colors[i] for i in rng.permutation(N)] if rng is not None else colors


def apply_mask(image, mask, color, alpha=0.5):
    """Tint the pixels of an image where a mask is set.

    Args:
        image: [height, width, 3], colours 0..255; an array is changed.
        mask: [height, width], set where not 0.
        color: (red, green, blue) in 0..1.
        alpha: 0 changes nothing, 1 covers.

    Returns:
        the image.
    """
    image = np.asarray(image)
    inside = np.asarray(mask).astype(bool)
    blend = (1 - alpha) * image[inside] + alpha * 255 * np.asarray(color)
    image[inside] = blend.round().astype(image.dtype)
    return image


def new_axes(shape, figsize=None, make=Picture):
    """The axes of a new picture in the proportions of an image [height, width, ...].

    Args:
        shape: of the image.
        figsize: (width, height) in inches; by default as the image's sides.
        make: `Picture`, or `user_picture` for what is drawn at a user's request.
    """
    height, width = shape[:2]
    scale = 8 / max(height, width)  # inches
    figure = make(
        figsize=figsize or (max(width * scale, 2), max(height * scale, 2)), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04)
    return figure.add_subplot()


def grid_axes(shapes, columns, figsize=None, make=Picture):
    """Axes of a new picture for images of the shapes [height, width, ...], row by row.

    `make` is as of `new_axes`.

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
    figure = make(figsize=figsize or (columns * CELL_WIDTH, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    return [figure.add_subplot(grid[divmod(number, columns)]) for number in range(count)]


def check_counts(count, masks=None, **lists):
    """Refuse fewer masks [height, width, N] or entries of lists than boxes; None is no list.

    Raises:
        ValueError: names what there are too few of, or, of `EXACT`, too many.
    """
    if masks is not None:
        lists["masks"] = range(masks.shape[-1])
    for name, values in lists.items():
        if values is not None and (len(values) < count or (name in EXACT and len(values) > count)):
            raise ValueError(f"{count} boxes need as many {name}, but got {len(values)}.")


def displayable(image):
    """An image as imshow takes it: colours 0..255 that are no uint8 become uint8."""
    image = np.asarray(image)
    if image.ndim == 3 and image.dtype not in (np.uint8, bool) and image.max(initial=0) > 1:
        return np.clip(image, 0, 255).astype(np.uint8)
    return image


def show_image(ax, image, title="", **keywords):
    """Show an image without ticks, its pixels where boxes expect them: (0, 0) is a corner."""
    height, width = image.shape[:2]
    ax.imshow(displayable(image), extent=(0, width, height, 0), **keywords)
    ax.set_axis_off()
    if title:
        ax.set_title(for_terminal(title, "\n"), fontsize=TITLE_SIZE, parse_math=False)


def draw_box_line(ax, box, color, style="solid", alpha=None):
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
            alpha=alpha,
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
        for_terminal(text, "\n"),
        (min(float(box[3]), width) if leftwards else x1, y1),
        xytext=(-1.5 if leftwards else 1.5, -1.5 if below else 1.5),
        textcoords="offset points",
        ha="right" if leftwards else "left",
        va="top" if below else "bottom",
        fontsize=_caption_size(ax),
        color=_readable_on(color),
        parse_math=False,  # names may hold dollar signs
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
