"""A whole model of Detectron as it would come from a file: all blobs, of few channels, random."""

import numpy as np

from foreign_weights import BLOCKS

WIDTH, LEVEL, HIDDEN, MASK, CLASSES, RATIOS = 8, 16, 32, 12, 4, 3
SCALES = {  # of the kernels, beside those that keep activations in range
    "rpn_cls_logits": 0.2,
    "rpn_bbox_pred": 0.15,
    "cls_score": 0.3,
    "bbox_pred": 0.5,
    "conv1": 0.02,
    "mask_fcn_logits": 1.0,
}


class _Blobs(dict):
    """Blobs by name, filled layer by layer."""

    def __init__(self, seed):
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def numbers(self, name, *shape, inputs=None, scale=1.0):
        deviation = scale * np.sqrt(2 / (inputs or np.prod(shape[1:])))
        self[name] = self.rng.normal(0, deviation, shape).astype(np.float32)

    def layer(self, name, *shape, inputs=None):
        scale = SCALES.get(name.removesuffix("_fpn2"), 1.0)
        self.numbers(f"{name}_w", *shape, inputs=inputs, scale=scale)
        outputs = shape[1] if name == "conv5_mask" else shape[0]
        self[f"{name}_b"] = self.rng.normal(0, 0.1, outputs).astype(np.float32)

    def affine(self, name, norm, *shape):
        self.numbers(f"{name}_w", *shape, scale=SCALES.get(name, 1.0))
        low, high = (0.1, 0.3) if name.endswith("2c") else (0.6, 1.0)
        self[f"{norm}_s"] = self.rng.uniform(low, high, shape[0]).astype(np.float32)
        self[f"{norm}_b"] = self.rng.normal(0, 0.1, shape[0]).astype(np.float32)


def model_blobs(backbone, pyramid, seed=0):
    """The blobs of a whole Mask R-CNN: {name: float32 array}."""
    blobs = _Blobs(seed)
    maps = _add_backbone(blobs, BLOCKS[backbone])
    if pyramid:
        _add_pyramid(blobs, BLOCKS[backbone], maps)
        suffix, seen, anchors, vector, mask_input = "_fpn2", LEVEL, RATIOS, HIDDEN, MASK
    else:
        suffix, seen, anchors, vector, mask_input = "", maps[2], 5 * RATIOS, maps[3], maps[3]
    blobs.layer(f"conv_rpn{suffix}", LEVEL, seen, 3, 3)
    blobs.layer(f"rpn_cls_logits{suffix}", anchors, LEVEL, 1, 1)
    blobs.layer(f"rpn_bbox_pred{suffix}", 4 * anchors, LEVEL, 1, 1)
    blobs.layer("cls_score", CLASSES, vector)
    blobs.layer("bbox_pred", 4 * CLASSES, vector)
    blobs.layer("conv5_mask", mask_input, MASK, 2, 2, inputs=mask_input)
    blobs.layer("mask_fcn_logits", CLASSES, MASK, 1, 1)
    return dict(blobs)


def _add_backbone(blobs, counts):
    """Stages 1 to 5; returns the channels of the last four."""
    blobs.affine("conv1", "res_conv1_bn", WIDTH, 3, 7, 7)
    seen, maps = WIDTH, []
    for stage, count in zip((2, 3, 4, 5), counts, strict=True):
        inner = WIDTH * 2 ** (stage - 2)
        for block in range(count):
            branches = {
                "2a": (inner, seen, 1),
                "2b": (inner, inner, 3),
                "2c": (4 * inner, inner, 1),
            }
            if block == 0:
                branches["1"] = (4 * inner, seen, 1)
            for branch, (outputs, inputs, size) in branches.items():
                name = f"res{stage}_{block}_branch{branch}"
                blobs.affine(name, f"{name}_bn", outputs, inputs, size, size)
            seen = 4 * inner
        maps.append(seen)
    return maps


def _add_pyramid(blobs, counts, maps):
    for stage, count, channels in zip((2, 3, 4, 5), counts, maps, strict=True):
        name = f"res{stage}_{count - 1}_sum"
        blobs.layer(f"fpn_inner_{name}{'' if stage == 5 else '_lateral'}", LEVEL, channels, 1, 1)
        blobs.layer(f"fpn_{name}", LEVEL, LEVEL, 3, 3)
    blobs.layer("fc6", HIDDEN, LEVEL * 7 * 7)
    blobs.layer("fc7", HIDDEN, HIDDEN)
    for number in (1, 2, 3, 4):
        blobs.layer(f"_[mask]_fcn{number}", MASK, LEVEL if number == 1 else MASK, 3, 3)
