"""Drawn balloons in the layout of the real ones, and a configuration small enough for two cores.

For trying the sample without photos and without a download.
"""

import json
import math
from pathlib import Path

import balloon
import cv2
import numpy as np
from rich.progress import track

from mrcnn.config import Narrow
from mrcnn.files import new_folder

SIDE = Narrow.IMAGE_MAX_DIM  # pixels
COUNTS = {"train": 300, "val": 20}
CORNERS = 24  # of an outline
MOST_BALLOONS = 3


class DrawnConfig(Narrow, balloon.BalloonConfig):
    """For a random start on two cores; `mrcnn.config` has the sizes of the network."""

    IMAGES_PER_GPU = 8
    VALIDATION_STEPS = 2
    LEARNING_RATE = 0.01
    MAX_GT_INSTANCES = MOST_BALLOONS
    DETECTION_MAX_INSTANCES = 2 * MOST_BALLOONS
    DETECTION_MIN_CONFIDENCE = 0.7


def draw_unless_there(folder, counts=COUNTS, seed=0):
    """Write pictures of balloons and VIA's JSON for them, unless there is such a folder.

    Args:
        folder: folder of the data set; made whole or not at all.
        counts: {subset: number of pictures}.
        seed: the same one draws the same pictures.
    """
    folder = Path(folder)
    if folder.exists():
        return
    with new_folder(folder) as unfinished:
        for part, (subset, count) in enumerate(counts.items()):
            _draw_subset(unfinished / subset, count, [seed, part])


def _draw_subset(folder, count, seed):
    folder.mkdir()
    entries = {}
    for number in track(range(count), f"Drawing {folder.name}", transient=True):
        name = f"drawn{number:04d}.png"
        picture, outlines = draw_picture(np.random.default_rng([*seed, number]))
        cv2.imwrite(str(folder / name), picture[..., ::-1])
        entries[name] = _entry(name, outlines)
    (folder / "via_region_data.json").write_text(json.dumps(entries), encoding="utf-8")


def draw_picture(rng):
    """A picture uint8 [SIDE, SIDE, 3] RGB, and the outlines [CORNERS, (x, y)] of its balloons."""
    coarse = rng.integers(70, 190, (SIDE // 16, SIDE // 16, 3), np.uint8)
    picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    outlines, taken = [], np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(rng.integers(1, MOST_BALLOONS + 1)):
        outline = _draw_outline(rng)
        pixels = cv2.fillPoly(np.zeros_like(taken), [outline], 1)
        if (pixels & taken).any():  # nobody outlines what is hidden
            continue
        taken |= pixels
        outlines.append(outline)
        _paint(picture, outline, rng)
    return picture, outlines


def _draw_outline(rng):
    """A slender ellipse within the picture."""
    radii = rng.uniform(SIDE / 12, SIDE / 6) * np.array([1, rng.uniform(1, 1.4)])
    middle = rng.uniform(radii.max() + 2, SIDE - radii.max() - 2, 2)
    angles = np.arange(CORNERS) * 2 * math.pi / CORNERS
    points = middle + radii * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.rint(points).astype(np.int32)


def _paint(picture, outline, rng):
    hue = rng.integers(0, 180)
    color = cv2.cvtColor(np.uint8([[[hue, 220, 220]]]), cv2.COLOR_HSV2RGB)[0, 0].tolist()
    low, high = outline.min(axis=0), outline.max(axis=0)
    knot = (int(low[0] + high[0]) // 2, int(high[1]))
    cv2.line(picture, knot, (knot[0], min(knot[1] + SIDE // 6, SIDE - 1)), (230, 230, 230), 1)
    cv2.fillPoly(picture, [outline], color)
    light = (int(0.65 * low[0] + 0.35 * high[0]), int(0.7 * low[1] + 0.3 * high[1]))
    cv2.circle(picture, light, max(2, int(high[0] - low[0]) // 10), (255, 255, 255), -1)


def _entry(name, outlines):
    """What VIA 2 exports of a picture."""
    regions = [
        {
            "shape_attributes": {
                "name": "polygon",
                "all_points_x": outline[:, 0].tolist(),
                "all_points_y": outline[:, 1].tolist(),
            },
            "region_attributes": {},
        }
        for outline in outlines
    ]
    return {"filename": name, "size": -1, "regions": regions, "file_attributes": {}}
