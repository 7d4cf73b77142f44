"""Pictures of one-shot results: the image searched, what was found, the reference in a corner."""

from pathlib import Path

import matplotlib
import numpy as np

from mrcnn.files import atomic_path
from mrcnn.visualize import (
    display_instances,
    draw_box,
    grid_axes,
    new_axes,
    random_colors,
    show_image,
)

INSET_SIDE = 0.26  # of the picture's shorter side; of an oblong reference the mean side
WIDEST_INSET = 0.6  # of the picture's side
INSET_GAP = 0.015  # of the picture's shorter side, to its border
REFERENCE_COLOR = "white"
FRAME_EDGE_COLOR = "0.35"  # around the frame, which white images would swallow
PRINT_DPI = 200
PNG_OPTIONS = {"compress_level": 4}  # half the time of the usual 6, files 1 % larger


def draw_result(
    image,
    references,
    detections,
    path=None,
    ax=None,
    title="",
    name="",
    inset=True,
    filled=True,
):
    """Draw what was found in an image, with the reference(s) in its emptiest corner.

    Args:
        image: uint8 [height, width, 3].
        references: picture [height, width, 3], `Reference`, or a list of them.
        detections: `rois` [N, 4] pixels, `scores` [N], `masks` [height, width, N] or none. With
            `labels`, these are written before the scores, and each class has a colour.
        path: file to write (.png, .pdf, ...), or None.
        ax: matplotlib axes to draw into; None makes a new picture.
        title: text above the picture.
        name: what the reference shows, written before each score.
        inset: False leaves the reference away.
        filled: False draws the outlines of masks alone.

    Returns:
        the figure drawn into.
    """
    scores = np.asarray(detections["scores"])
    boxes = np.asarray(detections["rois"])
    ax = ax if ax is not None else new_axes(image.shape)
    names, colors = detections.get("labels"), None
    if names is not None:
        classes = np.asarray(detections["class_ids"]) - 1
        palette = random_colors(max(classes, default=0) + 1)
        colors = [palette[number] for number in classes]
    display_instances(
        image,
        boxes,
        detections.get("masks"),
        np.arange(len(boxes)),
        names if names is not None else [name] * len(boxes),
        scores,
        title=title,
        ax=ax,
        colors=colors,
        filled=filled,
    )
    if inset:
        draw_inset(ax, picture_of(references), boxes, image.shape)
    if path is not None:
        ax.figure.savefig(path, dpi=150)
    return ax.figure


def draw_panels(rows, path=None, filled=True):
    """Tell results in panels, a row each: reference, image searched, what was found, the truth.

    Args:
        rows: (name, image, references, detections, truth) of each result; truth is a dict of
            `rois` and `masks` as in detections, or None in all rows.
        path: file to write, or None.
        filled: False draws the outlines of masks alone.

    Returns:
        the figure.

    Raises:
        ValueError: there are no rows.
    """
    rows = list(rows)
    columns = 4 if rows and rows[0][-1] is not None else 3
    pictures = [picture_of(references) for _, _, references, _, _ in rows]
    shapes = [
        shape
        for picture, row in zip(pictures, rows, strict=True)
        for shape in (picture.shape, *[row[1].shape] * (columns - 1))
    ]
    axes = grid_axes(shapes, columns)
    for number, (picture, row) in enumerate(zip(pictures, rows, strict=True)):
        _draw_row(axes[number * columns : (number + 1) * columns], picture, *row, filled)
    if path is not None:
        axes[0].figure.savefig(path, dpi=150)
    return axes[0].figure


def _draw_row(axes, picture, name, image, references, detections, truth, filled):
    show_image(axes[0], picture, f"reference: {name}" if name else "reference")
    show_image(axes[1], image, "searched")
    title = f"found: {len(detections['rois'])}"
    draw_result(image, references, detections, ax=axes[2], title=title, inset=False, filled=filled)
    if truth is not None:
        count = len(truth["rois"])
        display_instances(
            image,
            truth["rois"],
            truth["masks"],
            [0] * count,
            [name],
            title=f"truth: {count}",
            ax=axes[3],
            captions=[""] * count,
            filled=filled,
        )


def save_figure(figure, path, formats=("png", "pdf"), dpi=PRINT_DPI):
    """Save a figure in several formats, each file whole or not at all.

    The same figure gives the same bytes, and text stays text in vector files.

    Args:
        figure: matplotlib figure.
        path: of the files, without ending.
        formats: endings, of those that matplotlib knows.
        dpi: pixels an inch, of photos in vector files too.

    Returns:
        list of pathlib.Path, as `formats`.

    Raises:
        OSError: a file could not be written.
    """
    paths = [Path(f"{path}.{ending}") for ending in formats]
    settings = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "figure"}
    with matplotlib.rc_context(settings):
        for target, ending in zip(paths, formats, strict=True):
            undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
            options = {"pil_kwargs": PNG_OPTIONS} if ending == "png" else {}
            with atomic_path(target) as temporary:
                figure.savefig(temporary, format=ending, dpi=dpi, metadata=undated, **options)
    return paths


def picture_of(references):
    """One picture, uint8 [height, width, 3], of one or several references side by side."""
    if not isinstance(references, list | tuple):
        references = list(references) if getattr(references, "ndim", 3) == 4 else [references]
    pictures = [
        _without_padding(np.asarray(getattr(reference, "picture", reference)))
        for reference in references
    ]
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    gap = np.full((height, max(height // 24, 1), 3), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (gap, _centred(picture, height, width))]
    return np.concatenate(parts[1:], axis=1)


def _without_padding(picture):
    """Cut away black rows and columns at the border, which preparing has added."""
    rows = np.nonzero(picture.any(axis=(1, 2)))[0]
    columns = np.nonzero(picture.any(axis=(0, 2)))[0]
    if not len(rows):
        return picture
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centred(picture, height, width):
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def draw_inset(ax, picture, boxes, shape):
    """Lay a reference over the corner of a picture where it hides least.

    Args:
        ax: matplotlib axes that show the image.
        picture: the reference, uint8 [height, width, 3].
        boxes: [N, 4] pixels of the image, not to be hidden.
        shape: of the image.
    """
    y1, x1, y2, x2 = _inset_box(picture.shape, boxes, shape)
    ax.imshow(picture, extent=(x1, x2, y2, y1), zorder=5)
    ax.set_xlim(0, shape[1])
    ax.set_ylim(shape[0], 0)
    for color, width in ((FRAME_EDGE_COLOR, 4.0), (REFERENCE_COLOR, 2.5)):
        draw_box(ax, (y1, x1, y2, x2), color)
        ax.patches[-1].set(zorder=6, linewidth=width)


def _inset_box(picture_shape, boxes, shape):
    short = min(shape[:2])
    height, width = picture_shape[:2]
    scale = INSET_SIDE * short / np.sqrt(height * width)
    scale = min(scale, WIDEST_INSET * shape[0] / height, WIDEST_INSET * shape[1] / width)
    height, width = height * scale, width * scale
    gap = INSET_GAP * short
    tops, lefts = (gap, shape[0] - gap - height), (shape[1] - gap - width, gap)
    corners = [(top, left, top + height, left + width) for top in tops for left in lefts]
    return min(corners, key=lambda corner: _hidden(corner, boxes))


def _hidden(corner, boxes):
    """Pixels of the boxes that a corner covers."""
    heights = np.minimum(corner[2], boxes[:, 2]) - np.maximum(corner[0], boxes[:, 0])
    widths = np.minimum(corner[3], boxes[:, 3]) - np.maximum(corner[1], boxes[:, 1])
    return float((heights.clip(0) * widths.clip(0)).sum())
