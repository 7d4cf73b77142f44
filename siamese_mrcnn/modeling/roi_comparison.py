"""Comparison on RoIs: what a RoI shows beside what the reference shows, place by place.

Yang et al., "Balanced and Hierarchical Relation Learning for One-shot Object Detection" (BHRL),
CVPR 2022: the instance-level hierarchical relation, IHR. The matched pyramid compares places with
the reference's average; here each RoI, cut from the pyramid before matching, meets the reference's
own places, in three ways: against the average, times the average, and against the places of the
reference that resemble it.
"""

import keras
import numpy as np
from keras import layers, ops

from mrcnn.ops.initializers import RandomKernel
from mrcnn.ops.roi_align import POOLED_LEVELS

# How wide the keys' kernels begin: as wide as others, the softmax of trained features would choose
# single places from the first step on, and let no gradient through.
KEYS = 0.2
ROI_COMPARISON = "mrcnn_compare_.*"  # regular expression of its layers' names


class ComparedPyramid(list):
    """A matched pyramid [P2, ..., P6], and what RoIs are compared by.

    Attributes:
        query: the pyramid before matching.
        reference: as of `ComparingBoxHead.keep`.
    """

    def __init__(self, matched, query, reference):
        super().__init__(matched)
        self.query, self.reference = query, reference


class ComparingBoxHead:
    """A box head whose pooled features of each RoI a comparison with the reference is added to.

    x: a RoI of the unmatched pyramid; R: the reference, pooled to as many cells; t: mean of R; c: a
    1x1 convolution to half the channels, the same one everywhere. contrast = c|t - x|, salient =
    c(x t), attention = c|x' - x|, where a place of x' is the mean of R's places weighted by a
    softmax of k_x(x)^T k_R(R) over them, with 3x3 convolutions k to an eighth of the channels. A
    1x1 convolution of [c(salient, contrast), attention, x] is the result.

    Differences from BHRL: the result is added to the RoI of the matched pyramid, in place of
    which BHRL's head looks at the result alone, and its last convolution begins at 0, so that
    trained weights of the paper's model give their numbers at first; the reference is the crop as
    it was prepared, where BHRL cuts its box out of a photo's features; levels are resized to R by
    area, where BHRL repeats cells; the softmax runs over R's places, as the article has it, where
    the published code takes x's.

    Several references count as one of as many more places, as in `.co_attention` beside this.

    Args:
        box_head: `mrcnn.modeling.roi_heads.BoxHead`.
        channels: of the pyramid before matching.
        matched_channels: of the matched one.
        pool_size: cells per side of a pooled RoI.
    """

    def __init__(self, box_head, channels, matched_channels, pool_size):
        self.box_head, self.channels, self.pool_size = box_head, channels, pool_size
        self.key_channels = max(1, channels // 8)

        def dense(name, units, kernel):
            return layers.Dense(units, kernel_initializer=kernel, name=f"mrcnn_compare_{name}")

        def keys(name, **keywords):
            return layers.Conv2D(
                self.key_channels,
                3,
                padding="same",
                kernel_initializer=RandomKernel(scale=KEYS),
                name=f"mrcnn_compare_{name}",
                **keywords,
            )

        self.reduce = dense("reduce", channels // 2, RandomKernel())
        self.roi_keys = keys("roi_keys")
        # A bias of these would add the same to all places, which no softmax sees.
        self.reference_keys = keys("reference_keys", use_bias=False)
        self.merge = dense("merge", matched_channels, "zeros")

    def keep(self, pyramid, shots):
        """What it needs of references: [R, k_R(R)], each [batch, K * cells, channels].

        Args:
            pyramid: of the references, each level [batch * K, rows, columns, channels].
            shots: K.
        """
        levels = [pool_by_area(level, self.pool_size) for level in pyramid[:POOLED_LEVELS]]
        pooled = ops.mean(ops.stack(levels), axis=0)
        cells = shots * self.pool_size**2
        return [
            ops.reshape(each, (-1, cells, each.shape[-1]))
            for each in (pooled, self.reference_keys(pooled))
        ]

    def inputs(self):
        """Symbolic inputs for what `keep` gives."""
        return [
            keras.Input((None, self.channels), name="reference_cells"),
            keras.Input((None, self.key_channels), name="reference_keys"),
        ]

    def __call__(self, rois_normalized, maps, image_shape):
        """As of `mrcnn.modeling.roi_heads.RoIHead`; `maps` is a `ComparedPyramid`."""
        head = self.box_head
        pooled = head.pool(rois_normalized, maps, image_shape, head.pool_name)
        unmatched = head.pool(rois_normalized, maps.query, image_shape, "roi_align_unmatched")
        return head.predict_pooled(ops.add(pooled, self.compare(unmatched, *maps.reference)))

    def compare(self, rois, reference, reference_keys):
        """The result for RoIs [batch, N, n, n, channels]: [batch, N, n, n, matched channels].

        Args:
            reference, reference_keys: as of `keep`; a batch of 1 serves all.
        """
        count, side = rois.shape[1:3]
        keys = self.roi_keys(ops.reshape(rois, (-1, *rois.shape[2:])))
        keys = ops.reshape(keys, (-1, count * side * side, self.key_channels))
        x = ops.reshape(rois, (-1, count * side * side, self.channels))
        mean = ops.mean(reference, axis=1, keepdims=True)
        likeness = ops.matmul(keys, ops.transpose(reference_keys, (0, 2, 1)))
        resembling = ops.matmul(ops.softmax(likeness, axis=-1), reference)
        contrast = self.reduce(ops.abs(mean - x))
        salient = self.reduce(x * mean)
        attention = self.reduce(ops.abs(resembling - x))
        both = self.reduce(ops.concatenate([salient, contrast], axis=-1))
        merged = self.merge(ops.concatenate([both, attention, x], axis=-1))
        return ops.reshape(merged, (-1, count, side, side, merged.shape[-1]))


def pool_by_area(features, side):
    """Maps [batch, rows, columns, channels] to [batch, side, side, channels], larger or smaller.

    A cell is the mean over its part of the map, so the mean over all of it stays.
    """
    by_rows, by_columns = (_shares(length, side) for length in features.shape[1:3])
    features = ops.einsum("ij,bjkc->bikc", by_rows, features)
    return ops.einsum("ij,bkjc->bkic", by_columns, features)


def _shares(length, side):
    """float32 [side, length]: which share each of `length` pixels has in each of `side` cells."""
    edges, pixels = np.arange(side + 1) * length / side, np.arange(length)
    ends = np.minimum(edges[1:, None], pixels + 1)
    overlaps = np.maximum(ends - np.maximum(edges[:-1, None], pixels), 0)
    return (overlaps * side / length).astype(np.float32)
