"""The losses, and the network together with them as a `keras.Model` that `fit` can train.

Each loss is a sum and the count it is to be divided by, or several of both, whose quotients add up.
Whoever trains on several devices adds up both over the devices before dividing, so that the result
is that of one device with the whole batch.
"""

import keras
from keras import ops

from mrcnn.config import ConfigError
from mrcnn.modeling.detection_layer import select_class
from mrcnn.ops.gather import gather_rows, nonzero_rows
from mrcnn.training.distribution import first_over_replicas, replica_count, sum_over_replicas
from mrcnn.training.gradient_accumulation import STEPS, step_in_parts


class TrainableModel(keras.Model):
    """Computes the weighted losses of a network's training outputs.

    x and y are the dicts that `mrcnn.data.training_batches` makes. The logs show each loss times
    its weight from LOSS_WEIGHTS; "loss" is their sum and weight decay.

    Args:
        network: a `MaskRCNNNetwork`.
        image_shape: (height, width) of the prepared images.
    """

    def __init__(self, network, image_shape, **keywords):
        inputs = network.training_inputs(image_shape)
        outputs = network.training_outputs(inputs, image_shape)
        super().__init__(inputs=inputs, outputs=outputs, **keywords)
        self.subdivisions = network.config.SUBDIVISIONS
        if self.subdivisions > 1 and keras.backend.backend() not in STEPS:
            raise ValueError(
                f"SUBDIVISIONS is {self.subdivisions}, but the {keras.backend.backend()} backend "
                "trains in one piece here. Set SUBDIVISIONS = 1, or use the TensorFlow or JAX "
                "backend."
            )
        self.loss_weights = dict(network.config.LOSS_WEIGHTS)
        if network.mask_head is None:
            self.loss_weights.pop("mrcnn_mask_loss", None)
        self.weight_decay = network.config.WEIGHT_DECAY
        self.weighing = network.config.ROI_LOSS_WEIGHING or 0
        if self.weighing and not self.loss_weights.get("mrcnn_class_loss"):
            raise ConfigError(
                f"ROI_LOSS_WEIGHING is {self.weighing}, but LOSS_WEIGHTS gives no weight to "
                "mrcnn_class_loss, whose RoIs it weighs. Set it to 0, or give that loss a weight."
            )
        self.masks_inactive_classes = network.masks_inactive_classes
        self.loss_means = {name: keras.metrics.Mean(name=name) for name in self.loss_weights}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Sum of the weighted losses and weight decay; updates the means in the logs.

        On several devices this is the part of the loss that falls to this device: the parts,
        and so their gradients, add up to those of the whole batch.
        """
        del sample_weight, training
        pairs = self.named_losses(y, y_pred, self.active_classes(x)).values()
        sums = [each for each, _ in pairs]
        counts = sum_over_replicas([count for _, count in pairs])
        self.update_means(sums, counts)
        return self.total_loss(sums, counts)

    def train_step(self, *state_and_data):
        """A step of `fit`: in one piece, or in SUBDIVISIONS parts."""
        if self.subdivisions == 1:
            return super().train_step(*state_and_data)
        return step_in_parts(self, *state_and_data)

    def total_loss(self, sums, counts, share=1):
        """This device's part of the loss.

        Args:
            sums: of its images, for each loss that has a weight.
            counts: to divide them by, of the images of all devices.
            share: of the weight decay to be counted in.
        """
        decay = weight_decay_loss(self.trainable_variables, self.weight_decay)
        total = decay * share / replica_count()
        for value in self._weighted(sums, counts).values():
            total = total + value
        return total

    def update_means(self, sums, counts):
        """Count the losses of a batch in the means that the logs show."""
        for name, value in self._weighted(sums, counts).items():
            self.loss_means[name].update_state(value * replica_count())

    def _weighted(self, sums, counts):
        weighted = zip(self.loss_weights.items(), sums, counts, strict=True)
        return {
            name: ops.sum(weight * loss_sum / ops.maximum(count, 1.0))
            for (name, weight), loss_sum, count in weighted
        }

    def no_sums(self):
        """Zeros like the sums, or the counts, of the losses that have a weight."""
        several = {"mrcnn_class_loss": (2,)} if self.weighing else {}
        return [ops.zeros(several.get(name, ())) for name in self.loss_weights]

    def active_classes(self, x):
        """[num_classes] of 0 and 1 that the class loss looks at; None: at all."""
        if not self.masks_inactive_classes:
            return None
        # As in the original, the first image speaks for all.
        return first_over_replicas(x["image_metas"][0, 12:])

    def named_losses(self, y, outputs, active=None):
        """(sum, count) of each loss that has a weight, by name; `active` as `active_classes`."""
        classes = outputs["target_class_ids"]
        computed = {
            "rpn_class_loss": lambda: rpn_class_loss(y["rpn_match"], outputs["rpn_class_logits"]),
            "rpn_bbox_loss": lambda: rpn_bbox_loss(
                y["rpn_match"], y["rpn_deltas"], outputs["rpn_bbox"]
            ),
            "mrcnn_class_loss": lambda: self._class_loss(outputs, active),
            "mrcnn_bbox_loss": lambda: bbox_loss(
                classes, outputs["target_deltas"], outputs["mrcnn_bbox"]
            ),
            "mrcnn_mask_loss": lambda: mask_loss(
                classes[:, : outputs["target_masks"].shape[1]],
                outputs["target_masks"],
                outputs["mrcnn_mask_logits"],
            ),
        }
        return {name: computed[name]() for name in self.loss_weights}

    def _class_loss(self, outputs, active):
        classes, logits = outputs["target_class_ids"], outputs["mrcnn_class_logits"]
        if not self.weighing:
            return class_loss(classes, logits, active)
        return weighed_class_loss(classes, logits, outputs["rois"], self.weighing, active)


# --- the five losses, and weight decay --------------------------------------------------------


def smooth_l1(targets, predictions):
    """Smooth L1, element by element (Fast R-CNN, arXiv 1504.08083, equation 3)."""
    difference = ops.abs(targets - predictions)
    return ops.where(difference < 1, 0.5 * difference * difference, difference - 0.5)


def rpn_class_loss(rpn_match, logits):
    """Cross-entropy over the anchors that are not neutral.

    Args:
        rpn_match: int [batch, A]: 1 positive, 0 neutral, -1 negative.
        logits: [batch, A, (background, foreground)].
    """
    counted = ops.cast(ops.not_equal(rpn_match, 0), "float32")
    return _cross_entropy(ops.cast(rpn_match > 0, "int32"), logits, counted)


def rpn_bbox_loss(rpn_match, target_deltas, deltas):
    """Smooth L1 over the positive anchors.

    Args:
        rpn_match: int [batch, A].
        target_deltas: [batch, T, 4], those of the positive anchors, in anchor order.
        deltas: [batch, A, 4].
    """
    positive = ops.equal(rpn_match, 1)
    row = ops.cumsum(ops.cast(positive, "int32"), axis=1) - 1
    counted = ops.cast(positive, "float32")[..., None]
    targets = gather_rows(target_deltas, ops.clip(row, 0, target_deltas.shape[1] - 1))
    return ops.sum(smooth_l1(targets, deltas) * counted), 4 * ops.sum(counted)


def class_loss(target_class_ids, logits, active_class_ids=None):
    """Cross-entropy over all RoIs, padding included.

    Args:
        target_class_ids: int [batch, R].
        logits: [batch, R, num_classes].
        active_class_ids: [num_classes] of 0 and 1: RoIs whose predicted class is inactive, that
            is, not annotated in the data set of the batch, do not count. None: all count.
    """
    return _cross_entropy(target_class_ids, logits, _class_counts(logits, active_class_ids))


def weighed_class_loss(target_class_ids, logits, rois, alpha, active_class_ids=None):
    """Cross-entropy in which objects, and what is taken for one, weigh alpha, all else 1 - alpha.

    The ratio-preserving loss of BHRL (CVPR 2022): in the mean over N RoIs, n of which are positive
    or answered with an object, these weigh alpha N / n, and the others (1 - alpha) N / (N - n).
    Padding is no RoI.

    Args:
        rois: [batch, R, 4], zero padded.
        alpha: 0..1.
        target_class_ids, logits, active_class_ids: as of `class_loss`.

    Returns:
        sums [2] and counts [2], whose quotients add up to the loss.
    """
    taken = ops.max(logits[..., 1:], axis=-1) > logits[..., 0]
    weighty = ops.logical_or(target_class_ids > 0, taken)
    counted = _class_counts(logits, active_class_ids) * ops.cast(nonzero_rows(rois), logits.dtype)
    pairs = [
        _cross_entropy(target_class_ids, logits, counted * ops.cast(part, logits.dtype))
        for part in (weighty, ops.logical_not(weighty))
    ]
    sums, counts = (ops.stack(each) for each in zip(*pairs, strict=True))
    return sums * ops.convert_to_tensor([alpha, 1 - alpha], dtype=sums.dtype), counts


def bbox_loss(target_class_ids, target_deltas, deltas):
    """Smooth L1 over the positive RoIs, for the deltas of their class.

    Args:
        target_class_ids: int [batch, R].
        target_deltas: [batch, R, 4].
        deltas: [batch, R, classes, 4]; one class serves all.
    """
    counted = ops.cast(target_class_ids > 0, "float32")[..., None]
    error = smooth_l1(target_deltas, select_class(deltas, target_class_ids))
    return ops.sum(error * counted), 4 * ops.sum(counted)


def mask_loss(target_class_ids, target_masks, logits):
    """Binary cross-entropy over the pixels of positive RoIs, for the mask of their class.

    Args:
        target_class_ids: int [batch, P].
        target_masks: [batch, P, height, width] of 0 and 1.
        logits: [batch, P, height, width, classes]; one class serves all.
    """
    height, width, classes = logits.shape[2:]
    by_class = ops.reshape(
        ops.transpose(logits, (0, 1, 4, 2, 3)), (-1, logits.shape[1], classes, height * width)
    )
    chosen = select_class(by_class, target_class_ids)
    targets = ops.reshape(target_masks, (-1, logits.shape[1], height * width))
    counted = ops.cast(target_class_ids > 0, "float32")[..., None]
    error = ops.binary_crossentropy(targets, chosen, from_logits=True)
    return ops.sum(error * counted), height * width * ops.sum(counted)


def weight_decay_loss(variables, factor):
    """L2 penalty: factor * mean of squares, summed over all tensors but gamma and beta."""
    terms = [
        ops.mean(ops.square(variable))
        for variable in variables
        if variable.name not in ("gamma", "beta")
    ]
    return factor * sum(terms) if terms else ops.zeros(())


def _class_counts(logits, active_class_ids):
    """1 for each RoI [batch, R] that the class loss looks at, 0 for others."""
    if active_class_ids is None:
        return ops.ones_like(logits[..., 0])
    predicted = ops.argmax(logits, axis=-1)
    return ops.take(ops.cast(active_class_ids, "float32"), predicted, axis=0)


def _cross_entropy(class_ids, logits, counted):
    error = -select_class(ops.log_softmax(logits, axis=-1)[..., None], class_ids)[..., 0]
    return ops.sum(error * counted), ops.sum(counted)
