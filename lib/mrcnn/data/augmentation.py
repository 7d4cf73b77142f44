"""Random changes of images and their masks, of our own and of other packages.

An augmentation is any of: a function (image, masks, rng) -> (image, masks), of which the
classes here are examples; a list of augmentations, done in turn; an imgaug augmenter; something
that is called like an albumentations transform, with image= and masks=.
"""

import copy
import importlib
import inspect
import random
import threading

import cv2
import numpy as np

_global_random = threading.Lock()


class AugmentationError(TypeError):
    """An augmentation that cannot be used, that failed, or that returned what it must not.

    Not a ValueError, which would count as a broken image and be replaced.
    """


def augment(image, masks, augmentation, rng):
    """Change an image and its masks in the same way.

    Args:
        image: uint8 [H, W, 3].
        masks: bool [H, W, N].
        augmentation: see above; None changes nothing.
        rng: `numpy.random.Generator`, from which other packages are seeded, too.

    Returns:
        image uint8 [H, W, 3], masks bool [H, W, N].

    Raises:
        AugmentationError: if it fails, or changes the shape of the image or of the masks, or the
            type of the image.
    """
    if augmentation is None:
        return image, masks
    if isinstance(augmentation, list | tuple):
        for step in augmentation:
            image, masks = augment(image, masks, step, rng)
        return image, masks
    apply = _way_to_call(augmentation)
    try:
        new_image, new_masks = apply(image, masks, augmentation, rng)
    except Exception as error:
        raise AugmentationError(
            f"The augmentation {augmentation!r} failed, {type(error).__name__}: {error}"
        ) from error
    return _checked(image, masks, np.asarray(new_image), np.asarray(new_masks), augmentation)


def _way_to_call(augmentation):
    if hasattr(augmentation, "to_deterministic"):
        return _imgaug
    if not callable(augmentation):
        raise AugmentationError(
            "An augmentation must be a function (image, masks, rng) -> (image, masks), an imgaug "
            f"augmenter or an albumentations transform, but is {augmentation!r}."
        )
    return _function if _takes_three(augmentation) else _albumentations


def _takes_three(augmentation):
    """Whether it is meant to be called with (image, masks, rng) by position."""
    try:
        parameters = inspect.signature(augmentation).parameters.values()
    except ValueError:  # written in C
        return True
    kinds = [parameter.kind for parameter in parameters]
    positional = sum(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for kind in kinds
    )
    return positional >= 3 or (
        inspect.Parameter.VAR_POSITIONAL in kinds and inspect.Parameter.VAR_KEYWORD not in kinds
    )


def _checked(image, masks, new_image, new_masks, augmentation):
    changes = [
        f"the {what} had {kind(old)} and now has {kind(new)}"
        for what, old, new, kind in (
            ("image", image, new_image, lambda array: f"the shape {list(array.shape)}"),
            ("image", image, new_image, lambda array: f"the type {array.dtype}"),
            ("mask array", masks, new_masks, lambda array: f"the shape {list(array.shape)}"),
        )
        if kind(old) != kind(new)
    ]
    if changes:
        raise AugmentationError(
            f"An augmentation must keep shapes and types, but after {augmentation!r} "
            f"{'; '.join(changes)}. Use augmenters that keep the size of the image."
        )
    return np.ascontiguousarray(new_image), new_masks.astype(bool, copy=False)


def _function(image, masks, augmentation, rng):
    return augmentation(image, masks, rng)


# --- other packages -------------------------------------------------------------------------


def _albumentations(image, masks, augmentation, rng):
    seed = int(rng.integers(2**31))
    planes = [masks[..., index].astype(np.uint8) for index in range(masks.shape[-1])]
    if hasattr(augmentation, "set_random_seed"):
        augmentation = copy.deepcopy(augmentation)  # it is shared with other threads
        augmentation.set_random_seed(seed)
        result = augmentation(image=image, masks=planes)
    else:
        with _seeded_globally(seed):
            result = augmentation(image=image, masks=planes)
    planes = [np.asarray(plane) > 0 for plane in result["masks"]]
    return result["image"], np.stack(planes, axis=-1) if planes else masks


class _seeded_globally:
    """For packages that draw from Python's and numpy's global generators."""

    def __init__(self, seed):
        self._seed = seed

    def __enter__(self):
        _global_random.acquire()
        self._states = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(self._seed)
        np.random.seed(self._seed)  # noqa: NPY002

    def __exit__(self, *error):
        random.setstate(self._states[0])
        np.random.set_state(self._states[1])  # noqa: NPY002
        _global_random.release()


