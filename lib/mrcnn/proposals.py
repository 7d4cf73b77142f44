"""From scored and moved anchors to the regions of interest (RoIs) that the heads look at."""

import keras
import numpy as np
from keras import layers, ops

from mrcnn import boxes
from mrcnn.nms import select_boxes
from mrcnn.tensors import gather_rows, top_k

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
    """

    def __init__(self, anchors_normalized, limit, pre_limit, threshold, deviations, **keywords):
        super().__init__(**keywords)
        self.anchors_normalized = np.asarray(anchors_normalized, dtype=np.float32)
        self.limit = limit
        self.pre_limit = min(pre_limit, len(self.anchors_normalized))
        self.threshold = threshold
        self.deviations = np.asarray(deviations, dtype=np.float32)

    def call(self, inputs):
        probabilities, deltas = (ops.stop_gradient(tensor) for tensor in inputs)
        _, positions = top_k(probabilities[..., 1], self.pre_limit)
        deltas = ops.multiply(gather_rows(deltas, positions), self.deviations)
        anchors = ops.take(ops.array(self.anchors_normalized), positions, axis=0)
        moved = boxes.clip(boxes.decode_deltas(anchors, deltas, xp=ops), UNIT_WINDOW, xp=ops)
        return select_boxes(moved, self.limit, self.threshold)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.limit, 4)
