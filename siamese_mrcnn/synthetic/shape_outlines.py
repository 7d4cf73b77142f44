"""Outlines of the drawn shapes: points (x, y) within the unit circle, one entry a category."""

import numpy as np


def _arc(start, stop, radius=1.0, steps=48):
    angles = np.linspace(start, stop, steps) * np.pi
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star(tips=5, inner=0.42):
    angles = np.arange(2 * tips) * np.pi / tips
    radii = np.where(np.arange(2 * tips) % 2, inner, 1.0)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _ring(inner=0.55):
    # One closed line: around outside, and back along the inside; the seam has no width.
    return np.concatenate([_arc(0, 2), _arc(2, 0, inner)])


def _crescent():
    # Outer arc around the origin, inner arc around a shifted centre through the same two tips.
    tip = 0.3
    outer = _arc(tip, 2 - tip)
    centre = np.array([0.75, 0.0])
    reach = np.linalg.norm(outer[0] - centre)
    angle = np.arctan2(*(outer[-1] - centre)[::-1]) / np.pi
    return np.concatenate([outer, centre + _arc(angle, -angle - 2, reach)])


def _heart():
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    points = np.stack([x, -(y + 2.5)], axis=1)
    return points / np.linalg.norm(points, axis=1).max()


def _polygon(*points):
    points = np.array(points, np.float64)
    return points / np.linalg.norm(points, axis=1).max()


_ARROW = [(3, 0), (0.5, 2.2), (0.5, 0.8), (-3, 0.8)]
_CROSS = [(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3)]

# The order is the order of class ids, 1..N.
OUTLINES = {
    "circle": _arc(0, 2),
    "square": _polygon((1, 1), (1, -1), (-1, -1), (-1, 1)),
    "triangle": _arc(0, 2, steps=4)[:3],
    "star": _star(),
    "cross": _polygon(*_CROSS, *[(-x, -y) for x, y in _CROSS]),
    "ring": _ring(),
    "heart": _heart(),
    "arrow": _polygon(
        (3, 0), (0.5, 2.2), (0.5, 0.8), (-3, 0.8), (-3, -0.8), (0.5, -0.8), (0.5, -2.2)
    ),
    "crescent": _crescent(),
    "half circle": _polygon(*(_arc(-0.5, 0.5) - [0.4, 0])),
    "bar": _polygon((4, 1), (4, -1), (-4, -1), (-4, 1)),
    "corner": _polygon((-1, -1), (1, -1), (1, -0.3), (-0.3, -0.3), (-0.3, 1), (-1, 1)),
}
