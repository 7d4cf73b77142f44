"""What happens between the answers of the region proposal network and the RoIs, step by step."""

import numpy as np
from keras import ops

from mrcnn import boxes
from mrcnn.nms import first_kept, suppress
from mrcnn.proposals import UNIT_WINDOW
from mrcnn.tensors import top_k


def proposal_steps(layer, rpn_class, rpn_bbox):
    """The intermediate values of a `mrcnn.proposals.Proposals` layer, computed again.

    Args:
        layer: the layer.
        rpn_class: float32 [batch, A, 2]; rpn_bbox: float32 [batch, A, 4], its inputs.

    Returns:
        dict of pre_nms_anchors, refined_anchors, refined_anchors_clipped: float32 [batch, K, 4],
        normalised, best first; post_nms_anchor_ix: int32 [n], which of the K boxes of the first
        image become RoIs.
    """
    _, positions = top_k(ops.convert_to_tensor(rpn_class[..., 1]), layer.pre_limit)
    positions = ops.convert_to_numpy(positions).astype(np.int64)
    anchors = layer.anchors_normalized[positions]
    deltas = np.take_along_axis(rpn_bbox, positions[..., None], axis=1) * layer.deviations
    refined = boxes.decode_deltas(anchors, deltas).astype(np.float32)
    clipped = boxes.clip(refined, UNIT_WINDOW)
    first = ops.convert_to_tensor(clipped[:1])
    kept = suppress(first, ops.ones_like(first[..., 0], dtype="bool"), layer.threshold)
    places, valid = (ops.convert_to_numpy(each[0]) for each in first_kept(kept, layer.limit))
    return {
        "pre_nms_anchors": anchors,
        "refined_anchors": refined,
        "refined_anchors_clipped": clipped,
        "post_nms_anchor_ix": places[valid],
    }
