"""What is in each RoI: a class and a better box (box head), and a mask (mask head)."""

from keras import layers, ops

from mrcnn.modeling.conv_norm import NormalizedConvolution
from mrcnn.ops.initializers import RandomKernel
from mrcnn.ops.roi_align import POOLED_LEVELS, PyramidRoIAlign


class BoxOutputs:
    """Class logits and box deltas from a vector for each RoI: the end of every box head.

    Args:
        num_classes: background included.
        box_classes: 1 for deltas that serve every class, else `num_classes`.
    """

    def __init__(self, num_classes, box_classes):
        self.box_classes = box_classes
        self.logits = layers.Dense(
            num_classes, kernel_initializer=RandomKernel(), name="mrcnn_class_logits"
        )
        self.deltas = layers.Dense(
            4 * box_classes, kernel_initializer=RandomKernel(), name="mrcnn_bbox_fc"
        )

    def predict(self, features, count):
        """Named outputs of `count` RoIs an image.

        Args:
            features: [batch * count, 1, 1, channels], or the same in another shape.

        Returns:
            {"mrcnn_class_logits": [batch, count, num_classes], "mrcnn_class": the same as
            probabilities, "mrcnn_bbox": [batch, count, box_classes, 4]: (dy, dx, log height, log
            width) in units of BBOX_STD_DEV}
        """
        vectors = ops.reshape(features, (-1, count, features.shape[-1]))
        logits = self.logits(vectors)
        shape = (-1, count, self.box_classes, 4)
        return {
            "mrcnn_class_logits": logits,
            "mrcnn_class": ops.softmax(logits, axis=-1),
            "mrcnn_bbox": ops.reshape(self.deltas(vectors), shape),
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
            kernel_initializer=RandomKernel(),
            name="mrcnn_mask_deconv",
        )
        self.logits = layers.Conv2D(
            mask_classes, 1, kernel_initializer=RandomKernel(), name="mrcnn_mask"
        )

    def predict(self, features, count):
        """Mask logits of `count` RoIs an image: [batch, count, 2 * n, 2 * n, mask_classes].

        Args:
            features: [batch * count, n, n, channels].
        """
        logits = self.logits(self.upsample(features))
        return ops.reshape(logits, (-1, count, *logits.shape[1:]))


class RoIHead:
    """What a head predicts of RoIs: `pool` and `predict_pooled` of the subclass, one after another.

    Args:
        pool: function (rois_normalized, maps, image_shape, name) -> features of each RoI
            [batch, R, n, n, channels].
        kind: "classifier" or "mask", for the name of the layer that pools.
    """

    def __init__(self, pool, kind):
        self.pool, self.pool_name = pool, f"roi_align_{kind}"

    def __call__(self, rois_normalized, maps, image_shape):
        """What `predict_pooled` returns for each RoI.

        Args:
            rois_normalized: [batch, R, (y1, x1, y2, x2)].
            maps: that RoIs are pooled from: [P2, ..., P5], and more of a pyramid; or [C4].
            image_shape: (height, width) of the prepared image.
        """
        pooled = self.pool(rois_normalized, maps, image_shape, self.pool_name)
        return self.predict_pooled(pooled)


class PyramidHead(RoIHead):
    """RoIAlign, then convolutions, then what `predict` of the subclass makes of their features.

    Args:
        pool_size: cells per side of a pooled RoI.
        align: the class of RoIAlign.
        kind: "class" or "mask", for the names of the layers.
        convolutions: [(channels, kernel size), ...]
        padding: of the convolutions.
        train_norm: whether batch statistics are updated while training.
    """

    def __init__(self, pool_size, align, kind, convolutions, padding, train_norm):
        def pool(rois_normalized, maps, image_shape, name):
            levels = maps[:POOLED_LEVELS]
            return align(pool_size, image_shape, name=name)([rois_normalized, *levels])

        super().__init__(pool, {"class": "classifier", "mask": "mask"}[kind])
        self.hidden = [
            NormalizedConvolution(
                channels,
                size,
                f"mrcnn_{kind}_conv{number}",
                f"mrcnn_{kind}_bn{number}",
                padding=padding,
                train_norm=train_norm,
                name=f"mrcnn_{kind}_norm{number}",
            )
            for number, (channels, size) in enumerate(convolutions, start=1)
        ]
        self.activations = [
            layers.Activation("relu", name=f"mrcnn_{kind}_relu{number}")
            for number in range(1, len(convolutions) + 1)
        ]

    def predict_pooled(self, pooled):
        """What `predict` returns for features of RoIs."""
        count = pooled.shape[1]
        features = ops.reshape(pooled, (-1, *pooled.shape[2:]))
        for hidden, activation in zip(self.hidden, self.activations, strict=True):
            features = activation(hidden(features))
        return self.predict(features, count)


class BoxHead(PyramidHead, BoxOutputs):
    """RoIAlign, two fully connected layers, then class logits and box deltas.

    Args:
        num_classes, box_classes: see `BoxOutputs`.
        hidden: size of the fully connected layers.
        pool_size, train_norm, align: see `PyramidHead`.
    """

    def __init__(
        self, num_classes, box_classes, hidden, pool_size, train_norm, align=PyramidRoIAlign
    ):
        layers = [(hidden, pool_size), (hidden, 1)]
        PyramidHead.__init__(self, pool_size, align, "class", layers, "valid", train_norm)
        BoxOutputs.__init__(self, num_classes, box_classes)


class MaskHead(PyramidHead, MaskOutputs):
    """RoIAlign, four convolutions, one upsampling, then a mask for each class.

    Args:
        mask_classes: see `MaskOutputs`.
        channels: of the convolutions.
        pool_size, train_norm, align: see `PyramidHead`; the mask has twice as many cells.
    """

    def __init__(self, mask_classes, pool_size, channels, train_norm, align=PyramidRoIAlign):
        PyramidHead.__init__(
            self, pool_size, align, "mask", [(channels, 3)] * 4, "same", train_norm
        )
        MaskOutputs.__init__(self, mask_classes, channels)
