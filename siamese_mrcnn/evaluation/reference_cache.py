"""Vectors of many references: encoded in batches, and remembered."""

import numpy as np
from keras import ops

from siamese_mrcnn.data.references import join_shots

BATCH = 8  # references; always as many, so that a vector does not depend on its neighbours
REMEMBERED = 10_000  # references, of some 5 kB each
MEMORY = 2**28  # bytes, which fewer fill where maps are kept, too (CO_ATTENTION, ROI_COMPARISON)


class ReferenceVectors:
    """Encodes each reference of a data set once.

    Args:
        model: `siamese_mrcnn.model.SiameseMaskRCNN`, whose weights and settings stay as they are.
    """

    def __init__(self, model):
        self.model = model
        self._vectors = {}  # {(image id, annotation id): [vector of P2, ..., of P6, more]}

    def of(self, queries):
        """The vectors of N queries.

        Args:
            queries: for each query its K `siamese_mrcnn.data.references.Reference`.

        Returns:
            as of `encode_references`: [float32 [N, channels], ...] for P2..P6, means of K; and
            maps of all K [N, K * places, channels].
        """
        new = {
            _key(reference): reference.picture
            for references in queries
            for reference in references
            if _key(reference) not in self._vectors
        }
        self._vectors |= self._encode(new)
        rows = [[self._vectors[_key(each)] for each in references] for references in queries]
        vectors = [
            np.concatenate([join_shots([shot[level][None] for shot in shots]) for shots in rows])
            for level in range(len(rows[0][0]))
        ]
        most = min(REMEMBERED, MEMORY // sum(each.nbytes for each in rows[0][0]))
        while len(self._vectors) > most:
            del self._vectors[next(iter(self._vectors))]  # the oldest
        return vectors

    def _encode(self, pictures):
        """Vectors of prepared pictures by their keys, a batch at a time."""
        keys, found = list(pictures), {}
        for first in range(0, len(keys), BATCH):
            chosen = keys[first : first + BATCH]
            batch = np.stack([pictures[key] for key in chosen])[:, None]
            batch = np.pad(batch, ((0, BATCH - len(chosen)), *[(0, 0)] * 4))
            levels = [ops.convert_to_numpy(each) for each in self.model.encode_references(batch)]
            found |= {key: [each[row] for each in levels] for row, key in enumerate(chosen)}
        return found


def _key(reference):
    return reference.image_id, reference.annotation_id
