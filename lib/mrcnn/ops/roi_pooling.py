"""RoI pooling from a single feature map, for a network without a pyramid.

RoIs of any size come from the same map, so that a cell of a RoI can hold many pixels of it. The
rows and columns of a RoI are independent of one another, in the mean of a cell's samples as in its
maximum, so both are worked out side by side.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from mrcnn.ops import boxes
from mrcnn.ops.crop_and_resize import crop_and_resize


class MapPooling(layers.Layer):
    """Pools RoIs to `pool_size` x `pool_size` cells, of which every `step`-th row and column.

    Inputs: [rois_normalized [batch, R, (y1, x1, y2, x2)], map [batch, rows, columns, channels]].
    Output: [batch, R, n, n, channels], n = pool_size / step. No gradient flows into the RoIs.

    Args:
        pool_size: cells per side of a RoI.
        image_shape: (height, width) of the prepared image.
        step: 2 leaves out what a following convolution with a stride of 2 would not look at.
        edges: how RoIs are normalised, see `mrcnn.ops.boxes.normalize`.
    """

    def __init__(self, pool_size, image_shape, step=1, edges=False, **keywords):
        super().__init__(**keywords)
        self.pool_size = pool_size
        self.image_shape = tuple(int(side) for side in image_shape[:2])
        self.step = step
        self.edges = edges

    def compute_output_shape(self, input_shape):
        rois, features = input_shape
        return (*rois[:2], len(self.cells), len(self.cells), features[-1])

    def get_config(self):
        names = ("pool_size", "image_shape", "step", "edges")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @property
    def cells(self):
        """Numbers of the rows, and of the columns, that are pooled: float32 [n]."""
        return np.arange(0, self.pool_size, self.step, dtype=np.float32)

    def spans(self, rois_normalized, map_shape):
        """First and last pixel of RoIs in pixels of the map: ((y1, y2), (x1, x2)), each [...]."""
        scale, shift = boxes.scale_and_shift(self.image_shape, self.edges)
        pixels = ops.multiply(rois_normalized, np.float32(scale))
        inside = ops.add(pixels, np.float32(shift - np.array([0, 0, 1, 1])))
        rows, columns = map_shape
        y_scale, x_scale = rows / self.image_shape[0], columns / self.image_shape[1]
        y1, x1, y2, x2 = (inside[..., column] for column in range(4))
        return (y1 * y_scale, y2 * y_scale), (x1 * x_scale, x2 * x_scale)


@keras.saving.register_keras_serializable("mrcnn")
class MapCrops(MapPooling):
    """RoIAlign as Matterport's: one sample a cell, those of the outer cells on the corners."""

    def call(self, inputs):
        rois, features = inputs
        count, side = rois.shape[1], len(self.cells)
        indices = ops.repeat(ops.arange(ops.shape(rois)[0], dtype="int32"), count)
        first, last = rois[..., :2], rois[..., 2:]
        last = first + (last - first) * float(self.cells[-1] / (self.pool_size - 1))
        sampled = ops.reshape(ops.concatenate([first, last], axis=-1), (-1, 4))
        pooled = crop_and_resize(features, sampled, indices, (side, side))
        return ops.reshape(pooled, (-1, count, side, side, features.shape[-1]))


@keras.saving.register_keras_serializable("mrcnn")
class MapAverages(MapPooling):
    """RoIAlign as Detectron's: a cell is the mean of as many samples as it has pixels, rounded up.

    The mean of bilinear samples on a grid is a product of weights for rows and for columns. A RoI
    is at least a pixel wide; samples count as those of the nearest pixel within a pixel of the
    map, and as 0 beyond.
    """

    def call(self, inputs):
        rois, features = inputs
        rows, columns, channels = features.shape[1:]
        count, side = rois.shape[1], len(self.cells)
        y_span, x_span = self.spans(ops.stop_gradient(rois), (rows, columns))
        from_rows = ops.reshape(self._weights(y_span, rows), (-1, count * side, rows))
        from_columns = ops.expand_dims(self._weights(x_span, columns), 2)
        lines = ops.matmul(from_rows, ops.reshape(features, (-1, rows, columns * channels)))
        lines = ops.reshape(lines, (-1, count, side, columns, channels))
        return ops.matmul(from_columns, lines)

    def _weights(self, span, length):
        """How much each pixel of an axis counts in each cell: [batch, R, n, length]."""
        first, last = (each[..., None, None] for each in span)  # [batch, R, cells, samples]
        cell = ops.maximum(last - first, 1.0) / self.pool_size
        samples = ops.ceil(cell)
        numbers = ops.arange(math.ceil(length / self.pool_size), dtype="float32")
        places = first + ops.array(self.cells)[:, None] * cell + (numbers + 0.5) * (cell / samples)
        counted = (numbers < samples) & (places >= -1.0) & (places <= length)
        places = ops.clip(places, 0.0, length - 1.0)[..., None]
        pixels = ops.arange(length, dtype="float32")
        weights = ops.maximum(1.0 - ops.abs(places - pixels), 0.0)
        counted = ops.cast(counted, "float32") / samples
        return ops.sum(weights * counted[..., None], axis=-2)


@keras.saving.register_keras_serializable("mrcnn")
class MapMaxima(MapPooling):
    """RoI max pooling (Fast R-CNN, arXiv 1504.08083, section 2.1), as Caffe's.

    The corners are rounded to pixels of the map; a cell is the maximum of all pixels that it
    touches, and 0 if there are none. The graph grows with the number of pixels in a cell of the
    largest RoI.
    """

    def call(self, inputs):
        rois, features = inputs
        rows, columns, channels = features.shape[1:]
        y_span, x_span = self.spans(ops.stop_gradient(rois), (rows, columns))
        y_first, y_end, most_rows = self._ranges(y_span, rows)
        x_first, x_end, most_columns = self._ranges(x_span, columns)
        pixels = ops.reshape(features, (-1, channels))
        images = ops.arange(ops.shape(rois)[0], dtype="int32")[:, None, None, None]
        start = images * (rows * columns)
        best = None
        # Beyond the end of a cell its last pixel is taken again, which changes no maximum.
        for row in range(most_rows):
            y = ops.minimum(y_first + row, ops.maximum(y_end - 1, 0))[..., :, None]
            for column in range(most_columns):
                x = ops.minimum(x_first + column, ops.maximum(x_end - 1, 0))[..., None, :]
                found = ops.take(pixels, start + y * columns + x, axis=0)
                best = found if best is None else ops.maximum(best, found)
        touched = (y_end > y_first)[..., :, None] & (x_end > x_first)[..., None, :]
        return ops.where(touched[..., None], best, 0.0)

    def _ranges(self, span, length):
        """First pixel of each cell and the one after its last, int32 [batch, R, n]; most pixels."""
        first, last = (ops.cast(ops.floor(each + 0.5), "int32")[..., None] for each in span)
        sides = ops.maximum(last - first + 1, 1)
        cells = ops.array(self.cells, dtype="int32")
        # Whole numbers, since rounding would decide whether a cell touches another pixel.
        start = ops.floor_divide(cells * sides, self.pool_size)
        end = -ops.floor_divide(-(cells + 1) * sides, self.pool_size)
        most = math.ceil((length + 1) / self.pool_size) + 1
        start, end = (ops.clip(each + first, 0, length) for each in (start, end))
        return start, end, min(most, length)
