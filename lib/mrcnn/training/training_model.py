"""The network together with its losses, as a `keras.Model` that `fit` can train."""

import keras
from keras import ops

from mrcnn.training import losses
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
        decay = losses.weight_decay_loss(self.trainable_variables, self.weight_decay)
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
            name: weight * loss_sum / ops.maximum(count, 1.0)
            for (name, weight), loss_sum, count in weighted
        }

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
            "rpn_class_loss": lambda: losses.rpn_class_loss(
                y["rpn_match"], outputs["rpn_class_logits"]
            ),
            "rpn_bbox_loss": lambda: losses.rpn_bbox_loss(
                y["rpn_match"], y["rpn_deltas"], outputs["rpn_bbox"]
            ),
            "mrcnn_class_loss": lambda: losses.class_loss(
                classes, outputs["mrcnn_class_logits"], active
            ),
            "mrcnn_bbox_loss": lambda: losses.bbox_loss(
                classes, outputs["target_deltas"], outputs["mrcnn_bbox"]
            ),
            "mrcnn_mask_loss": lambda: losses.mask_loss(
                classes[:, : outputs["target_masks"].shape[1]],
                outputs["target_masks"],
                outputs["mrcnn_mask_logits"],
            ),
        }
        return {name: computed[name]() for name in self.loss_weights}
