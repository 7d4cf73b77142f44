"""Images that cannot be learnt from: what is wrong with them, told once each."""

import logging

import numpy as np

from mrcnn.data.dataset import DatasetError, checked_instances

logger = logging.getLogger(__name__)

NAMED = 10  # classes that a sentence names


class BrokenSample(ValueError):
    """This image or its annotation is damaged; draw another one and report it."""


class NumClassesError(DatasetError):
    """The data set and the configuration disagree on how many classes there are."""


class BrokenImages:
    """Counts the failures of images that cannot be used, and reports each image once."""

    def __init__(self):
        self.count = 0
        self._reported = set()

    def add(self, failures):
        """Take note of failures: (name of the image, sentence) each."""
        for name, sentence in failures:
            self.count += 1
            if name not in self._reported:
                self._reported.add(name)
                logger.warning("A broken image is replaced, %s: %s", name, sentence)


def describe_failure(dataset, image_id, error):
    """(name of the image, what went wrong), where loading it raised an error."""
    is_sentence = isinstance(error, ValueError | OSError) and str(error)
    sentence = str(error) if is_sentence else f"{type(error).__name__}: {error}"
    return str(dataset.source_image_link(image_id)), sentence


def check_num_classes(dataset, config):
    """Refuse a data set of another number of classes than the network answers with.

    Raises:
        NumClassesError
    """
    if dataset.num_classes != config.NUM_CLASSES:
        names = ", ".join(map(str, dataset.class_names[:NAMED]))
        raise NumClassesError(
            f"The data set has {dataset.num_classes} classes with the background ({names}"
            f"{', ...' if dataset.num_classes > NAMED else ''}), but NUM_CLASSES is "
            f"{config.NUM_CLASSES}. Set NUM_CLASSES = {dataset.num_classes}, or add the classes."
        )


def checked_masks(masks, class_ids, config):
    """Masks as an array [H, W, N], once they are as many as the class ids, and those known.

    Raises:
        DatasetError, BrokenSample
    """
    masks, class_ids = checked_instances(masks, class_ids)
    unknown = class_ids[np.abs(class_ids) >= config.NUM_CLASSES]
    if len(unknown):
        raise BrokenSample(
            f"load_mask() returned the class id {unknown[0]}, but NUM_CLASSES is "
            f"{config.NUM_CLASSES}, so ids are 1 to {config.NUM_CLASSES - 1}"
        )
    return masks
