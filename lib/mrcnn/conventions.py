"""What programs that train Mask R-CNN do in different ways: weights of one need its conventions.

No weight says which of them it was trained with; CONVENTIONS of the configuration does.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Conventions:
    """How one family of programs counts pixels and anchors.

    Attributes:
        pads_pool_evenly: the max pooling of stage 1 is padded by one cell on every side; False:
            as "same", which for sides of an even number pads at the end only.
        logits_per_anchor: 2 for a softmax over background and object; 1 for a sigmoid.
        centers_anchors: anchors lie around the middle of a cell, and their sides are rounded to
            whole pixels for a square of the cell's size; False: around its corner, not rounded.
        normalizes_edges: 0 and 1 of normalised boxes are the outer edges of the image, so that
            areas and deltas are those of pixels; False: the centres of its outer pixels.
        log_limit: greatest logarithm by which a delta scales a side; None: no limit.
        averages_samples: a cell of RoIAlign is the mean of samples inside of it; False: one
            sample, those of the outer cells on the corners of the RoI.
        floors_levels: a RoI below the canonical size of a level is pooled from the finer one;
            False: from the nearer one.
        proposes_by_level: candidates are limited, and suppress one another, on each level of the
            pyramid alone; False: on all levels together.
        detects_every_class: a RoI can be detected as several classes, each with its own box;
            False: as its likeliest class alone.
    """

    pads_pool_evenly: bool = False
    logits_per_anchor: int = 2
    centers_anchors: bool = False
    normalizes_edges: bool = False
    log_limit: float | None = None
    averages_samples: bool = False
    floors_levels: bool = False
    proposes_by_level: bool = False
    detects_every_class: bool = False


CONVENTIONS = {
    "matterport": Conventions(),
    "detectron": Conventions(
        pads_pool_evenly=True,
        logits_per_anchor=1,
        centers_anchors=True,
        normalizes_edges=True,
        log_limit=math.log(1000 / 16),
        averages_samples=True,
        floors_levels=True,
        proposes_by_level=True,
        detects_every_class=True,
    ),
}


def conventions_of(config):
    """The `Conventions` that a configuration names."""
    return CONVENTIONS[config.CONVENTIONS]
