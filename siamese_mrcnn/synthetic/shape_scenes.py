"""Pictures of coloured shapes on a soft background, with the exact pixels of every shape."""

import cv2
import numpy as np

from siamese_mrcnn.synthetic.shape_outlines import OUTLINES
from siamese_mrcnn.synthetic.visibility import Visibility

SHAPES_A_SCENE = (3, 7)  # from, below
KINDS_A_SCENE = (2, 4)  # from, below
DIAMETER = (0.18, 0.42)  # of the image's side
PLACES_TRIED = 30
HIDDEN_AT_MOST = 0.2  # of a shape by those drawn later
CONTRAST = 90  # least difference to what is behind in one channel, of 255
GRAIN = 5  # standard deviation, of 255
CROWD_CHANCE = 0.05  # of a scene to hold one crowd region
CROWD_DIAMETER = 0.08  # of the image's side, for each of its shapes


def draw_scene(rng, side):
    """Draw one picture and its instances.

    Args:
        rng: numpy Generator.
        side: pixels.

    Returns:
        uint8 [side, side, 3] RGB, and a list of (class id, is crowd, bool [side, side]): the
        parts that are seen, in drawing order.
    """
    scene = _Scene(rng, side)
    kinds = rng.choice(len(OUTLINES), rng.integers(*KINDS_A_SCENE), replace=False)
    if rng.random() < CROWD_CHANCE:
        scene.paint(_crowd_mask(rng, side, kinds[0]), kinds[0] + 1, crowd=True)
    for number in range(rng.integers(*SHAPES_A_SCENE)):
        kind = kinds[number % len(kinds)]
        mask = _find_place(scene, kind)
        if mask is not None:
            scene.paint(mask, kind + 1, crowd=False)
    return scene.picture, scene.instances()


class _Scene:
    """A picture in the making: later shapes cover earlier ones."""

    def __init__(self, rng, side):
        self.rng = rng
        self.picture = _background(rng, side)
        self.parts = Visibility(side)
        self.labels = []

    def paint(self, mask, class_id, crowd):
        """Fill the mask with a colour that stands out, and a little grain."""
        behind = self.picture[mask].mean(axis=0)
        colour = self.rng.uniform(0, 255, 3)
        while np.abs(colour - behind).max() < CONTRAST:
            colour = self.rng.uniform(0, 255, 3)
        grain = self.rng.normal(0, GRAIN, (np.count_nonzero(mask), 1))
        self.picture[mask] = np.clip(colour + grain, 0, 255)
        self.labels.append((int(class_id), crowd))
        self.parts.add((), mask, np.count_nonzero(mask), 1 - HIDDEN_AT_MOST)

    def would_hide_too_much(self, mask):
        return not self.parts.may_hide((), mask)

    def instances(self):
        masks = self.parts.masks()
        return [(*label, mask) for label, mask in zip(self.labels, masks, strict=True)]


def outline_mask(kind, side, diameter, centre, angle):
    """Pixels of one shape.

    Args:
        kind: position in OUTLINES.
        side: of the picture, pixels.
        diameter: of the circle around the shape, pixels.
        centre: (x, y), pixels.
        angle: turn, radians.

    Returns:
        bool [side, side].
    """
    points = list(OUTLINES.values())[kind] * diameter / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillPoly(canvas, [np.rint(points @ turn.T + centre).astype(np.int32)], 1)
    return canvas.view(bool)


def _find_place(scene, kind):
    """Mask of a shape where it hides little, or None: the scene is full."""
    side = len(scene.picture)
    for _ in range(PLACES_TRIED):
        diameter = scene.rng.uniform(*DIAMETER) * side
        centre = scene.rng.uniform(0.55 * diameter, side - 0.55 * diameter, 2)
        mask = outline_mask(kind, side, diameter, centre, scene.rng.uniform(0, 2 * np.pi))
        if not scene.would_hide_too_much(mask):
            return mask
    return None


def _crowd_mask(rng, side, kind):
    """A patch of many tiny shapes of one kind, which share one annotation."""
    diameter = CROWD_DIAMETER * side
    centre = rng.uniform(0.25 * side, 0.75 * side, 2)
    mask = np.zeros((side, side), bool)
    for cell in np.ndindex(3, 3):
        place = centre + (np.array(cell) - 1) * diameter
        mask |= outline_mask(kind, side, diameter, place, rng.uniform(0, 2 * np.pi))
    return mask


def _background(rng, side):
    """A soft ramp between dark or between light tints, with grain."""
    corners = rng.choice([45, 205]) + rng.uniform(-30, 30, (2, 2, 3))
    ramp = cv2.resize(corners.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.clip(ramp + rng.normal(0, GRAIN, (side, side, 1)), 0, 255).astype(np.uint8)
