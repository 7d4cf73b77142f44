"""Grids of one-shot results as the paper shows them, from what an evaluation wrote.

Each cell is one query: the image searched, the reference in a corner, masks and boxes of what was
found. True positives have solid lines, false positives dashed ones of another colour, and what was
missed is dotted; the colours differ for colour-blind readers too.
"""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mrcnn.visualize import (
    Picture,
    apply_mask,
    draw_box,
    draw_caption,
    draw_outline,
    show_image,
)
from siamese_mrcnn.data.coco_annotations import decode_mask
from siamese_mrcnn.figures.detections import draw_inset, picture_of, save_figure
from siamese_mrcnn.figures.judged_queries import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE

MISSED = "missed"
COLORS = {  # Okabe and Ito's, brightened for photos
    TRUE_POSITIVE: (0.20, 0.65, 1.00),
    FALSE_POSITIVE: (1.00, 0.45, 0.05),
    IGNORED: (0.75, 0.75, 0.75),
    MISSED: (1.00, 0.95, 0.25),
}
STYLES = {
    TRUE_POSITIVE: "solid",
    FALSE_POSITIVE: (0, (4, 2)),
    IGNORED: (0, (4, 2)),
    MISSED: (0, (1, 1.2)),
}
LABELS = {
    TRUE_POSITIVE: "true positive",
    FALSE_POSITIVE: "false positive",
    IGNORED: "on a crowd, not counted",
    MISSED: "missed instance",
}
TINT = {TRUE_POSITIVE: 0.45, FALSE_POSITIVE: 0.35, IGNORED: 0.3}
CELL_WIDTH = 3.6  # inches, on average
HIGHEST_ROW = 3.6  # inches
TITLE_HEIGHT, GAP, LEGEND_HEIGHT = 0.32, 0.08, 0.4  # inches
TEXT_SIZE, CAPTION_SIZE = 12, 7  # points
LETTERS_AN_INCH = 11  # of a title
FRAME = {"fill": False, "edgecolor": "0.6", "linewidth": 0.8, "clip_on": False}


def query_grid(
    queries,
    columns=4,
    rows=None,
    kind="segm",
    min_score=0.5,
    show_missed=True,
    show_masks=True,
    legend=True,
    path=None,
    filled=True,
):
    """Draw one cell for each query, `columns` in a row, under the names of the classes.

    Args:
        queries: list of `JudgedQuery`, see `judged_queries.choose_queries`.
        columns, rows: of the grid; rows None takes as many as are needed, else the first
            columns x rows queries are drawn.
        kind: "segm" or "bbox", what must overlap by an IoU of 0.5 in a true positive.
        min_score: results below are neither drawn nor judged.
        show_missed: outline the instances that nothing found.
        show_masks: draw masks with their outlines, or boxes alone.
        legend: explain the lines below the grid.
        path: file to write without ending, as .png and .pdf; None writes nothing.
        filled: False draws the outlines of masks alone.

    Returns:
        the figure.

    Raises:
        ValueError: there is nothing to draw.
    """
    queries = list(queries)[: columns * rows if rows is not None else None]
    images = [query.image() for query in queries]
    axes = justified_axes([image.shape for image in images], columns, legend)
    drawn = set()
    for ax, query, image in zip(axes, queries, images, strict=True):
        drawn |= _draw(ax, query, image, kind, min_score, show_missed, show_masks, filled)
    figure = axes[0].figure
    if legend:
        _draw_legend(figure, drawn)
    if path is not None:
        save_figure(figure, path)
    return figure


