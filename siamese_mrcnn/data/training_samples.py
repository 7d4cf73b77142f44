"""Training samples of one-shot search: an image, one category in it, references that show it.

On top of the core's batch, x holds "references" uint8 [B, K, h, w, 3], prepared, the mean not
subtracted.
"""

import numpy as np

from mrcnn.data.broken_images import BrokenSample, NumClassesError
from mrcnn.data.training_samples import SkipSample, prepare_sample
from siamese_mrcnn.data.near_categories import rank_categories
from siamese_mrcnn.data.references import sample_references

THING = 1  # class id of whatever the references show
NEAREST = 5  # categories that a hard negative is drawn from


class NothingAbsentError(NumClassesError):
    """Negative queries are asked for, but every image shows all there is."""


def load_sample(dataset, image_id, config, rng, augmentation=None):
    """Draw a category that the image shows, and its references, and make a training sample.

    Ground truth are all instances of the category but crowds, which are dropped; everything else
    in the image is background (paper, section 3.3). References may come from the same image.

    A share NEGATIVE_QUERIES of the samples ask for a category that the image does not show, not
    even as a crowd: then all of it is background. Of those, a share HARD_NEGATIVES ask for one of
    the nearest to one that it shows, by `similar_categories` of the data set, {class id: others,
    nearest first}; without that for any. An image that shows all categories is asked for one.

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
        NothingAbsentError: if there can be no negative query.
        ValueError: if the image, its annotations or all references cannot be used.
    """
    active = active_classes(dataset)
    present = [class_id for class_id in dataset.classes_in(image_id) if class_id in active]
    if not present:
        raise SkipSample
    image, broken = dataset.load_image(image_id), []
    class_id = _draw_absent(dataset, image_id, present, active, config, rng)
    if class_id is not None:
        sample = _sample_background(image_id, image, config, rng, augmentation)
    else:
        sample, class_id = _sample_category(
            dataset, image_id, image, present, config, rng, augmentation
        )
    references = sample_references(dataset, class_id, config, rng, broken=broken)
    sample["references"] = np.stack([reference.picture for reference in references])
    sample["failures"] = broken
    return sample


def before_epoch(model, dataset, epoch):
    """Rank the categories by the weights as they are, where HARD_NEGATIVES want it."""
    if model.config.HARD_NEGATIVES:
        rank_categories(model, dataset, sorted(active_classes(dataset)), epoch)


load_sample.before_epoch = before_epoch  # where training looks for it


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


def _sample_background(image_id, image, config, rng, augmentation):
    """A sample of an image in which there is nothing to find."""
    everything_active = np.ones(config.NUM_CLASSES)
    return prepare_sample(
        image_id, image, [], [], everything_active, config, rng, augmentation, may_be_empty=True
    )


def _draw_absent(dataset, image_id, present, active, config, rng):
    """A category that the image does not show, or None: ask for one that it shows."""
    if not config.NEGATIVE_QUERIES:
        return None
    usable = [class_id for class_id in sorted(active) if dataset.images_with(class_id)]
    _check_absent(dataset, usable, config)
    if rng.random() >= config.NEGATIVE_QUERIES:
        return None
    held, labelled = dataset.classes_and_crowds_in(image_id), dataset.active_classes_of(image_id)
    labelled[0] = not labelled[1:].any()  # of a source that no class is of, all are taken to be
    absent = [each for each in usable if labelled[[0, each]].any() and each not in held]
    near = getattr(dataset, "similar_categories", None)
    if near and config.HARD_NEGATIVES and rng.random() < config.HARD_NEGATIVES:
        shown = int(rng.choice(present))
        absent = [each for each in near.get(shown, ()) if each in absent][:NEAREST] or absent
    return int(rng.choice(absent)) if absent else None


def _check_absent(dataset, usable, config):
    asked = f"NEGATIVE_QUERIES is {config.NEGATIVE_QUERIES}, but "
    if len(usable) < 2:
        names = ", ".join(dataset.class_names[class_id] for class_id in usable)
        raise NothingAbsentError(
            f"{asked}the images show one active category ({names}), so there is no other to ask "
            "for. Train with two categories or more, or set NEGATIVE_QUERIES = 0."
        )
    if all(len(dataset.images_with(each)) == dataset.num_images for each in usable):
        raise NothingAbsentError(
            f"{asked}every image shows all of the {len(usable)} active categories, so there is "
            "none to ask for that it does not show. Add images, or set NEGATIVE_QUERIES = 0."
        )
