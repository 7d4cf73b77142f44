"""A data set of rectangles, whose samples can be worked out by hand."""

import numpy as np

from mrcnn.config import Config
from mrcnn.dataset import Dataset
from mrcnn.images import ImageError


class Small(Config):
    NUM_CLASSES = 3
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 128
    RPN_TRAIN_ANCHORS_PER_IMAGE = 32
    POST_NMS_ROIS_TRAINING = 20
    MAX_GT_INSTANCES = 4
    MINI_MASK_SHAPE = (14, 14)


class Rectangles(Dataset):
    """Image n has n % 4 rectangles on a ground of brightness n; images in `broken` fail."""

    def __init__(self, count, broken=()):
        super().__init__()
        self.broken = broken
        self.add_class("toy", 1, "odd")
        self.add_class("toy", 2, "even")
        for number in range(count):
            self.add_image("toy", number, f"toy/{number}.png")
        self.prepare()

    def rectangles(self, image_id):
        rng = np.random.default_rng(image_id)
        corners = rng.integers(0, 40, (image_id % 4, 2))
        return np.concatenate([corners, corners + rng.integers(8, 40, corners.shape)], axis=1)

    def load_image(self, image_id):
        if image_id in self.broken:
            raise ImageError(f"toy/{image_id}.png is cut off.")
        image = np.full((80, 90, 3), image_id, np.uint8)
        for y1, x1, y2, x2 in self.rectangles(image_id):
            image[y1:y2, x1:x2] += 100
        return image

    def load_mask(self, image_id):
        masks = [np.zeros((80, 90), bool) for _ in range(image_id % 4)]
        for mask, (y1, x1, y2, x2) in zip(masks, self.rectangles(image_id), strict=True):
            mask[y1:y2, x1:x2] = True
        stack = np.stack(masks, axis=-1) if masks else np.zeros((80, 90, 0), bool)
        return stack, np.arange(1, image_id % 4 + 1) % 2 + 1
