"""A detector that finds some instances roughly and takes others for them, always the same ones."""

import numpy as np

from mrcnn.masks import boxes_of_masks
from stand_ins import TruthDetector

LARGEST_SHIFT = 8  # pixels
FOUND_SHARE, MISTAKEN_SHARE, REPEATED_SHARE = 0.8, 0.3, 0.3


class RoughDetector(TruthDetector):
    """Shifts instances by a few pixels, misses some, repeats some, adds some of other classes."""

    def _answer(self, image_id, class_id):
        rng = np.random.default_rng([image_id, class_id])
        masks, class_ids = self.dataset.load_mask(image_id)
        found = []
        for number, its_class in enumerate(class_ids):
            share = FOUND_SHARE if abs(its_class) == class_id else MISTAKEN_SHARE
            repeats = 1 + (rng.random() < REPEATED_SHARE)
            found += [number] * repeats * (rng.random() < share)
        shifts = rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1, (len(found), 2))
        moved = np.zeros((*masks.shape[:2], len(found)), bool)
        for place, (number, shift) in enumerate(zip(found, shifts, strict=True)):
            moved[:, :, place] = np.roll(masks[:, :, number], shift, (0, 1))
        return {
            "rois": boxes_of_masks(moved),
            "class_ids": np.ones(len(found), np.int32),
            "scores": rng.uniform(0.2, 1, len(found)).astype(np.float32),
            "masks": moved,
        }
