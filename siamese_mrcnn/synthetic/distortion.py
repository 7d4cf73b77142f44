"""How things lie in a picture: how large, turned, stretched and tilted at random."""

import math

import numpy as np


def sample_distortion(rng, diameter, turn, stretch, perspective):
    """A turn, a stretch in any direction, and a tilt in space.

    Args:
        rng: numpy Generator.
        diameter: of the thing in the picture, pixels.
        turn: degrees at most, either way.
        stretch: longest axis at most, relative to the undistorted thing.
        perspective: change of scale across half a thing, at most twice this.

    Returns:
        [3, 3], from places in the thing, (0, 0) in the middle and 1 its longer side, to (x, y) in
        pixels about that middle.
    """
    stretched = np.exp(rng.uniform(0, np.log(stretch)) / 2)
    transform = np.eye(3)
    axes, turned = rotation(rng.uniform(0, 180)), rotation(rng.uniform(-turn, turn))
    transform[:2, :2] = diameter * (axes * (stretched, 1 / stretched)) @ axes.T @ turned
    transform[2, :2] = rng.uniform(0, 2 * perspective) * rotation(rng.uniform(0, 360))[0]
    return transform


def sample_sizes(rng, smallest, largest, count):
    """Square roots of areas: all orders of magnitude alike, the large ones mostly first."""
    low, high = np.log(smallest), np.log(max(largest, smallest))
    sizes = rng.uniform(low, high, count)
    return np.exp(sizes[np.argsort(rng.normal(0, 0.4, count) - sizes)])


def rotation(degrees):
    """The matrix [2, 2] of a turn."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]])
