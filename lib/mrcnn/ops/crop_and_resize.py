"""Cuts boxes out of feature maps and resizes them bilinearly, one sample a cell.

The rule is that of TensorFlow's kernel: the corners of the box are the centres of the corner
samples, positions are fractions of (size - 1), and samples outside of the map are 0.
"""

import keras
from keras import ops


def crop_and_resize(maps, boxes_normalized, indices, size):
    """Crop each box from one of the maps: float [M, *size, channels].

    No gradient flows into the boxes.

    Args:
        maps: float [N, height, width, channels].
        boxes_normalized: [M, (y1, x1, y2, x2)], in fractions of (height - 1) and (width - 1).
        indices: int [M], which map a box is cut from.
        size: (rows, columns) of the result.
    """
    boxes_normalized = ops.stop_gradient(ops.convert_to_tensor(boxes_normalized))
    if keras.backend.backend() == "tensorflow":
        return _crop_by_kernel(maps, boxes_normalized, indices, size)
    return crop_by_gather(maps, boxes_normalized, indices, size)


def image_of_each(boxes, images):
    """Which of `images` maps each of [batch, N, 4] boxes is cut from: int32 [batch * N].

    Every entry of the batch has a map of its own, or a single one serves all.
    """
    entries = ops.repeat(ops.arange(ops.shape(boxes)[0], dtype="int32"), boxes.shape[1])
    return ops.minimum(entries, images - 1)


def _crop_by_kernel(maps, boxes_normalized, indices, size):
    import tensorflow as tf

    crop = with_gradient_of(
        lambda maps: crop_by_gather(maps, boxes_normalized, indices, size),
        lambda maps: tf.image.crop_and_resize(maps, boxes_normalized, indices, size),
    )
    return crop(maps)


def with_gradient_of(general, kernel):
    """A function of tensors on TensorFlow: `kernel` forwards, the transpose of `general` backwards.

    Both compute the same, linear in the tensors. The kernel of TensorFlow's own gradient of
    `crop_and_resize` adds from several threads of a CPU without a lock: where boxes overlap, it
    now and then loses an addition.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def function(*tensors):
        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                result = general(*tensors)
            return tape.gradient(result, tensors, upstream)

        return kernel(*tensors), gradient

    return function


def crop_by_gather(maps, boxes_normalized, indices, size):
    """`crop_and_resize` on every backend."""
    _, height, width, channels = maps.shape
    count = ops.shape(boxes_normalized)[0]
    return crop_from_pixels(
        ops.reshape(maps, (-1, channels)),
        boxes_normalized,
        ops.cast(indices, "int32") * (height * width),
        ops.full((count,), height, dtype="int32"),
        ops.full((count,), width, dtype="int32"),
        size,
    )


def crop_from_pixels(pixels, boxes_normalized, offsets, heights, widths, size):
    """Crop boxes from maps of different sizes that lie one after another in a list of pixels.

    Args:
        pixels: float [P, channels], the rows of all maps.
        boxes_normalized: [M, (y1, x1, y2, x2)].
        offsets: int32 [M], where the map of each box begins.
        heights, widths: int32 [M], size of that map.
        size: (rows, columns) of the result.

    Returns:
        float [M, *size, channels]
    """
    y1, x1, y2, x2 = (boxes_normalized[:, column] for column in range(4))
    top, bottom, weight_y, inside_y = _sample_axis(y1, y2, heights, size[0])
    left, right, weight_x, inside_x = _sample_axis(x1, x2, widths, size[1])

    def row_of_pixels(rows):
        return (offsets[:, None] + rows * widths[:, None])[:, :, None]

    def take(rows, columns):
        return ops.take(pixels, row_of_pixels(rows) + columns[:, None, :], axis=0)

    weight_x = weight_x[:, None, :, None]
    upper = take(top, left) * (1 - weight_x) + take(top, right) * weight_x
    lower = take(bottom, left) * (1 - weight_x) + take(bottom, right) * weight_x
    weight_y = weight_y[:, :, None, None]
    inside = ops.logical_and(inside_y[:, :, None, None], inside_x[:, None, :, None])
    crops = upper * (1 - weight_y) + lower * weight_y
    return ops.where(inside, crops, ops.zeros_like(crops))


def _sample_axis(start, end, lengths, samples):
    """Neighbours, weight of the second one and validity of the samples along one axis.

    Every product and quotient is rounded on its own, as TensorFlow's kernel does, because
    rounding decides whether the last sample of a box at the border lies inside. Compilers would
    merge products into sums and replace quotients; a zero that they cannot foresee prevents it.
    """
    zero = ops.minimum(ops.abs(start), 0.0)
    last = ops.cast(lengths - 1, "float32")
    if samples > 1:
        step = ((end - start) * last + zero) / (samples - 1 + zero)
        products = ops.arange(samples, dtype="float32") * step[:, None] + zero[:, None]
        positions = (start * last + zero)[:, None] + products
    else:
        positions = (0.5 * (start + end) * last)[:, None]
    inside = ops.logical_and(positions >= 0, positions <= last[:, None])
    positions = ops.where(inside, positions, ops.zeros_like(positions))
    lower = ops.floor(positions)
    first = ops.cast(lower, "int32")
    second = ops.cast(ops.ceil(positions), "int32")
    return first, second, positions - lower, inside
