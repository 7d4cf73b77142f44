"""What the region proposal network is to learn: which anchors show something, and where it is.

Only anchors near a box can overlap it, and anchors of a level form a grid; so overlaps are
computed for the part of the grid around each box, as outer products of heights and widths.
"""

import functools
from dataclasses import dataclass

import numpy as np

from mrcnn.conventions import conventions_of
from mrcnn.ops import anchors, boxes

POSITIVE, NEUTRAL, NEGATIVE = 1, 0, -1

POSITIVE_OVERLAP = 0.7  # intersection over union, from here on
NEGATIVE_OVERLAP = 0.3  # below
CROWD_OVERLAP = 0.001  # from here on an anchor sees the crowd and is not negative
_ROUNDING = 1e-6  # relative; makes bounds safe


def anchor_targets(image_shape, gt_class_ids, gt_boxes, config, rng):
    """Label the anchors of an image and say where the positive ones should move.

    An anchor is positive if its overlap with a ground-truth box is at least .7, or if no other
    anchor overlaps some box more (of equals, the first); negative, if it overlaps all boxes by
    less than .3; else neutral. At most half of `RPN_TRAIN_ANCHORS_PER_IMAGE` stay positive, and
    so many negative that they make up the number; which ones is drawn (Faster R-CNN, section
    3.1.3 of arXiv 1506.01497).

    Args:
        image_shape: (height, width, ...) of the prepared image.
        gt_class_ids: int [N]; negative marks a crowd, whose surroundings are not negative.
        gt_boxes: [N, 4], pixels of the prepared image.
        config: `Config` with the anchors' scales, ratios, strides and numbers.
        rng: `numpy.random.Generator`.

    Returns:
        match int32 [A] (POSITIVE, NEUTRAL, NEGATIVE) in the order of `pyramid_anchors`;
        deltas float32 [RPN_TRAIN_ANCHORS_PER_IMAGE, 4] of the positive anchors in their order,
        divided by RPN_BBOX_STD_DEV, zero padded.
    """
    gt_class_ids = np.asarray(gt_class_ids)
    gt_boxes = np.asarray(gt_boxes, np.float64).reshape(-1, 4)
    grid = anchor_grid(config, image_shape)
    objects = gt_boxes[gt_class_ids > 0]
    match = label_anchors(grid, objects, gt_boxes[gt_class_ids < 0])
    _sample(match, config.RPN_TRAIN_ANCHORS_PER_IMAGE, rng)
    deltas = np.zeros((config.RPN_TRAIN_ANCHORS_PER_IMAGE, 4), np.float32)
    positive = grid.anchors[match == POSITIVE]
    if len(positive):
        targets = objects[np.argmax(boxes.overlaps(positive, objects), axis=1)]
        exact = boxes.encode_deltas(positive, targets) / config.RPN_BBOX_STD_DEV
        deltas[: len(positive)] = exact
    return match, deltas


def label_anchors(grid, objects, crowds):
    """Labels int32 [A] before sampling, for boxes [N, 4] of objects and [M, 4] of crowds."""
    match = np.full(len(grid.anchors), NEGATIVE, np.int32)
    for box in crowds:
        for level in grid.levels:
            near, part = level.overlaps(box)
            if part is not None:
                match[level.places(part, near >= CROWD_OVERLAP)] = NEUTRAL
    positive = []
    for box in objects:
        best, best_place = 0.0, 0
        for level in grid.by_likeness(box):
            bound = level.greatest_overlap(box)
            if bound < min(best, NEGATIVE_OVERLAP):
                break
            near, part = level.overlaps(box)
            if part is None:
                continue
            if bound >= NEGATIVE_OVERLAP:
                match[level.places(part, near >= NEGATIVE_OVERLAP)] = NEUTRAL
                positive.append(level.places(part, near >= POSITIVE_OVERLAP))
            top = near.max()
            place = level.places(part, near == top).min()
            if top > best or (top == best and place < best_place):
                best, best_place = top, place
        positive.append([best_place])
    for places in positive:
        match[places] = POSITIVE
    return match


