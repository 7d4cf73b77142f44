"""What is in each RoI: a class and a better box (box head), and a mask (mask head)."""

from keras import layers, ops

from mrcnn.modeling.conv_norm import NormalizedConvolution
from mrcnn.modeling.initializers import DrawnKernel
from mrcnn.ops.roi_align import PyramidRoIAlign


class BoxOutputs:
    """Class logits and box deltas from a vector for each RoI: the end of every box head.

    Args:
        num_classes: background included.
        box_classes: 1 for deltas that serve every class, else `num_classes`.
    """

    def __init__(self, num_classes, box_classes):
        self.box_classes = box_classes
        self.logits = layers.Dense(
            num_classes, kernel_initializer=DrawnKernel(), name="mrcnn_class_logits"
        )
        self.deltas = layers.Dense(
            4 * box_classes, kernel_initializer=DrawnKernel(), name="mrcnn_bbox_fc"
        )

    def answer(self, features):
        """Named outputs for features [batch, R, channels].

        Returns:
            {"mrcnn_class_logits": [batch, R, num_classes], "mrcnn_class": the same as
            probabilities, "mrcnn_bbox": [batch, R, box_classes, (dy, dx, log height, log width)]
            in units of BBOX_STD_DEV}
        """
        logits = self.logits(features)
        shape = (-1, features.shape[1], self.box_classes, 4)
        return {
            "mrcnn_class_logits": logits,
            "mrcnn_class": ops.softmax(logits, axis=-1),
            "mrcnn_bbox": ops.reshape(self.deltas(features), shape),
        }


class MaskOutputs:
    """One upsampling, then a mask for each class: the end of every mask head.

    Args:
        mask_classes: 1 for a mask that serves every class, else the number of classes.
        channels: of the upsampled features.
    """

    def __init__(self, mask_classes, channels):
        self.upsample = layers.Conv2DTranspose(
            channels,
            2,
            strides=2,
            activation="relu",
            kernel_initializer=DrawnKernel(),
            name="mrcnn_mask_deconv",
        )
        self.logits = layers.Conv2D(
            mask_classes, 1, kernel_initializer=DrawnKernel(), name="mrcnn_mask"
        )

    def answer(self, features, count):
        """Mask logits of `count` RoIs an image: [batch, count, 2 * n, 2 * n, mask_classes].

        Args:
            features: [batch * count, n, n, channels].
        """
        logits = self.logits(self.upsample(features))
        return ops.reshape(logits, (-1, count, *logits.shape[1:]))


class BoxHead(BoxOutputs):
    """RoIAlign, two fully connected layers, then class logits and box deltas.

    Args:
        num_classes, box_classes: see `BoxOutputs`.
        hidden: size of the fully connected layers.
        pool_size: cells per side of a pooled RoI.
        train_norm: whether batch statistics are updated while training.
        align: the class of RoIAlign.
    """

    def __init__(
        self, num_classes, box_classes, hidden, pool_size, train_norm, align=PyramidRoIAlign
    ):
        self.pool_size = pool_size
        self.align = align
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
        super().__init__(num_classes, box_classes)

    def __call__(self, rois_normalized, pyramid, image_shape):
        """Named outputs for each RoI.

        Args:
            rois_normalized: [batch, R, (y1, x1, y2, x2)].
            pyramid: [P2, ..., P5].
            image_shape: (height, width) of the prepared image.

        Returns:
            see `BoxOutputs.answer`
        """
        align = self.align(self.pool_size, image_shape, name="roi_align_classifier")
        pooled = align([rois_normalized, *pyramid])
        count = pooled.shape[1]
        features = ops.reshape(pooled, (-1, *pooled.shape[2:]))
        for hidden, activation in zip(self.hidden, self.activations, strict=True):
            features = activation(hidden(features))
        return self.answer(ops.reshape(features, (-1, count, features.shape[-1])))


class MaskHead(MaskOutputs):
    """RoIAlign, four convolutions, one upsampling, then a mask for each class.

    Args:
        mask_classes: see `MaskOutputs`.
        pool_size: cells per side of a pooled RoI; the mask has twice as many.
        channels: of the convolutions.
        train_norm: whether batch statistics are updated while training.
        align: the class of RoIAlign.
    """

    def __init__(self, mask_classes, pool_size, channels, train_norm, align=PyramidRoIAlign):
        self.pool_size = pool_size
        self.align = align
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
        super().__init__(mask_classes, channels)

    def __call__(self, rois_normalized, pyramid, image_shape):
        """Mask logits of each RoI: [batch, R, 2 * pool_size, 2 * pool_size, mask_classes].

        The arguments are those of `BoxHead`.
        """
        align = self.align(self.pool_size, image_shape, name="roi_align_mask")
        pooled = align([rois_normalized, *pyramid])
        count = pooled.shape[1]
        features = ops.reshape(pooled, (-1, *pooled.shape[2:]))
        for hidden, activation in zip(self.hidden, self.activations, strict=True):
            features = activation(hidden(features))
        return self.answer(features, count)
