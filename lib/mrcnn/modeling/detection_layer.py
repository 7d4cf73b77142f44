"""From the answers of the box head to the final detections, inside the network."""

import keras
import numpy as np
from keras import layers, ops

from mrcnn.ops import boxes
from mrcnn.ops.gather import gather_rows, top_k
from mrcnn.ops.nms import first_kept, suppress

PAIRS = 2000  # of a RoI and a class that are considered where a RoI can be of several classes


@keras.saving.register_keras_serializable("mrcnn")
class DetectionSelection(layers.Layer):
    """Moves the RoIs by their deltas and keeps confident ones that do not overlap.

    Inputs, a dict:
        rois: normalised [batch, R, (y1, x1, y2, x2)].
        mrcnn_class: probabilities [batch, R, num_classes]; mrcnn_bbox: [batch, R, classes, 4].
        windows: normalised [batch, 4], the image without its padding.
    Output: [batch, max_instances, (y1, x1, y2, x2, class id, score)], boxes normalised, best
    first, zero padded.

    Args:
        max_instances, min_confidence, threshold, deviations: settings of the configuration.
        log_limit: of the deltas, see `mrcnn.ops.boxes.decode_deltas`.
        least: height and width that clipped boxes keep, see `mrcnn.ops.boxes.clip`.
        every_class: a RoI can be detected as several classes; else as its likeliest one alone.
    """

    def __init__(
        self,
        max_instances,
        min_confidence,
        threshold,
        deviations,
        log_limit=None,
        least=(0.0, 0.0),
        every_class=False,
        **keywords,
    ):
        super().__init__(**keywords)
        self.max_instances = max_instances
        self.min_confidence = min_confidence
        self.threshold = threshold
        self.deviations = np.asarray(deviations, dtype=np.float32)
        self.log_limit = log_limit
        self.least = tuple(least)
        self.every_class = every_class

    def call(self, inputs):
        probabilities, rois, deltas = (inputs[n] for n in ("mrcnn_class", "rois", "mrcnn_bbox"))
        if self.every_class:
            scores, class_ids, chosen = _likeliest_pairs(probabilities)
            rois, deltas = gather_rows(rois, chosen), gather_rows(deltas, chosen)
        else:
            class_ids = ops.cast(ops.argmax(probabilities, axis=-1), "int32")
            scores = ops.max(probabilities, axis=-1)
        deltas = ops.multiply(select_class(deltas, class_ids), self.deviations)
        refined = boxes.decode_deltas(rois, deltas, xp=ops, log_limit=self.log_limit)
        refined = boxes.clip(refined, inputs["windows"][:, None, :], ops, self.least)
        candidates = ops.logical_and(class_ids > 0, scores >= self.min_confidence)
        rows = ops.concatenate(
            [refined, ops.cast(class_ids, "float32")[..., None], scores[..., None]], axis=-1
        )
        return self._best(rows, candidates)

    def _best(self, rows, candidates):
        ranked = ops.where(candidates, rows[..., 5], -1.0)
        ranked, order = top_k(ranked, rows.shape[1])
        rows = gather_rows(rows, order)
        classes = ops.cast(rows[..., 4], "int32")
        kept = suppress(rows[..., :4], ranked >= 0, self.threshold, classes)
        positions, valid = first_kept(kept, self.max_instances)
        return ops.where(valid[..., None], gather_rows(rows, positions), 0.0)

    def compute_output_shape(self, input_shape):
        return (input_shape["rois"][0], self.max_instances, 6)

    def get_config(self):
        names = ("max_instances", "min_confidence", "threshold", "log_limit", "least")
        shared = {name: getattr(self, name) for name in (*names, "every_class")}
        return {**super().get_config(), **shared, "deviations": self.deviations.tolist()}


def _likeliest_pairs(probabilities):
    """The likeliest pairs of a RoI and a class that is not background, at most `PAIRS`.

    Of 1000 RoIs more pairs hardly ever are above a usual threshold, and the best are there.

    Args:
        probabilities: [batch, R, classes].

    Returns:
        scores, class ids, numbers of the RoIs: [batch, P] each.
    """
    rois, classes = probabilities.shape[1], probabilities.shape[2] - 1
    scores = ops.reshape(probabilities[..., 1:], (-1, rois * classes))
    scores, pairs = top_k(scores, min(PAIRS, rois * classes))
    pairs = ops.cast(pairs, "int32")
    return scores, pairs % classes + 1, pairs // classes


def select_class(outputs, class_ids):
    """The output for each row's class: [batch, R, classes, n] and int [batch, R] -> [batch, R, n].

    Outputs for a single class serve all classes.
    """
    classes = outputs.shape[2]
    if classes == 1:
        return outputs[:, :, 0]
    count = outputs.shape[1]
    flat = ops.reshape(outputs, (-1, count * classes, outputs.shape[-1]))
    first = ops.arange(count, dtype="int32")[None] * classes
    return gather_rows(flat, first + ops.cast(class_ids, "int32"))