def _sample(match, count, rng):
    """Make so many anchors neutral that `count` remain, at most half of them positive."""
    positive = np.flatnonzero(match == POSITIVE)
    surplus = len(positive) - count // 2
    if surplus > 0:
        match[rng.choice(positive, surplus, replace=False)] = NEUTRAL
    negative = np.flatnonzero(match == NEGATIVE)
    room = count - min(len(positive), count // 2)
    if len(negative) > room:
        kept = rng.choice(negative, room, replace=False)
        match[negative] = NEUTRAL
        match[kept] = NEGATIVE


@dataclass(frozen=True)
class _Level:
    """The anchors of one scale on one map, as [ratios, rows, columns]."""

    first: int  # place of the map's first anchor among all
    per_cell: int  # anchors of all scales in a cell of the map
    slots: np.ndarray  # [ratios], places of these anchors in a cell
    sizes: np.ndarray  # [ratios], areas of an anchor, square pixels
    tops: np.ndarray  # [ratios, rows]
    bottoms: np.ndarray
    lefts: np.ndarray  # [ratios, columns]
    rights: np.ndarray
    areas: np.ndarray  # [ratios, rows, columns], with the rounding errors of each anchor

    def greatest_overlap(self, box):
        """No anchor of the level overlaps the box by more than this."""
        area = (box[2] - box[0]) * (box[3] - box[1])
        bounds = np.minimum(area, self.sizes) / np.maximum(area, self.sizes)
        return bounds.max() * (1 + _ROUNDING)

    def overlaps(self, box):
        """Overlaps [ratios, r, c] of the anchors near a box, and where these are: (rows, columns).

        Returns (None, None) if no anchor touches the box.
        """
        heights = np.minimum(self.bottoms, box[2]) - np.maximum(self.tops, box[0])
        widths = np.minimum(self.rights, box[3]) - np.maximum(self.lefts, box[1])
        rows, columns = _span(heights), _span(widths)
        if rows is None or columns is None:
            return None, None
        heights = np.maximum(heights[:, rows], 0)
        widths = np.maximum(widths[:, columns], 0)
        intersection = heights[:, :, None] * widths[:, None, :]
        union = self.areas[:, rows, columns] + (box[2] - box[0]) * (box[3] - box[1])
        union -= intersection
        return np.divide(intersection, union, out=intersection), (rows, columns)

    def places(self, part, chosen):
        """Places among all anchors of those chosen (bool [ratios, r, c]) in a part of the level."""
        ratios, rows, columns = np.nonzero(chosen)
        rows, columns = rows + part[0].start, columns + part[1].start
        cells = rows * self.areas.shape[2] + columns
        return self.first + cells * self.per_cell + self.slots[ratios]


def _span(lengths):
    """Slice of the lines [ratios, lines] at which some length is positive, or None."""
    places = np.flatnonzero((lengths > 0).any(axis=0))
    return slice(places[0], places[-1] + 1) if len(places) else None


@dataclass(frozen=True)
class AnchorGrid:
    """All anchors of an image of one shape, and the grids that they form."""

    anchors: np.ndarray  # float64 [A, 4], pixels
    levels: tuple

    def by_likeness(self, box):
        """Levels whose anchors have about the area of the box first."""
        return sorted(self.levels, key=lambda level: -level.greatest_overlap(box))


def anchor_grid(config, image_shape):
    """The `AnchorGrid` of a configuration and (height, width, ...), kept between calls."""
    return _anchor_grid(
        anchors.anchor_levels(config),
        tuple(config.RPN_ANCHOR_RATIOS),
        config.RPN_ANCHOR_STRIDE,
        (int(image_shape[0]), int(image_shape[1])),
        conventions_of(config).centers_anchors,
    )


@functools.lru_cache(maxsize=8)
def _anchor_grid(maps, ratios, anchor_stride, image_shape, centered):
    levels, parts, first = [], [], 0
    for stride, scales in maps:
        shape = anchors.feature_shape(image_shape, stride)
        part = anchors.level_anchors(scales, ratios, shape, stride, anchor_stride, centered)
        rows, columns = (-(-side // anchor_stride) for side in shape)
        cells = part.reshape(rows, columns, len(ratios) * len(scales), 4)
        levels += [
            _level(cells, first, np.arange(number, cells.shape[2], len(scales)))
            for number in range(len(scales))
        ]
        parts.append(part)
        first += len(part)
    return AnchorGrid(np.concatenate(parts), tuple(levels))


def _level(cells, first, slots):
    grid = cells[:, :, slots]
    tops, bottoms = grid[:, 0, :, 0].T.copy(), grid[:, 0, :, 2].T.copy()
    lefts, rights = grid[0, :, :, 1].T.copy(), grid[0, :, :, 3].T.copy()
    areas = (bottoms - tops)[:, :, None] * (rights - lefts)[:, None, :]
    sizes = areas[:, 0, 0]
    return _Level(first, cells.shape[2], slots, sizes, tops, bottoms, lefts, rights, areas)
