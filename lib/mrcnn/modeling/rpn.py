"""The region proposal network (Ren et al., arXiv 1506.01497): scores and moves anchors."""

from keras import layers, ops

from mrcnn.modeling.conv_norm import FastConvolution
from mrcnn.ops.initializers import RandomKernel


class RegionProposalNetwork:
    """One small convolutional network, run over every pyramid level with the same weights.

    Args:
        anchors_per_cell: number of anchor ratios, times that of scales on a map.
        anchor_stride: cells between anchors.
        channels: of the shared convolution.
        logits_per_anchor: 2, or 1 for a foreground logit alone, beside which the background's
            is 0: the softmax over both is the sigmoid of the one.
    """

    def __init__(self, anchors_per_cell, anchor_stride=1, channels=512, logits_per_anchor=2):
        self.logits_per_anchor = logits_per_anchor
        self.shared = FastConvolution(
            channels,
            3,
            padding="same",
            strides=anchor_stride,
            activation="relu",
            kernel_initializer=RandomKernel(),
            name="rpn_conv_shared",
        )
        self.classes = layers.Conv2D(
            logits_per_anchor * anchors_per_cell,
            1,
            kernel_initializer=RandomKernel(),
            name="rpn_class_raw",
        )
        self.deltas = layers.Conv2D(
            4 * anchors_per_cell, 1, kernel_initializer=RandomKernel(), name="rpn_bbox_pred"
        )
        self.concatenate = {
            name: layers.Concatenate(axis=1, name=name) for name in ("rpn_class_logits", "rpn_bbox")
        }
        self.softmax = layers.Activation("softmax", name="rpn_class")

    def __call__(self, pyramid):
        """Named outputs for all A anchors, in the order of `mrcnn.ops.anchors.pyramid_anchors`.

        Args:
            pyramid: list of [batch, rows, columns, channels].

        Returns:
            {"rpn_class_logits": [batch, A, (background, foreground)], "rpn_class": the same as
            probabilities, "rpn_bbox": [batch, A, (dy, dx, log height, log width)] in units of
            RPN_BBOX_STD_DEV}
        """
        logits, deltas = [], []
        for features in pyramid:
            shared = self.shared(features)
            logits.append(self._both(_rows(self.classes(shared), self.logits_per_anchor)))
            deltas.append(_rows(self.deltas(shared), 4))
        logits = self.concatenate["rpn_class_logits"](logits)
        return {
            "rpn_class_logits": logits,
            "rpn_class": self.softmax(logits),
            "rpn_bbox": self.concatenate["rpn_bbox"](deltas),
        }

    def _both(self, logits):
        """Logits of background and foreground: [batch, anchors of the level, 2]."""
        if self.logits_per_anchor == 2:
            return logits
        return ops.concatenate([ops.zeros_like(logits), logits], axis=-1)


def _rows(features, columns):
    """[batch, rows, columns, anchors * n] to [batch, anchors of the level, n]."""
    _, height, width, channels = features.shape
    return ops.reshape(features, (-1, height * width * channels // columns, columns))
