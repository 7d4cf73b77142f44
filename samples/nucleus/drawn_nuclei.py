"""Drawn nuclei in the layout of the real ones, and a configuration small enough for two cores.

For trying the sample without a download.
"""

import math
from pathlib import Path

import cv2
import nucleus
import numpy as np
from rich.progress import track

from mrcnn.config import Narrow
from mrcnn.files import new_folder

COUNTS = {"stage1_train": 200, "stage1_test": 8}
SMALLEST, LARGEST = 128, 192  # pixels of a side
MOST_NUCLEI = 20


class DrawnConfig(Narrow, nucleus.NucleusConfig):
    """For a random start on two cores; `mrcnn.config` has the sizes of the network."""

    IMAGES_PER_GPU = 4
    VALIDATION_STEPS = 2
    LEARNING_RATE = 0.01
    IMAGE_MIN_SCALE = 1.0
    RPN_ANCHOR_SCALES = (8, 12, 16, 24, 32)
    POST_NMS_ROIS_TRAINING = 200
    POST_NMS_ROIS_INFERENCE = 200
    TRAIN_ROIS_PER_IMAGE = 64
    MAX_GT_INSTANCES = MOST_NUCLEI
    DETECTION_MAX_INSTANCES = 2 * MOST_NUCLEI
    DETECTION_MIN_CONFIDENCE = 0.5


class DrawnInferenceConfig(nucleus.WholeImages, DrawnConfig):
    """`DrawnConfig` to detect with."""


def draw_unless_there(folder, counts=COUNTS, seed=0):
    """Write images with their masks, unless there is such a folder.

    Args:
        folder: folder of the data set; made whole or not at all.
        counts: {subset: number of images}; those of a subset ending in "test" have no masks.
        seed: the same one draws the same images.
    """
    folder = Path(folder)
    if folder.exists():
        return
    with new_folder(folder) as unfinished:
        for part, (subset, count) in enumerate(counts.items()):
            for number in track(range(count), f"Drawing {subset}", transient=True):
                image, masks = draw_image(np.random.default_rng([seed, part, number]))
                place = unfinished / subset / f"drawn{number:04d}"
                _write(place / "images" / f"{place.name}.png", image)
                for index, mask in enumerate(() if subset.endswith("test") else masks):
                    _write(place / "masks" / f"{index:03d}.png", mask * np.uint8(255))


def draw_image(rng):
    """An image uint8 [H, W, 3], and the masks bool [H, W] of its nuclei, which may touch."""
    height, width = (int(side) for side in rng.integers(SMALLEST, LARGEST + 1, 2))
    brightness = np.full((height, width), rng.uniform(8, 25), np.float32)
    taken, masks = np.zeros((height, width), bool), []
    for _ in range(rng.integers(MOST_NUCLEI // 3, MOST_NUCLEI + 1)):
        mask = _ellipse(height, width, rng)
        if (mask & taken).any():
            continue
        taken |= mask
        masks.append(mask)
        brightness[mask] += rng.uniform(60, 150)
    brightness = cv2.GaussianBlur(brightness, (0, 0), 0.8) + rng.normal(0, 5, (height, width))
    grey = np.clip(brightness, 0, 255).astype(np.uint8)
    return grey[..., None].repeat(3, axis=-1), masks


def _ellipse(height, width, rng):
    radii = rng.uniform(5, 11, 2)
    y, x = rng.uniform(radii.max(), (height - radii.max(), width - radii.max()))
    turn = rng.uniform(0, math.pi)
    down, right = np.mgrid[:height, :width] + 0.5 - np.array([y, x]).reshape(2, 1, 1)
    along = right * math.cos(turn) + down * math.sin(turn)
    across = down * math.cos(turn) - right * math.sin(turn)
    return (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1


def _write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