GEOMETRIC_AUGMENTERS = {
    # containers
    "Sequential", "SomeOf", "OneOf", "Sometimes", "WithChannels", "Lambda", "Noop", "Identity",
    # movers of pixels
    "Fliplr", "HorizontalFlip", "Flipud", "VerticalFlip", "Crop", "Pad", "CropAndPad", "Affine",
    "ScaleX", "ScaleY", "TranslateX", "TranslateY", "Rotate", "ShearX", "ShearY",
    "PiecewiseAffine", "PerspectiveTransform", "ElasticTransformation", "Rot90", "Jigsaw",
    "WithPolarWarping",
}  # fmt: skip


class _GeometricOnly:
    """imgaug's hooks: lets only those augmenters act on masks that move pixels."""

    def is_activated(self, images, augmenter, parents, default):
        return default and type(augmenter).__name__ in GEOMETRIC_AUGMENTERS

    def is_propagating(self, images, augmenter, parents, default):
        return default

    def preprocess(self, images, augmenter, parents):
        return images

    def postprocess(self, images, augmenter, parents):
        return images


def _imgaug(image, masks, augmentation, rng):
    augmentation = copy.deepcopy(augmentation)  # seeding changes it, and threads share it
    augmentation.seed_(int(rng.integers(2**31)))
    fixed = augmentation.to_deterministic()
    image = fixed.augment_image(image)
    planes = [
        fixed.augment_image(
            np.ascontiguousarray(masks[..., index], np.uint8) * 255, hooks=_GeometricOnly()
        )
        for index in range(masks.shape[-1])
    ]
    return image, np.stack(planes, axis=-1) >= 128 if planes else masks


def import_imgaug():
    """The module `imgaug`: of imaug, or of imgaug 0.4, which needs a name that numpy 2 dropped.

    Raises:
        ImportError: if it is not installed.
    """
    shim = not hasattr(np, "sctypes")
    if shim:
        np.sctypes = {  # noqa: NPY201
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64],
            "complex": [np.complex64, np.complex128],
            "others": [bool, object, bytes, str, np.void],
        }
    try:
        importlib.import_module("imgaug.augmenters")
        return importlib.import_module("imgaug")
    except ModuleNotFoundError as error:
        raise ImportError(
            "imgaug is not installed: pip install imaug (its copy for numpy 2), or use the "
            "augmentations of mrcnn.data.augmentation."
        ) from error
    finally:
        if shim:
            del np.sctypes  # noqa: NPY201


# --- our own --------------------------------------------------------------------------------


class HorizontalFlip:
    """Mirrors left and right."""

    def __init__(self, probability=0.5):
        self.probability = probability

    def __call__(self, image, masks, rng):
        if rng.random() >= self.probability:
            return image, masks
        return image[:, ::-1], masks[:, ::-1]


class Affine:
    """Scales, turns and moves about the centre of the image; what comes in is black.

    Args:
        scale: (lowest, highest) factor.
        rotate: greatest angle to either side, degrees.
        translate: greatest way in each direction, as a share of the side.
    """

    def __init__(self, scale=(0.8, 1.2), rotate=10.0, translate=0.1):
        self.scale = scale
        self.rotate = rotate
        self.translate = translate

    def __call__(self, image, masks, rng):
        height, width = image.shape[:2]
        angle = rng.uniform(-self.rotate, self.rotate)
        center = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(center, angle, rng.uniform(*self.scale))
        matrix[:, 2] += rng.uniform(-self.translate, self.translate, 2) * (width, height)
        size = (width, height)
        planes = [
            cv2.warpAffine(
                np.ascontiguousarray(masks[..., index], np.uint8),
                matrix,
                size,
                flags=cv2.INTER_NEAREST,
            )
            for index in range(masks.shape[-1])
        ]
        masks = np.stack(planes, axis=-1).astype(bool) if planes else masks
        return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), masks


class ColorJitter:
    """Changes brightness, contrast and saturation by factors from 1 - share to 1 + share."""

    def __init__(self, brightness=0.2, contrast=0.2, saturation=0.2):
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation

    def __call__(self, image, masks, rng):
        shares = (self.brightness, self.contrast, self.saturation)
        brightness, contrast, saturation = (1 + rng.uniform(-share, share) for share in shares)
        pixels = image.astype(np.float32) * np.float32(brightness)
        pixels = (pixels - pixels.mean()) * np.float32(contrast) + pixels.mean()
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = (pixels - grey) * np.float32(saturation) + grey
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8), masks
