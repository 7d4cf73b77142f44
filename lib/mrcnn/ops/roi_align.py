"""RoIAlign over the feature pyramid: every RoI is cut from the level that fits its size."""

import keras
from keras import layers, ops

from mrcnn.ops.crop_and_resize import crop_from_pixels, image_of_each, with_gradient_of

CANONICAL_SIDE = 224.0  # pixels; a RoI of this size is pooled from P4 (arXiv 1612.03144, eq. 1)
FINEST, COARSEST = 2, 5
POOLED_LEVELS = COARSEST - FINEST + 1
FLOOR_MARGIN = 1e-6  # keeps a RoI of just the canonical size from being rounded down
SAMPLES = 2  # per side of a cell in `PyramidAverages`


def roi_levels(rois_normalized, image_shape, floor=False):
    """Pyramid level (2..5) of each RoI: int32 [...] from [..., (y1, x1, y2, x2)].

    Equation 1 of arXiv 1612.03144: 4 + log2(sqrt(height * width) / 224), rounded to even,
    with the RoI measured in pixels of an image of `image_shape`. With `floor`, rounded down, as
    in the paper.
    """
    y1, x1, y2, x2 = (rois_normalized[..., column] for column in range(4))
    image_side = float(image_shape[0] * image_shape[1]) ** 0.5
    side = ops.sqrt(ops.maximum((y2 - y1) * (x2 - x1), 0))
    quotient = ops.maximum(side, 1e-12) / (CANONICAL_SIDE / image_side)
    if floor:
        level = 4 + ops.floor(ops.log2(quotient + FLOOR_MARGIN))
    else:
        level = 4 + ops.round(ops.log2(quotient))
    # A box that is not a number, of weights that diverged, has a level nevertheless.
    level = ops.where(ops.isnan(level), FINEST, ops.clip(level, FINEST, COARSEST))
    return ops.cast(level, "int32")


@keras.saving.register_keras_serializable("mrcnn")
class PyramidRoIAlign(layers.Layer):
    """Pools RoIs from P2..P5 to `pool_size` x `pool_size` cells.

    Inputs: [rois_normalized [batch, R, (y1, x1, y2, x2)], P2, P3, P4, P5]; the pyramid of a single
    image serves the whole batch. Output: [batch, R, pool_size, pool_size, channels]. No gradient
    flows into the RoIs.
    """

    def __init__(self, pool_size, image_shape, **keywords):
        super().__init__(**keywords)
        self.pool_size = pool_size
        self.image_shape = tuple(int(side) for side in image_shape[:2])

    def call(self, inputs):
        rois, *pyramid = inputs
        rois = ops.stop_gradient(rois)
        batch, count, channels = rois.shape[0] or -1, rois.shape[1], pyramid[0].shape[-1]
        indices = image_of_each(rois, ops.shape(pyramid[0])[0])
        rois = ops.reshape(rois, (-1, 4))
        pooled = self._pool(pyramid, rois, indices)
        # A batch whose size is known lets convolutions choose their way by it.
        return ops.reshape(pooled, (batch, count, self.pool_size, self.pool_size, channels))

    def _pool(self, pyramid, rois, indices):
        """RoIs [M, 4] of batch entries [M]: [M, pool_size, pool_size, channels]."""
        levels = roi_levels(rois, self.image_shape) - FINEST
        return align(pyramid, rois, indices, levels, self.pool_size)

    def compute_output_shape(self, input_shape):
        rois, *pyramid = input_shape
        return (*rois[:2], self.pool_size, self.pool_size, pyramid[0][-1])

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "image_shape": self.image_shape,
        }


@keras.saving.register_keras_serializable("mrcnn")
class PyramidAverages(PyramidRoIAlign):
    """RoIAlign as Detectron's: a cell is the mean of 2 x 2 samples inside of it.

    RoIs are normalised by the edges of the image. One is at least a pixel of its level wide;
    samples count as those of the nearest pixel within a pixel of the level, and as 0 beyond.
    """

    def _pool(self, pyramid, rois, indices):
        levels = roi_levels(rois, self.image_shape, floor=True) - FINEST
        # A copy of the last line behind it makes samples there those of the nearest pixel. On
        # maps that are larger by this line, coordinates are fractions of all pixels.
        pyramid = [
            ops.pad(features, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="symmetric")
            for features in pyramid
        ]
        samples = SAMPLES * self.pool_size
        pooled = align(pyramid, self._sampled(rois, levels), indices, levels, samples)
        cells = (-1, self.pool_size, SAMPLES, self.pool_size, SAMPLES, pyramid[0].shape[-1])
        return ops.mean(ops.reshape(pooled, cells), axis=(2, 4))

    def _sampled(self, rois, levels):
        """The boxes whose corners are the outermost samples of RoIs, [M, 4] both."""
        height, width = self.image_shape
        pixel = ops.array([1 / height, 1 / width], dtype="float32")
        first, last = rois[:, :2], rois[:, 2:] - pixel  # Detectron's last pixel is inside
        strides = ops.array([[4], [8], [16], [32]], dtype="float32") * pixel
        side = ops.maximum(last - first, ops.take(strides, levels, axis=0))
        margin = side * (0.5 / (SAMPLES * self.pool_size))
        return ops.concatenate([first + margin, first + side - margin], axis=-1)


def align(pyramid, rois_normalized, indices, levels, pool_size):
    """`align_by_gather` by the fastest way."""

    def by_gather(*pyramid):
        return align_by_gather(pyramid, rois_normalized, indices, levels, pool_size)

    def by_kernel(*pyramid):
        return _align_by_kernel(pyramid, rois_normalized, indices, levels, pool_size)

    if keras.backend.backend() == "tensorflow":
        return with_gradient_of(by_gather, by_kernel)(*pyramid)
    return by_gather(*pyramid)


def align_by_gather(pyramid, rois_normalized, indices, levels, pool_size):
    """RoIAlign on every backend: [M, pool_size, pool_size, channels].

    All levels become one list of pixels, so that a single gather serves RoIs of any level.

    Args:
        pyramid: [P2, ..., P5], each [batch, rows, columns, channels].
        rois_normalized: [M, (y1, x1, y2, x2)].
        indices: int32 [M], which batch entry.
        levels: int32 [M], 0 for P2 to 3 for P5.
    """
    shapes = [features.shape[1:3] for features in pyramid]
    pixels = ops.concatenate(
        [ops.reshape(features, (-1, features.shape[-1])) for features in pyramid]
    )
    heights = ops.take(ops.array([height for height, _ in shapes], "int32"), levels)
    widths = ops.take(ops.array([width for _, width in shapes], "int32"), levels)
    batch = ops.shape(pyramid[0])[0]
    starts, start = [], 0
    for height, width in shapes:
        starts.append(start)
        start = start + batch * height * width
    offsets = ops.take(ops.stack([ops.cast(s, "int32") for s in starts]), levels)
    offsets = offsets + indices * heights * widths
    return crop_from_pixels(
        pixels, rois_normalized, offsets, heights, widths, (pool_size, pool_size)
    )


def _align_by_kernel(pyramid, rois_normalized, indices, levels, pool_size):
    """The same by TensorFlow's kernel, every RoI on its own level only."""
    import tensorflow as tf

    count = tf.shape(levels)[0]
    places = tf.dynamic_partition(tf.range(count), levels, len(pyramid))
    crops = [
        tf.image.crop_and_resize(
            features,
            tf.gather(rois_normalized, place),
            tf.gather(indices, place),
            (pool_size, pool_size),
        )
        for features, place in zip(pyramid, places, strict=True)
    ]
    return tf.dynamic_stitch(places, crops)
