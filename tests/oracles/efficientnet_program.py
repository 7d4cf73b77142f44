"""EfficientNet-Lite as published, layer by layer, in NumPy alone: slow and obvious.

Weights are those of an archive with its names: stem, b0_depth, b0_project, b1_expand, ...; kernels
[rows, columns, inputs, outputs], of depthwise convolutions [rows, columns, channels, 1].
"""

import numpy as np

EPSILON = 1e-3
# Side of the depthwise kernels, stride of the first block, blocks; C2..C5 follow the rows in LAST.
ROWS = {
    0: [(3, 1, 1), (3, 2, 2), (5, 2, 2), (3, 2, 3), (5, 1, 3), (5, 2, 4), (3, 1, 1)],
    2: [(3, 1, 1), (3, 2, 3), (5, 2, 3), (3, 2, 4), (5, 1, 4), (5, 2, 5), (3, 1, 1)],
}
LAST = (1, 2, 4, 6)


def features(arrays, number, images):
    """[C2, C3, C4, C5] of images [height, width, 3], RGB 0..255: float64 [rows, columns, n]."""
    maps, block = [], 0
    inner = np.clip(_layer(arrays, "stem", (images - 127.0) / 128.0, 2), 0, 6)
    for row, (side, first_stride, blocks) in enumerate(ROWS[number]):
        for place in range(blocks):
            stride = first_stride if place == 0 else 1
            assert arrays[f"b{block}_depth/kernel"].shape[0] == side
            inner = _block(arrays, f"b{block}", inner, stride, place > 0)
            block += 1
        if row in LAST:
            maps.append(inner)
    return maps


def _block(arrays, name, inputs, stride, has_shortcut):
    wide = inputs
    if f"{name}_expand/kernel" in arrays:
        wide = np.clip(_layer(arrays, f"{name}_expand", inputs, 1), 0, 6)
    wide = np.clip(_layer(arrays, f"{name}_depth", wide, stride), 0, 6)
    outputs = _layer(arrays, f"{name}_project", wide, 1)
    return inputs + outputs if has_shortcut else outputs


def _layer(arrays, name, inputs, stride):
    """Convolution, then batch normalisation with the kept statistics."""
    kernel = arrays[f"{name}/kernel"].astype(np.float64)
    gamma, beta, mean, variance = (
        arrays[f"{name}_bn/{kind}"].astype(np.float64)
        for kind in ("gamma", "beta", "mean", "variance")
    )
    outputs = _convolution(inputs, kernel, stride, depthwise=name.endswith("_depth"))
    return gamma * (outputs - mean) / np.sqrt(variance + EPSILON) + beta


def _convolution(inputs, kernel, stride, depthwise):
    """Padded as TensorFlow's "SAME": ceil(side / stride) outputs, the odd cell at the end."""
    side, lengths = kernel.shape[0], [-(-length // stride) for length in inputs.shape[:2]]
    pads = [
        max((count - 1) * stride + side - length, 0)
        for count, length in zip(lengths, inputs.shape, strict=False)
    ]
    padded = np.pad(inputs, [*((pad // 2, pad - pad // 2) for pad in pads), (0, 0)])
    total = 0.0
    for y in range(side):
        for x in range(side):
            rows, columns = ((count - 1) * stride + 1 for count in lengths)
            seen = padded[y : y + rows : stride, x : x + columns : stride]
            total = total + (seen * kernel[y, x, :, 0] if depthwise else seen @ kernel[y, x])
    return total


def random_arrays(number, rng):
    """Weights of the published shapes, but of one channel in four, that keep maps in range."""
    wide = {0: [16, 24, 40, 80, 112, 192, 320], 2: [16, 24, 48, 88, 120, 208, 352]}[number]
    arrays, inputs, block = {}, 8, 0
    _add(arrays, "stem", (3, 3, 3, inputs), rng)
    for channels, (side, _, blocks) in zip([each // 4 for each in wide], ROWS[number], strict=True):
        for _ in range(blocks):
            name, width = f"b{block}", inputs * (6 if block else 1)
            if block:
                _add(arrays, f"{name}_expand", (1, 1, inputs, width), rng)
            _add(arrays, f"{name}_depth", (side, side, width, 1), rng)
            _add(arrays, f"{name}_project", (1, 1, width, channels), rng)
            inputs, block = channels, block + 1
    return arrays


def _add(arrays, name, shape, rng):
    depthwise = name.endswith("_depth")
    channels = shape[2] if depthwise else shape[3]
    fan = np.prod(shape[:2]) * (1 if depthwise else shape[2])
    arrays[f"{name}/kernel"] = rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
    for kind, low, high in (
        ("gamma", 0.5, 1.0),
        ("beta", -0.5, 1.0),
        ("mean", -0.3, 0.3),
        ("variance", 0.5, 1.5),
    ):
        arrays[f"{name}_bn/{kind}"] = rng.uniform(low, high, channels).astype(np.float32)
