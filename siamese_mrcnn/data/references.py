"""References: the crops that show what to find, drawn from a data set or brought by the user."""

import logging
import os
from dataclasses import dataclass

import numpy as np

from mrcnn.data.broken_images import describe_failure
from mrcnn.data.preprocessing import plan_input
from mrcnn.images.image import plan_resize, prepare_image, read_image, to_rgb
from mrcnn.images.masks import prepare_masks

logger = logging.getLogger(__name__)

IMAGES_TRIED = 100  # that fail, before a category counts as unusable


class ReferencesError(ValueError):
    """References that do not fit the images or each other."""


class NoReferenceError(ValueError):
    """A category, image or crop that gives no reference."""


@dataclass(frozen=True)
class Reference:
    """One prepared reference and where it comes from, so that it can be cut out again."""

    picture: np.ndarray  # uint8 [h, w, 3], prepared
    class_id: int
    image_id: int  # of the data set
    annotation_id: int  # in COCO data sets the id in the file, else the index in `load_mask`
    box: tuple[int, int, int, int]  # (y1, x1, y2, x2) in the prepared image it was cut from


def sample_reference(dataset, class_id, config, rng, exclude_image=None, broken=None, allowed=None):
    """Draw one reference: an image that shows the class, then one of its instances, both evenly.

    The image is prepared as a query is, the instance is cut out by the box of its prepared mask,
    and the crop is prepared once more, at the size of references. Instances that vanish in
    scaling do not count (paper, section 3; the original's two resizes are kept).

    Args:
        dataset: with `images_with`, `instances_of`, `load_instance` and `load_image`.
        class_id: what to show, 1..N.
        config: IMAGE_* and TARGET_* give the sizes.
        rng: numpy Generator.
        exclude_image: image id that must not serve, or None.
        broken: list that takes (path, sentence) of every image that could not be used; None
            reports them.
        allowed: function (image id, annotation id) of the instances that may serve; None: all.

    Returns:
        Reference.

    Raises:
        NoReferenceError: if no image of the class gives one.
    """
    if class_id not in dataset.class_ids[1:]:
        raise NoReferenceError(
            f"There is no class {class_id} to draw references of: the data set has 1 to "
            f"{dataset.num_classes - 1}."
        )
    image_ids = dataset.images_with(class_id)
    if allowed is not None:
        image_ids = [
            image_id
            for image_id in image_ids
            if any(allowed(image_id, each) for each in dataset.instances_of(image_id, class_id))
        ]
    tries = min(len(image_ids), IMAGES_TRIED + 1)
    failure = "it has no other images" if exclude_image in image_ids else "it has no images"
    for position in rng.choice(len(image_ids), tries, replace=False) if tries else ():
        image_id = image_ids[position]
        if image_id == exclude_image:
            continue
        try:
            return _sample_from_image(dataset, image_id, class_id, config, rng, allowed)
        except NoReferenceError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - whatever a user's load_instance() raises
            failure = error
            _report(dataset, image_id, error, broken)
    raise NoReferenceError(
        f"No reference for class {class_id} ({dataset.class_names[class_id]}) after trying "
        f"{tries} of its images; the last reason: {failure}"
    )


def sample_references(
    dataset, class_id, config, rng, shots=None, exclude_image=None, broken=None, allowed=None
):
    """Draw K references independently of each other: a list; see `sample_reference`.

    Args:
        shots: K; the configuration's NUM_TARGETS if None.
    """
    shots = config.NUM_TARGETS if shots is None else shots
    return [
        sample_reference(dataset, class_id, config, rng, exclude_image, broken, allowed)
        for _ in range(shots)
    ]


def load_reference(dataset, image_id, annotation_id, config):
    """Cut out a reference that was drawn before, from the ids that it was saved with.

    Raises:
        NoReferenceError: if the instance vanishes at this configuration's image size.
        AnnotationError, ImageError: if the annotation or the image cannot be used.
    """
    mask = dataset.load_instance(image_id, annotation_id)
    geometry = plan_input(mask.shape, config, np.random.default_rng(0))
    box = _box_of(mask, geometry)
    if box is None:
        raise NoReferenceError(
            f"Instance {annotation_id} of image {image_id} vanishes at "
            f"{geometry.prepared_shape[0]} x {geometry.prepared_shape[1]} pixels."
        )
    picture = _cut(dataset.load_image(image_id), geometry, box, config)
    class_id = dataset.class_of_instance(image_id, annotation_id)
    return Reference(picture, class_id, image_id, annotation_id, box)


def prepare_reference(crop, config):
    """Scale and pad a crop to the size of references.

    Args:
        crop: image array as `mrcnn.images.image.to_rgb` takes it, or the path of an image file.
        config: TARGET_MIN_DIM and TARGET_MAX_DIM.

    Returns:
        uint8 [TARGET_MAX_DIM, TARGET_MAX_DIM, 3].

    Raises:
        ImageError: if the crop is empty or no image.
    """
    if isinstance(crop, str | os.PathLike):
        crop = read_image(crop, upright=True)
    crop = to_rgb(crop)
    geometry = plan_resize(
        crop.shape, config.TARGET_MIN_DIM, config.TARGET_MAX_DIM, config.IMAGE_MIN_SCALE
    )
    return prepare_image(crop, geometry)


def _sample_from_image(dataset, image_id, class_id, config, rng, allowed=None):
    """Draw an instance, and among the rest again if it vanishes: even among those that survive."""
    geometry = None
    for annotation_id in rng.permutation(dataset.instances_of(image_id, class_id)).tolist():
        if allowed is not None and not allowed(image_id, annotation_id):
            continue
        mask = dataset.load_instance(image_id, annotation_id)
        geometry = geometry or plan_input(mask.shape, config, rng)
        box = _box_of(mask, geometry)
        if box is not None:
            picture = _cut(dataset.load_image(image_id), geometry, box, config)
            return Reference(picture, class_id, image_id, annotation_id, box)
    raise NoReferenceError(f"no instance in image {image_id} survives scaling.")


def _box_of(mask, geometry):
    """(y1, x1, y2, x2) of a mask in the prepared image, or None if it vanishes."""
    boxes = prepare_masks([mask], geometry)[0]
    return tuple(boxes[0].tolist()) if len(boxes) else None


def _cut(image, geometry, box, config):
    y1, x1, y2, x2 = box
    return prepare_reference(prepare_image(to_rgb(image), geometry)[y1:y2, x1:x2], config)


def _report(dataset, image_id, error, broken):
    failure = describe_failure(dataset, image_id, error)
    if broken is None:
        logger.warning("Drew another reference, because %s cannot be used: %s", *failure)
    else:
        broken.append(failure)


def join_shots(shots):
    """What is kept of several references as one: the mean of vectors, but all places of maps.

    Args:
        shots: of each reference a vector [1, channels] or places [1, N, channels].
    """
    return np.mean(shots, axis=0) if shots[0].ndim == 2 else np.concatenate(shots, axis=1)
