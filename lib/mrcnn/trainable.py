"""The network together with its losses, as a `keras.Model` that `fit` can train."""

import keras
from keras import ops

from mrcnn import losses
from mrcnn.distribution import first_over_replicas, replica_count, sum_over_replicas


class TrainableModel(keras.Model):
    """Computes the weighted losses of a network's training outputs.

    x and y are the dicts that `mrcnn.batches` makes. The logs show each loss times its weight
    from LOSS_WEIGHTS; "loss" is their sum and weight decay.

    Args:
        network: a `MaskRCNNNetwork`.
        image_shape: (height, width) of the prepared images.
    """

    def __init__(self, network, image_shape, **keywords):
        inputs = network.training_inputs(image_shape)
        outputs = network.training_outputs(inputs, image_shape)
        super().__init__(inputs=inputs, outputs=outputs, **keywords)
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
        replicas = replica_count()
        sums_and_counts = self.named_losses(x, y, y_pred)
        counts = sum_over_replicas([count for _, count in sums_and_counts.values()])
        total = losses.weight_decay_loss(self.trainable_variables, self.weight_decay) / replicas
        for (name, (loss_sum, _)), count in zip(sums_and_counts.items(), counts, strict=True):
            value = self.loss_weights[name] * loss_sum / ops.maximum(count, 1.0)
            self.loss_means[name].update_state(value * replicas)
            total = total + value
        return total

    def named_losses(self, x, y, outputs):
        """(sum, count) of each loss that has a weight, by name."""
        classes = outputs["target_class_ids"]
        active = None
        if self.masks_inactive_classes:  # as in the original, the first image speaks for all
            active = first_over_replicas(x["image_metas"][0, 12:])
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
