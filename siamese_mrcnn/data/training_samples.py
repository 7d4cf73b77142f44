"""Training samples of one-shot search: an image, one category in it, references that show it.

On top of the core's batch, x holds "references" uint8 [B, K, h, w, 3], prepared, the mean not
subtracted.
"""

import numpy as np

from mrcnn.data.broken_images import BrokenSample
from mrcnn.data.training_samples import SkipSample, prepare_sample
from siamese_mrcnn.data.references import sample_references

THING = 1  # class id of whatever the references show


def load_sample(dataset, image_id, config, rng, augmentation=None):
    """Draw a category that the image shows, and its references, and make a training sample.

    Ground truth are all instances of the category but crowds, which are dropped; everything else
    in the image is background (paper, section 3.3). References may come from the same image.

    Args:
        dataset: prepared data set; its `active_classes`, if it has any, limit the categories.
        image_id: the image.
        config: `siamese_mrcnn.config.Config`.
        rng: numpy Generator, the only source of chance.
        augmentation: of the image, see `mrcnn.data.augmentation.augment`.

    Returns:
        dict of the arrays of a batch, without the batch axis, and "failures" of images that were
        drawn for references and drawn anew.

    Raises:
        SkipSample: if the image shows no active category.
        ValueError: if the image, its annotations or all references cannot be used.
    """
    active = active_classes(dataset)
    present = [class_id for class_id in dataset.classes_in(image_id) if class_id in active]
    if not present:
        raise SkipSample
    image, broken = dataset.load_image(image_id), []
    sample, class_id = _sample_category(
        dataset, image_id, image, present, config, rng, augmentation
    )
    references = sample_references(dataset, class_id, config, rng, broken=broken)
    sample["references"] = np.stack([reference.picture for reference in references])
    sample["failures"] = broken
    return sample


def active_classes(dataset):
    """The class ids to draw from: `active_classes` of the data set, or all of a plain one."""
    chosen = getattr(dataset, "active_classes", None)
    return frozenset(dataset.class_ids[1:].tolist() if chosen is None else chosen)


def _sample_category(dataset, image_id, image, present, config, rng, augmentation):
    """A sample of one category, drawn evenly among those that survive scaling, and which it is."""
    everything_active = np.ones(config.NUM_CLASSES)
    for class_id in rng.permutation(present).tolist():
        masks = dataset.load_masks_of(image_id, class_id)
        things = np.full(masks.shape[2], THING)
        try:
            sample = prepare_sample(
                image_id, image, masks, things, everything_active, config, rng, augmentation
            )
        except (BrokenSample, SkipSample) as error:
            failure = error
            continue
        return sample, class_id
    raise failure
