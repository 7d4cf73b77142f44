"""What the heads should answer: samples RoIs and assigns them to ground-truth instances."""

import keras
import numpy as np
from keras import layers, ops

from mrcnn.ops import boxes
from mrcnn.ops.crop_and_resize import crop_and_resize
from mrcnn.ops.gather import gather_rows, nonzero_rows, top_k

POSITIVE_OVERLAP = 0.5  # intersection over union from which a RoI shows an instance
CROWD_OVERLAP = 0.001  # a RoI that overlaps a crowd region this much is no negative example


@keras.saving.register_keras_serializable("mrcnn")
class RoiTargets(layers.Layer):
    """Samples RoIs, a third of them positive, and computes class, delta and mask targets.

    The first `positive_slots` rows of every output are for positives, the others for negatives;
    rows that are not needed are zero. Which of too many candidates are taken is decided by the
    random priorities of the batch, so that the sample is the same on every device and backend.

    Without a positive there are no negatives either; `of_background` makes an exception of images
    without an instance, which then have all the negatives there is room for.

    Inputs:
        rois_normalized: [batch, N, (y1, x1, y2, x2)], zero padded.
        gt_class_ids: int [batch, G]; 0 is padding, negative a crowd region.
        gt_boxes_normalized: [batch, G, 4].
        gt_masks: [batch, h, w, G], mini-masks or masks of the prepared image.
        priorities: [batch, N], uniform random.

    Outputs, a dict:
        rois: [batch, S, 4]; target_class_ids: int32 [batch, S]; target_deltas: [batch, S, 4] in
        units of BBOX_STD_DEV; target_masks: [batch, positive_slots, *mask_shape] of 0 and 1.
    """

    def __init__(
        self,
        samples,
        positive_ratio,
        mask_shape,
        use_mini_masks,
        deviations,
        of_background=False,
        **keywords,
    ):
        super().__init__(**keywords)
        self.samples = samples
        self.positive_ratio = positive_ratio
        self.positive_slots = int(samples * positive_ratio)
        self.mask_shape = tuple(mask_shape)
        self.use_mini_masks = use_mini_masks
        self.deviations = np.asarray(deviations, dtype=np.float32)
        self.of_background = of_background

    def call(self, inputs):
        rois = ops.stop_gradient(inputs["rois"])
        gt_class_ids, gt_boxes = inputs["gt_class_ids"], inputs["gt_boxes"]
        overlaps = boxes.overlaps(rois, gt_boxes, xp=ops)
        positive, negative, assignment = _label(overlaps, rois, gt_class_ids)
        priorities = inputs["priorities"]
        chosen, is_positive = _draw(positive, priorities, self.positive_slots)
        negatives_wanted = self._negatives_for(is_positive, gt_class_ids)
        others, is_negative = _draw(
            negative, priorities, self.samples - self.positive_slots, negatives_wanted
        )
        assignment = gather_rows(assignment, chosen)
        positive_rois = _masked(gather_rows(rois, chosen), is_positive)
        negative_rois = _masked(gather_rows(rois, others), is_negative)
        assigned_boxes = gather_rows(gt_boxes, assignment)
        class_ids = ops.where(is_positive, gather_rows(gt_class_ids, assignment), 0)
        padding = ((0, 0), (0, self.samples - self.positive_slots))
        return {
            "rois": ops.concatenate([positive_rois, negative_rois], axis=1),
            "target_class_ids": ops.pad(class_ids, padding),
            "target_deltas": ops.pad(
                self._deltas(positive_rois, assigned_boxes, is_positive), (*padding, (0, 0))
            ),
            "target_masks": self._masks(
                inputs["gt_masks"], positive_rois, assigned_boxes, assignment, is_positive
            ),
        }

    def get_config(self):
        names = ("samples", "positive_ratio", "mask_shape", "use_mini_masks", "of_background")
        shared = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **shared, "deviations": self.deviations.tolist()}

    def _negatives_for(self, is_positive, gt_class_ids):
        """How many negatives make the positives drawn the wanted ratio: [batch]."""
        count = ops.sum(ops.cast(is_positive, "float32"), axis=1)
        wanted = ops.cast(count * (1.0 / self.positive_ratio), "int32") - ops.cast(count, "int32")
        if self.of_background:
            wanted = ops.where(ops.any(gt_class_ids > 0, axis=1), wanted, self.samples)
        return wanted

    def _deltas(self, rois, assigned_boxes, is_positive):
        rois, assigned_boxes = (_filled(each, is_positive) for each in (rois, assigned_boxes))
        return ops.divide(boxes.encode_deltas(rois, assigned_boxes, xp=ops), self.deviations)

    def _masks(self, gt_masks, rois, assigned_boxes, assignment, is_positive):
        """Cut the mask target of each RoI out of the mask of its instance."""
        if self.use_mini_masks:
            rois = _relative_to(_filled(assigned_boxes, is_positive), rois)
        height, width, count = gt_masks.shape[1:]
        masks = ops.transpose(ops.cast(gt_masks, "float32"), (0, 3, 1, 2))
        first = ops.expand_dims(ops.arange(ops.shape(rois)[0], dtype="int32") * count, axis=1)
        crops = crop_and_resize(
            ops.reshape(masks, (-1, height, width, 1)),
            ops.reshape(rois, (-1, 4)),
            ops.reshape(assignment + first, (-1,)),
            self.mask_shape,
        )
        crops = ops.round(ops.reshape(crops, (-1, self.positive_slots, *self.mask_shape)))
        return ops.where(is_positive[..., None, None], crops, 0.0)


