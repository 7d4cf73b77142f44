"""Detectron's Mask R-CNN, layer by layer, in its own conventions: slow, plain, for one image.

Nothing here is ours: arrays are [channels, height, width], pictures blue-green-red, boxes
(x1, y1, x2, y2) in pixels with x2 and y2 inside. Only the arithmetic of the layers comes from
outside: `PlainLayers` below, or PyTorch's.
"""

import numpy as np

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
MEAN_BGR = np.array([102.9801, 115.9465, 122.7717])[:, None, None]
SIZES = (32, 64, 128, 256, 512)
RATIOS = (0.5, 1.0, 2.0)  # height / width
LIMIT = np.log(1000.0 / 16)


class PlainLayers:
    """Convolutions as sums over the taps of the kernel."""

    @staticmethod
    def convolution(x, kernel, stride=1, padding=0):
        outputs, _, rows, columns = kernel.shape
        x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
        height, width = (
            (n - k) // stride + 1 for n, k in zip(x.shape[1:], (rows, columns), strict=True)
        )
        total = np.zeros((outputs, height, width))
        for i in range(rows):
            for j in range(columns):
                seen = x[:, i : i + stride * height : stride, j : j + stride * width : stride]
                total += np.tensordot(kernel[:, :, i, j], seen, 1)
        return total

    @staticmethod
    def upsampling_convolution(x, kernel):
        """Transposed, 2 x 2, stride 2; kernel [in, out, 2, 2]."""
        _, height, width = x.shape
        out = np.zeros((kernel.shape[1], 2 * height, 2 * width))
        for i in range(2):
            for j in range(2):
                out[:, i::2, j::2] = np.tensordot(kernel[:, :, i, j].T, x, 1)
        return out

    @staticmethod
    def max_pooling(x):
        """3 x 3, stride 2, one cell of padding."""
        x = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        height, width = ((side - 3) // 2 + 1 for side in x.shape[1:])
        taps = [
            x[:, i : i + 2 * height : 2, j : j + 2 * width : 2] for i in range(3) for j in range(3)
        ]
        return np.max(taps, axis=0)


class TorchLayers:
    """The same by PyTorch."""

    def __init__(self, torch):
        self.torch = torch

    def _by(self, function, x, *kernel, **settings):
        arrays = [self.torch.from_numpy(np.ascontiguousarray(each)) for each in (x[None], *kernel)]
        return function(*arrays, **settings)[0].numpy()

    def convolution(self, x, kernel, stride=1, padding=0):
        conv2d = self.torch.nn.functional.conv2d
        return self._by(conv2d, x, kernel, stride=stride, padding=padding)

    def upsampling_convolution(self, x, kernel):
        return self._by(self.torch.nn.functional.conv_transpose2d, x, kernel, stride=2)

    def max_pooling(self, x):
        pool = self.torch.nn.functional.max_pool2d
        return self._by(pool, x, kernel_size=3, stride=2, padding=1)


class Program:
    """The forward pass with the blobs of a file, in float64."""

    def __init__(self, blobs, layers, backbone="resnet50", pre_limit=6000, post_limit=1000):
        self.blobs = {name: array.astype(np.float64) for name, array in blobs.items()}
        self.layers, self.blocks = layers, BLOCKS[backbone]
        self.pre_limit, self.post_limit = pre_limit, post_limit

    # --- layers -----------------------------------------------------------------------------------

    def convolve(self, x, name, stride=1, padding=0):
        return (
            self.layers.convolution(x, self.blobs[f"{name}_w"], stride, padding)
            + self.blobs[f"{name}_b"][:, None, None]
        )

    def affine_convolve(self, x, name, norm, stride=1, padding=0):
        x = self.layers.convolution(x, self.blobs[f"{name}_w"], stride, padding)
        scale, shift = self.blobs[f"{norm}_s"], self.blobs[f"{norm}_b"]
        return x * scale[:, None, None] + shift[:, None, None]

    def block(self, x, name, stride):
        def branch(x, part, stride=1, padding=0):
            part = f"{name}_branch{part}"
            return self.affine_convolve(x, part, f"{part}_bn", stride, padding)

        inner = np.maximum(branch(x, "2a", stride), 0)
        inner = np.maximum(branch(inner, "2b", padding=1), 0)
        shortcut = branch(x, "1", stride) if f"{name}_branch1_w" in self.blobs else x
        return np.maximum(branch(inner, "2c") + shortcut, 0)

    def stage(self, x, number):
        for block in range(self.blocks[number - 2]):
            x = self.block(x, f"res{number}_{block}", 2 if block == 0 and number > 2 else 1)
        return x

    def stem(self, picture_bgr):
        self.side = picture_bgr.shape[1]
        x = self.affine_convolve(picture_bgr - MEAN_BGR, "conv1", "res_conv1_bn", 2, 3)
        return self.layers.max_pooling(np.maximum(x, 0))

    # --- proposals --------------------------------------------------------------------------------

    def score_anchors(self, features, suffix, stride, sizes):
        """Probability of an object and box of every anchor of a map, [A] and [A, 4]."""
        hidden = np.maximum(self.convolve(features, f"conv_rpn{suffix}", padding=1), 0)
        scores = sigmoid(self.convolve(hidden, f"rpn_cls_logits{suffix}"))
        deltas = self.convolve(hidden, f"rpn_bbox_pred{suffix}")
        anchors = make_anchors(stride, sizes, features.shape[1:])
        deltas = deltas.transpose(1, 2, 0).reshape(-1, 4)
        return scores.transpose(1, 2, 0).reshape(-1), moved(anchors, deltas, (1, 1, 1, 1))

    def propose(self):
        """The best boxes of each map without duplicates, and the best of these."""
        rois, roi_scores = [], []
        for scores, boxes in self.score_all_anchors():
            order = np.argsort(-scores, kind="stable")[: self.pre_limit]
            boxes, scores = clipped(boxes[order], self.side), scores[order]
            kept = suppressed(boxes, 0.7)[: self.post_limit]
            rois.append(boxes[kept])
            roi_scores.append(scores[kept])
        order = np.argsort(-np.concatenate(roi_scores), kind="stable")[: self.post_limit]
        return np.concatenate(rois)[order]

    # --- heads ------------------------------------------------------------------------------------

    def classify(self, rois):
        """Class probabilities [R, classes] and boxes [R, classes, 4]."""
        vectors = np.array([self.vector_of(roi) for roi in rois])
        logits = vectors @ self.blobs["cls_score_w"].T + self.blobs["cls_score_b"]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        deltas = vectors @ self.blobs["bbox_pred_w"].T + self.blobs["bbox_pred_b"]
        boxes = moved(rois[:, None], deltas.reshape(len(rois), -1, 4), (10, 10, 5, 5))
        return powers / powers.sum(axis=1, keepdims=True), clipped(boxes, self.side)

    def masks(self, features):
        """Probabilities [classes, 2 * rows, 2 * columns]."""
        x = self.layers.upsampling_convolution(features, self.blobs["conv5_mask_w"])
        x = np.maximum(x + self.blobs["conv5_mask_b"][:, None, None], 0)
        return sigmoid(self.convolve(x, "mask_fcn_logits"))


class C4Program(Program):
    """Proposals on stage 4; stage 5 on RoIs of 14 x 14 cells."""

    def look_at(self, picture_bgr):
        self.features = self.stem(picture_bgr)
        for number in (2, 3, 4):
            self.features = self.stage(self.features, number)

    def score_all_anchors(self):
        return [self.score_anchors(self.features, "", 16, SIZES)]

    def roi_features(self, roi):
        return self.stage(roi_align(self.features, roi, 1 / 16, 14, 0), 5)

    def vector_of(self, roi):
        return self.roi_features(roi).mean(axis=(1, 2))

    def masks_of(self, box):
        return self.masks(self.roi_features(box))


class PyramidProgram(Program):
    """Proposals and RoIs on the levels of a pyramid."""

    def look_at(self, picture_bgr):
        maps, features = {}, self.stem(picture_bgr)
        for number in (2, 3, 4, 5):
            maps[number] = features = self.stage(features, number)
        self.levels, above = {}, None
        for number in (5, 4, 3, 2):
            name = f"res{number}_{self.blocks[number - 2] - 1}_sum"
            lateral = "" if above is None else "_lateral"
            inner = self.convolve(maps[number], f"fpn_inner_{name}{lateral}")
            if above is not None:
                inner += above.repeat(2, axis=1).repeat(2, axis=2)
            above = inner
            self.levels[number] = self.convolve(inner, f"fpn_{name}", padding=1)
        self.levels[6] = self.levels[5][:, ::2, ::2]
        self.levels = dict(sorted(self.levels.items()))

    def score_all_anchors(self):
        return [
            self.score_anchors(features, "_fpn2", 2**level, (SIZES[level - 2],))
            for level, features in self.levels.items()
        ]

    def vector_of(self, roi):
        vector = self.pooled(roi, 7).reshape(-1)
        for name in ("fc6", "fc7"):
            vector = self.blobs[f"{name}_w"] @ vector + self.blobs[f"{name}_b"]
            vector = np.maximum(vector, 0)
        return vector

    def pooled(self, roi, cells):
        width, height = roi[2] - roi[0] + 1, roi[3] - roi[1] + 1
        level = int(np.clip(np.floor(4 + np.log2((width * height) ** 0.5 / 224 + 1e-6)), 2, 5))
        return roi_align(self.levels[level], roi, 2.0**-level, cells, 2)

    def masks_of(self, box):
        x = self.pooled(box, 14)
        for number in (1, 2, 3, 4):
            x = np.maximum(self.convolve(x, f"_[mask]_fcn{number}", padding=1), 0)
        return self.masks(x)


# --- arithmetic on boxes --------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make_anchors(stride, sizes, shape):
    """[rows * columns * ratios * sizes, 4], around the cells' middle pixels."""
    anchors = []
    for row in range(shape[0]):
        for column in range(shape[1]):
            x, y = (column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5
            for ratio in RATIOS:
                width = np.round(np.sqrt(stride * stride / ratio))
                height = np.round(width * ratio)
                for size in sizes:
                    w, h = width * size / stride - 1, height * size / stride - 1
                    anchors.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(anchors)


def moved(boxes, deltas, weights):
    x1, y1, x2, y2 = (boxes[..., n] for n in range(4))
    dx, dy, dw, dh = (deltas[..., n] / weights[n] for n in range(4))
    width, height = x2 - x1 + 1, y2 - y1 + 1
    x, y = x1 + width / 2 + dx * width, y1 + height / 2 + dy * height
    width = width * np.exp(np.minimum(dw, LIMIT))
    height = height * np.exp(np.minimum(dh, LIMIT))
    return np.stack([x - width / 2, y - height / 2, x + width / 2 - 1, y + height / 2 - 1], axis=-1)


def clipped(boxes, side):
    return np.clip(boxes, 0, side - 1)


def suppressed(boxes, threshold):
    """Which boxes survive of those in descending order of score."""
    x1, y1, x2, y2 = boxes.T
    areas, kept = (x2 - x1 + 1) * (y2 - y1 + 1), []
    for n in range(len(boxes)):
        k = np.array(kept, int)
        width = np.minimum(x2[n], x2[k]) - np.maximum(x1[n], x1[k]) + 1
        height = np.minimum(y2[n], y2[k]) - np.maximum(y1[n], y1[k]) + 1
        common = np.maximum(width, 0) * np.maximum(height, 0)
        if not (common / (areas[n] + areas[k] - common) > threshold).any():
            kept.append(n)
    return kept


def detections(classes, refined, threshold, overlap, limit):
    """Of every class those above a threshold without duplicates: scores, classes, boxes."""
    found = []
    for number in range(1, classes.shape[1]):
        order = np.argsort(-classes[:, number], kind="stable")
        order = order[classes[order, number] > threshold]
        for row in order[suppressed(refined[order, number], overlap)]:
            found.append((classes[row, number], number, refined[row, number]))
    return sorted(found, key=lambda each: -each[0])[:limit]


def roi_align(features, roi, scale, cells, sampling):
    """[channels, cells, cells]; `sampling` samples a side of a cell, or with 0 one a pixel."""
    x1, y1, x2, y2 = roi * scale
    width, height = max(x2 - x1, 1.0) / cells, max(y2 - y1, 1.0) / cells
    rows, columns = sampling or int(np.ceil(height)), sampling or int(np.ceil(width))
    pooled = np.zeros((len(features), cells, cells))
    for i in range(cells):
        for j in range(cells):
            for row in range(rows):
                for column in range(columns):
                    y = y1 + i * height + (row + 0.5) * height / rows
                    x = x1 + j * width + (column + 0.5) * width / columns
                    pooled[:, i, j] += bilinear(features, y, x)
    return pooled / (rows * columns)


def bilinear(features, y, x):
    _, height, width = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, over = y - top, x - left
    return (
        features[:, top, left] * (1 - down) * (1 - over)
        + features[:, top, right] * (1 - down) * over
        + features[:, bottom, left] * down * (1 - over)
        + features[:, bottom, right] * down * over
    )
