"""3x3 convolution with fewer multiplications (Lavin and Gray, arXiv 1509.09308).

Two by two outputs need 16 multiplications a channel instead of 36: F(2x2, 3x3) of the paper,
whose rounding errors are those of the plain convolution. It pays where maps and kernels are large.
"""

import numpy as np
from keras import ops

# G of the paper, three taps of a kernel to four; then for both directions, 3x3 taps to 4x4.
_LINE_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_KERNEL_TRANSFORM = np.kron(_LINE_TRANSFORM, _LINE_TRANSFORM).astype(np.float32)


def convolve_by_tiles(inputs, kernel):
    """Convolution with stride 1 and padding "same".

    Args:
        inputs: [batch, height, width, channels], height and width even.
        kernel: [3, 3, channels, filters].

    Returns:
        [batch, height, width, filters]
    """
    height, width, channels = inputs.shape[1:]
    rows, columns, filters = height // 2, width // 2, kernel.shape[3]
    kernels = ops.matmul(_KERNEL_TRANSFORM, ops.reshape(kernel, (9, channels * filters)))
    kernels = ops.reshape(kernels, (4, 4, channels, filters))
    padded = ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # Rows first, then columns, then the batch: a shift by a tile is a slice without a copy.
    pairs = ops.reshape(padded, (-1, rows + 1, 2, width + 2, channels))
    products = []
    for i, strip in enumerate(_transform_pairs(ops.transpose(pairs, (2, 1, 0, 3, 4)))):
        pairs = ops.reshape(strip, (rows, -1, columns + 1, 2, channels))
        tiles = _transform_pairs(ops.transpose(pairs, (3, 2, 0, 1, 4)))
        products.append(
            [
                ops.matmul(ops.reshape(tile, (-1, channels)), kernels[i, j])
                for j, tile in enumerate(tiles)
            ]
        )
    strips = [_gather_products(column) for column in zip(*products, strict=True)]
    quarters = [part for row in zip(*strips, strict=True) for part in _gather_products(row)]
    outputs = ops.reshape(ops.stack(quarters), (2, 2, columns, rows, -1, filters))
    outputs = ops.transpose(outputs, (4, 3, 0, 2, 1, 5))
    return ops.reshape(outputs, (-1, height, width, filters))


def _transform_pairs(pairs):
    """B' of the paper along the first axes of [2, tiles + 1, ...]: four arrays [tiles, ...].

    A tile is four lines, two of its own and two of its neighbour's.
    """
    even, odd = pairs[0], pairs[1]
    return (
        even[:-1] - even[1:],
        odd[:-1] + even[1:],
        even[1:] - odd[:-1],
        odd[:-1] - odd[1:],
    )


def _gather_products(four):
    """A' of the paper: four products to two outputs."""
    first, second, third, fourth = four
    return first + second + third, second - third - fourth