def _label(overlaps, rois, gt_class_ids):
    """Positive and negative RoIs, bool [batch, N], and their instance, int32 [batch, N]."""
    is_instance = ops.expand_dims(gt_class_ids > 0, axis=1)
    is_crowd = ops.expand_dims(gt_class_ids < 0, axis=1)
    instance_overlaps = ops.where(is_instance, overlaps, -1.0)
    best = ops.max(instance_overlaps, axis=-1)
    crowd = ops.max(ops.where(is_crowd, overlaps, 0.0), axis=-1)
    real = nonzero_rows(rois)
    positive = ops.logical_and(real, best >= POSITIVE_OVERLAP)
    negative = ops.logical_and(best < POSITIVE_OVERLAP, crowd < CROWD_OVERLAP)
    assignment = ops.cast(ops.argmax(instance_overlaps, axis=-1), "int32")
    return positive, ops.logical_and(real, negative), assignment


def _draw(candidates, priorities, slots, wanted=None):
    """Candidates of the highest priority: positions int32 and validity bool, [batch, slots].

    Args:
        candidates: bool [batch, N].
        priorities: [batch, N], at least 0.
        wanted: int [batch], how many to draw at most; None: as many as there are slots.
    """
    keys = ops.where(candidates, priorities + 1.0, 0.0)
    missing = slots - keys.shape[1]
    if missing > 0:
        keys = ops.pad(keys, ((0, 0), (0, missing)))
    keys, positions = top_k(keys, slots)
    valid = keys > 0
    if wanted is not None:
        valid = ops.logical_and(valid, ops.arange(slots)[None] < wanted[:, None])
    return ops.where(valid, ops.cast(positions, "int32"), 0), valid


def _masked(rows, valid):
    return ops.where(valid[..., None], rows, 0.0)


def _filled(rows, valid):
    """Boxes [batch, P, 4], whole images where not valid: an instance of a pixel has no height."""
    return ops.where(valid[..., None], rows, np.array([0.0, 0.0, 1.0, 1.0], dtype=np.float32))


def _relative_to(frames, rois):
    """RoIs [batch, P, 4] in the coordinates of their frame boxes [batch, P, 4]."""
    y1, x1, y2, x2 = (frames[..., column] for column in range(4))
    height, width = y2 - y1, x2 - x1
    return (rois - ops.stack([y1, x1, y1, x1], axis=-1)) / ops.stack(
        [height, width, height, width], axis=-1
    )
