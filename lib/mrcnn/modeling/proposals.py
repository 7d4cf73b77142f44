"""From scored and moved anchors to the regions of interest (RoIs) that the heads look at."""

import keras
import numpy as np
from keras import layers, ops

from mrcnn.ops import boxes
from mrcnn.ops.gather import gather_rows, top_k
from mrcnn.ops.nms import first_kept, select_boxes, suppress

UNIT_WINDOW = np.array([0.0, 0.0, 1.0, 1.0], dtype=np.float32)


@keras.saving.register_keras_serializable("mrcnn")
class Proposals(layers.Layer):
    """Keeps the best anchors, moves them, cuts them off at the image, removes duplicates.

    Inputs: [rpn_class [batch, A, 2], rpn_bbox [batch, A, 4]], as of `RegionProposalNetwork`.
    Output: rois_normalized [batch, limit, (y1, x1, y2, x2)], best first, zero padded. No
    gradient flows through.

    Args:
        anchors_normalized: [A, 4], constant of this image size.
        limit: RoIs per image.
        pre_limit: anchors per image that are considered at all.
        threshold: intersection over union for non-maximum suppression.
        deviations: [4], scale of the deltas.
        log_limit: of the deltas, see `mrcnn.ops.boxes.decode_deltas`.
        least: height and width that clipped boxes keep, see `mrcnn.ops.boxes.clip`.
        level_sizes: how many anchors each level of the pyramid has, if `pre_limit` holds for
            each of them and boxes suppress only those of their own level; else None.
    """

    def __init__(
        self,
        anchors_normalized,
        limit,
        pre_limit,
        threshold,
        deviations,
        log_limit=None,
        least=(0.0, 0.0),
        level_sizes=None,
        **keywords,
    ):
        super().__init__(**keywords)
        self.anchors_normalized = np.asarray(anchors_normalized, dtype=np.float32)
        self.limit = limit
        self.pre_limit = pre_limit
        self.threshold = threshold
        self.deviations = np.asarray(deviations, dtype=np.float32)
        self.log_limit = log_limit
        self.least = tuple(least)
        self.level_sizes = level_sizes

    def call(self, inputs):
        probabilities, deltas = (ops.stop_gradient(tensor) for tensor in inputs)
        if self.level_sizes is not None:
            return self._by_level(probabilities[..., 1], deltas)
        _, positions = top_k(probabilities[..., 1], min(self.pre_limit, probabilities.shape[1]))
        return select_boxes(self._moved(deltas, positions), self.limit, self.threshold)

    def _moved(self, deltas, positions):
        """The anchors at some positions, int [batch, N], moved by their deltas: [batch, N, 4]."""
        deltas = ops.multiply(gather_rows(deltas, positions), self.deviations)
        anchors = ops.take(ops.array(self.anchors_normalized), positions, axis=0)
        moved = boxes.decode_deltas(anchors, deltas, xp=ops, log_limit=self.log_limit)
        return boxes.clip(moved, UNIT_WINDOW, ops, self.least)

    def _by_level(self, scores, deltas):
        """The best of each level, without their own level's duplicates, best first."""
        positions, levels, start = [], [], 0
        for level, size in enumerate(self.level_sizes):
            _, best = top_k(scores[:, start : start + size], min(self.pre_limit, size))
            positions.append(ops.cast(best, "int32") + start)
            levels.append(ops.full_like(positions[-1], level))
            start += size
        positions, levels = (ops.concatenate(each, axis=1) for each in (positions, levels))
        _, order = top_k(gather_rows(scores, positions), positions.shape[1])
        positions, levels = gather_rows(positions, order), gather_rows(levels, order)
        moved = self._moved(deltas, positions)
        everything = ops.ones_like(positions, dtype="bool")
        kept, valid = first_kept(suppress(moved, everything, self.threshold, levels), self.limit)
        return ops.where(valid[..., None], gather_rows(moved, kept), 0.0)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.limit, 4)

    def get_config(self):
        names = ("limit", "pre_limit", "threshold", "log_limit", "least", "level_sizes")
        arrays = {n: getattr(self, n).tolist() for n in ("anchors_normalized", "deviations")}
        return {**super().get_config(), **arrays, **{name: getattr(self, name) for name in names}}
