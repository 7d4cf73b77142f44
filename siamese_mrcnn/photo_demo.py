"""The model for photographs at work: one coin finds the others, and is not found elsewhere."""

from pathlib import Path

import numpy as np
import skimage.data

from mrcnn.images.image import to_rgb
from siamese_mrcnn.figures.detections import draw_result, save_figure
from siamese_mrcnn.figures.query_grids import justified_axes

SEARCHED = ("coins", "coffee", "chelsea", "astronaut", "rocket", "hubble_deep_field")
COIN = (16, 308, 72, 362)  # y1, x1, y2, x2 in the photograph of coins
COLUMNS, DPI = 3, 120


def photographs():
    """{name: uint8 [height, width, 3]} of photographs that come with scikit-image."""
    return {name: to_rgb(np.asarray(getattr(skimage.data, name)())) for name in SEARCHED}


def search_for_a_coin(model, folder):
    """Search all photographs for one coin, and draw what was found.

    Args:
        model: `siamese_mrcnn.model.SiameseMaskRCNN` in inference mode.
        folder: where to write.

    Returns:
        path of the picture; {name of a photograph: its detections}.
    """
    images = photographs()
    y1, x1, y2, x2 = COIN
    coin = images["coins"][y1:y2, x1:x2]
    found = dict(zip(images, model.detect(coin, list(images.values())), strict=True))
    axes = justified_axes([image.shape for image in images.values()], COLUMNS)
    for ax, (name, image) in zip(axes, images.items(), strict=True):
        title = f"{name.replace('_', ' ')}: {said(found[name])}"
        draw_result(image, coin, found[name], ax=ax, title=title)
    (path,) = save_figure(axes[0].figure, Path(folder) / "coins", ("png",), DPI)
    return path, found


def said(detections):
    """What was found, in two words."""
    return f"{len(detections)} found" if len(detections) else "not found"
