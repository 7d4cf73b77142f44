"""Stand-ins for the network: they answer from the truth, so that the right score is known."""

import hashlib

import numpy as np

from mrcnn.masks import boxes_of_masks
from siamese_mrcnn.config import Config
from siamese_mrcnn.references import load_reference


class TinyConfig(Config):
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    TARGET_MIN_DIM = 32
    TARGET_MAX_DIM = 32


def digest(picture):
    return hashlib.sha256(np.ascontiguousarray(picture)).digest()


class TruthDetector:
    """Knows every image and every reference of a data set, and what the image shows."""

    def __init__(self, dataset, answer_class=lambda class_id: class_id):
        self.dataset, self.config, self.answer_class = dataset, TinyConfig(), answer_class
        self.image_of = {digest(dataset.load_image(i)): i for i in dataset.image_ids}
        self.class_of = {
            digest(load_reference(dataset, i, number, self.config).picture): class_id
            for i in dataset.image_ids
            for class_id in dataset.classes_in(i)
            for number in dataset.instances_of(i, class_id)
        }
        self.calls, self.images_left = [], None

    def encode_queries(self, images):
        if self.images_left is not None:
            if self.images_left == 0:
                raise KeyboardInterrupt
            self.images_left -= 1
        self.calls.append(
            (self.config.SUBTRACT_MEAN_FROM_REFERENCE, self.config.DETECTION_MIN_CONFIDENCE)
        )
        return [self.image_of[digest(image)] for image in images]

    def encode_references(self, references):
        assert references.ndim == 5 and references.dtype == np.uint8
        classes = [{self.class_of.get(digest(shot), 0) for shot in shots} for shots in references]
        return [np.array([[class_id] for (class_id,) in classes], np.float32)]

    def detect_encoded(self, features, vectors):
        (image_id,) = features
        (classes,) = vectors
        return [self._answer(image_id, int(class_id)) for (class_id,) in classes]

    def _answer(self, image_id, class_id):
        masks = self.dataset.load_masks_of(image_id, self.answer_class(class_id))
        count = masks.shape[-1]
        return {
            "rois": boxes_of_masks(masks),
            "class_ids": np.ones(count, np.int32),
            "scores": np.linspace(1, 0.5, count, dtype=np.float32),
            "masks": masks,
        }
