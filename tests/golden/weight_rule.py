"""Deterministic weights by name: any program can rebuild the same checkpoint."""

import zlib

import numpy as np


def weight_value(seed, layer, weight, shape):
    """Value of one weight tensor, from its layer and weight name alone."""
    rng = np.random.RandomState(zlib.crc32(f"{seed}/{layer}/{weight}".encode()))
    kind = weight.rsplit("/", 1)[-1].split(":")[0]
    if kind == "moving_variance":
        value = rng.uniform(0.7, 1.5, shape)
    elif kind == "moving_mean":
        value = rng.normal(0, 0.1, shape)
    elif kind == "gamma":
        value = (
            rng.uniform(0.2, 0.5, shape) if layer.endswith("2c") else rng.uniform(0.5, 1.0, shape)
        )
    elif kind == "beta":
        value = rng.normal(0, 0.1, shape)
    elif kind == "bias":
        value = rng.normal(0, 0.05, shape)
    else:
        fan_in = np.prod(shape[:-1])
        value = rng.normal(0, np.sqrt(1.8 / fan_in), shape)
        scale = {
            "rpn_bbox_pred": 0.008,
            "mrcnn_bbox_fc": 0.02,
            "rpn_class_raw": 0.02,
            "mrcnn_class_logits": 0.05,
            "mrcnn_mask": 0.3,
        }.get(layer, 1.0)
        value = value * scale
    return value.astype("float32")
