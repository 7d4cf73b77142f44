"""What is in each RoI: a class and a better box (box head), and a mask (mask head)."""

from keras import layers, ops

from mrcnn.normalization import NormalizedConvolution
from mrcnn.roi_align import PyramidRoIAlign


class BoxHead:
    """RoIAlign, two fully connected layers, then class logits and box deltas.

    Args:
        num_classes: background included.
        box_classes: 1 for deltas that serve every class, else `num_classes`.
        hidden: size of the fully connected layers.
        pool_size: cells per side of a pooled RoI.
        train_norm: whether batch statistics are updated while training.
    """

    def __init__(self, num_classes, box_classes, hidden, pool_size, train_norm):
        self.pool_size = pool_size
        self.box_classes = box_classes
        self.hidden = [
            NormalizedConvolution(
                hidden,
                size,
                f"mrcnn_class_conv{number}",
                f"mrcnn_class_bn{number}",
                train_norm=train_norm,
                name=f"mrcnn_class_norm{number}",
            )
            for number, size in ((1, pool_size), (2, 1))
        ]
        self.activations = [
            layers.Activation("relu", name=f"mrcnn_class_relu{number}") for number in (1, 2)
        ]
        self.logits = layers.Dense(num_classes, name="mrcnn_class_logits")
        self.deltas = layers.Dense(4 * box_classes, name="mrcnn_bbox_fc")

    def __call__(self, rois_normalized, pyramid, image_shape):
        """Named outputs for each RoI.

        Args:
            rois_normalized: [batch, R, (y1, x1, y2, x2)].
            pyramid: [P2, ..., P5].
            image_shape: (height, width) of the prepared image.

        Returns:
            {"mrcnn_class_logits": [batch, R, num_classes], "mrcnn_class": the same as
            probabilities, "mrcnn_bbox": [batch, R, box_classes, (dy, dx, log height, log width)]
            in units of BBOX_STD_DEV}
        """
        align = PyramidRoIAlign(self.pool_size, image_shape, name="roi_align_classifier")
        pooled = align([rois_normalized, *pyramid])
        count = pooled.shape[1]
        features = ops.reshape(pooled, (-1, *pooled.shape[2:]))
        for hidden, activation in zip(self.hidden, self.activations, strict=True):
            features = activation(hidden(features))
        features = ops.reshape(features, (-1, count, features.shape[-1]))
        logits = self.logits(features)
        deltas = ops.reshape(self.deltas(features), (-1, count, self.box_classes, 4))
        return {
            "mrcnn_class_logits": logits,
            "mrcnn_class": ops.softmax(logits, axis=-1),
            "mrcnn_bbox": deltas,
        }


class MaskHead:
    """RoIAlign, four convolutions, one upsampling, then a mask for each class.

    Args:
        mask_classes: 1 for a mask that serves every class, else the number of classes.
        pool_size: cells per side of a pooled RoI; the mask has twice as many.
        channels: of the convolutions.
        train_norm: whether batch statistics are updated while training.
    """

    def __init__(self, mask_classes, pool_size, channels, train_norm):
        self.pool_size = pool_size
        self.hidden = [
            NormalizedConvolution(
                channels,
                3,
                f"mrcnn_mask_conv{number}",
                f"mrcnn_mask_bn{number}",
                padding="same",
                train_norm=train_norm,
                name=f"mrcnn_mask_norm{number}",
            )
            for number in range(1, 5)
        ]
        self.activations = [
            layers.Activation("relu", name=f"mrcnn_mask_relu{number}") for number in range(1, 5)
        ]
        self.upsample = layers.Conv2DTranspose(
            channels, 2, strides=2, activation="relu", name="mrcnn_mask_deconv"
        )
        self.logits = layers.Conv2D(mask_classes, 1, name="mrcnn_mask")

    def __call__(self, rois_normalized, pyramid, image_shape):
        """Mask logits of each RoI: [batch, R, 2 * pool_size, 2 * pool_size, mask_classes].

        The arguments are those of `BoxHead`.
        """
        align = PyramidRoIAlign(self.pool_size, image_shape, name="roi_align_mask")
        pooled = align([rois_normalized, *pyramid])
        count = pooled.shape[1]
        features = ops.reshape(pooled, (-1, *pooled.shape[2:]))
        for hidden, activation in zip(self.hidden, self.activations, strict=True):
            features = activation(hidden(features))
        logits = self.logits(self.upsample(features))
        return ops.reshape(logits, (-1, count, *logits.shape[1:]))
