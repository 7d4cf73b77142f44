"""Pictures of images, boxes, masks and numbers, by the names of Matterport's `visualize`.

Every function that draws returns the figure, which a notebook shows and `savefig` writes. Where
pyplot has been imported, by whomever, a new figure is its current one, and a window opens if its
backend has windows. A given `ax` is drawn into, whoever made it.
"""

from matplotlib import lines, patches
from matplotlib.patches import Polygon
from skimage.measure import find_contours

from mrcnn.drawing.boxes import draw_box, draw_boxes, draw_rois
from mrcnn.drawing.canvas import (
    Picture,
    apply_mask,
    draw_caption,
    draw_outline,
    grid_axes,
    new_axes,
    outlines,
    random_colors,
    show_image,
)
from mrcnn.drawing.instances import (
    display_differences,
    display_images,
    display_instances,
    display_top_masks,
)
from mrcnn.drawing.scores import plot_overlaps, plot_precision_recall
from mrcnn.drawing.tables import display_table, display_weight_stats

__all__ = [
    "Picture",
    "Polygon",
    "apply_mask",
    "display_differences",
    "display_images",
    "display_instances",
    "display_table",
    "display_top_masks",
    "display_weight_stats",
    "draw_box",
    "draw_boxes",
    "draw_caption",
    "draw_outline",
    "draw_rois",
    "find_contours",
    "grid_axes",
    "lines",
    "new_axes",
    "outlines",
    "patches",
    "plot_overlaps",
    "plot_precision_recall",
    "random_colors",
    "show_image",
]