def justified_axes(shapes, columns, legend=False):
    """Axes for images of the shapes [height, width, ...]: those of a row have equal heights.

    Args:
        shapes: of the images, row by row.
        columns: images in a row.
        legend: whether to leave room below.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not shapes or columns < 1:
        raise ValueError(f"A grid needs queries and columns, but got {len(shapes)} and {columns}.")
    aspects = [shape[1] / shape[0] for shape in shapes]
    rows = [aspects[first : first + columns] for first in range(0, len(aspects), columns)]
    width = min(columns, len(shapes)) * CELL_WIDTH
    heights = []
    for row in rows:
        full = len(row) == columns or not heights  # else the last row, which is not to stand out
        highest = HIGHEST_ROW if full else heights[-1]
        heights.append(min((width - (len(row) + 1) * GAP) / sum(row), highest))
    below = LEGEND_HEIGHT if legend else GAP
    height = sum(heights) + len(rows) * TITLE_HEIGHT + below
    figure, axes, top = Picture(figsize=(width, height)), [], height
    for row, row_height in zip(rows, heights, strict=True):
        top -= TITLE_HEIGHT + row_height
        widths = [row_height * aspect for aspect in row]
        left = (width - sum(widths) - (len(row) - 1) * GAP) / 2  # centred where the row is short
        for cell_width in widths:
            place = (left / width, top / height, cell_width / width, row_height / height)
            axes.append(figure.add_axes(place))
            left += cell_width + GAP
    return axes


def boxes_of(shapes):
    """The boxes of COCO results or annotations: [N, (y1, x1, y2, x2)] pixels."""
    corners = np.array([shape["bbox"] for shape in shapes], float).reshape(-1, 4)
    x, y, width, height = corners.T
    return np.stack([y, x, y + height, x + width], axis=1)


def _draw(ax, query, image, kind, min_score, show_missed, show_masks, filled):
    """Draw a cell. Returns the kinds of lines in it."""
    judged = query.judge(kind, min_score)
    missed = judged.missed if show_missed else ()
    shapes = [*judged.results, *missed]
    kinds = [*judged.outcomes, *[MISSED] * len(missed)]
    boxes = boxes_of(shapes)
    size = dict(zip(("height", "width"), image.shape[:2], strict=True))
    masks = [
        decode_mask(shape, size) if show_masks and "segmentation" in shape else None
        for shape in shapes
    ]
    canvas = np.array(image)
    for mask, its_kind in zip(masks, kinds, strict=True):
        if filled and mask is not None and its_kind in TINT:
            canvas = apply_mask(canvas, mask, COLORS[its_kind], TINT[its_kind])
    note = " (not there)" if query.is_absent else ""
    show_image(ax, canvas, _shortened(query.name, ax, note) + note)
    ax.add_patch(Rectangle((0, 0), image.shape[1], image.shape[0], **FRAME))
    # The best on top, and what was missed below everything.
    for mask, box, its_kind in reversed(list(zip(masks, boxes, kinds, strict=True))):
        _draw_lines(ax, mask, box, its_kind)
    for result, box, its_kind in reversed(list(zip(judged.results, boxes, kinds, strict=False))):
        draw_caption(ax, box, f"{result['score']:.2f}", COLORS[its_kind], image.shape)
        ax.texts[-1].set_fontsize(CAPTION_SIZE)
    draw_inset(ax, picture_of(query.reference_pictures()), boxes, image.shape)
    return set(kinds)


def _shortened(name, ax, note):
    """A name whose end is left out where it would reach, with its note, into the next cell."""
    inches = ax.get_position().width * ax.figure.get_figwidth()
    most = int(inches * LETTERS_AN_INCH) - len(note)
    return name if len(name) <= most else name[: max(most - 1, 1)].rstrip() + "…"


def _draw_lines(ax, mask, box, kind):
    before = len(ax.patches)
    if mask is not None:
        draw_outline(ax, mask, COLORS[kind])
    if mask is None or kind != MISSED:
        draw_box(ax, box, COLORS[kind])
    for line in list(ax.patches)[before:]:
        line.set_linestyle(STYLES[kind])


def _draw_legend(figure, kinds):
    handles = [
        Line2D([], [], color=COLORS[kind], linestyle=STYLES[kind], linewidth=2.5, label=label)
        for kind, label in LABELS.items()
        if kind in kinds
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="lower center",
            ncols=len(handles),
            frameon=False,
            fontsize=TEXT_SIZE,
            handlelength=3,
        )
