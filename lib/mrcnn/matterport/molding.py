"""Images as Matterport's network is fed with them: "molded", which is prepared, minus the mean.

The names, arguments and returned values are those of Matterport's `model`.
"""

import numpy as np

from mrcnn.data.postprocessing import restore_detections
from mrcnn.data.preprocessing import prepare_inputs
from mrcnn.images import image as prepared_images
from mrcnn.images.image import Geometry

ROUNDING = 0.01  # more than float32 loses of a value 0..255 minus the mean


def mold_image(images, config):
    """Images [..., 3], RGB 0..255, minus the mean pixel: floats.

    Raises:
        mrcnn.images.image.ImageError: they are floats 0..1.
    """
    images = np.asarray(images)
    prepared_images.refuse_unit_range(images)
    return images.astype(np.float32) - config.MEAN_PIXEL


def unmold_image(normalized_images, config):
    """What `mold_image` was given: uint8 [..., 3]."""
    pixels = np.asarray(normalized_images, np.float64) + config.MEAN_PIXEL
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def without_molding(image, config):
    """What `mold_image` was given, if the image is what it returned; else the image as it is.

    Old programs mold an image before `detect`. Floats of [h, w, 3] are molded if they leave 0..1
    and become whole numbers 0..255 by the mean pixel.
    """
    dtype = getattr(image, "dtype", None)
    if getattr(dtype, "kind", None) != "f" or image.shape[2:] != (3,) or not image.size:
        return image
    restored = unmold_image(image, config)
    leaves = image.min() < 0 or image.max() > 1
    is_molded = leaves and np.abs(image - mold_image(restored, config)).max() < ROUNDING
    return restored if is_molded else image


def compose_image_meta(
    image_id, original_image_shape, image_shape, window, scale, active_class_ids
):
    """What the network must know of an image: `mrcnn.images.image.compose_image_meta` of its parts.

    Args:
        image_id: number of the image.
        original_image_shape, image_shape: (height, width, ...) before and after preparing.
        window: (y1, x1, y2, x2) of the image inside the prepared one, pixels.
        scale: factor of the resizing.
        active_class_ids: [classes] of 0 and 1, whether a class is labelled in this image's source.
    """
    geometry = Geometry(tuple(original_image_shape[:2]), tuple(image_shape[:2]), window, scale)
    return prepared_images.compose_image_meta(image_id, geometry, active_class_ids)


def parse_image_meta(meta):
    """Name the columns of image metas [batch, 12 + classes]: a dict of int32, `scale` float32."""
    parts = prepared_images.parse_image_meta(np.asarray(meta))
    names = {"original_shape": "original_image_shape", "prepared_shape": "image_shape"}
    return {
        names.get(name, name): part.astype(np.float32 if name == "scale" else np.int32)
        for name, part in parts.items()
    }


def mold_inputs(images, config):
    """Prepare images and take off the mean.

    Args:
        images: arrays [height, width(, channels)] or paths.
        config: `Config`.

    Returns:
        molded_images [N, h, w, 3]; image_metas [N, 12 + classes], all classes inactive; windows
        int [N, (y1, x1, y2, x2)], where the images lie, pixels.

    Raises:
        ValueError: the prepared images differ in shape, as those of mode "pad64" may.
    """
    prepared = prepare_inputs(images, config)
    shapes = {image.shape for image, _ in prepared}
    if len(shapes) != 1:
        raise ValueError(
            "mold_inputs stacks prepared images of one shape, but these have "
            f"{sorted(shapes) or 'none'}. Mold one at a time, or call detect(), which takes any."
        )
    inactive = np.zeros(config.NUM_CLASSES, np.int32)
    metas = [prepared_images.compose_image_meta(0, geometry, inactive) for _, geometry in prepared]
    windows = np.stack([geometry.window for _, geometry in prepared])
    molded = mold_image(np.stack([image for image, _ in prepared]), config)
    return molded, np.stack(metas), windows


def unmold_detections(
    detections, mrcnn_mask, original_image_shape, image_shape, window, mask_threshold
):
    """Detections of one prepared image in the pixels of the original.

    Args:
        detections: [D, (y1, x1, y2, x2, class id, score)], boxes normalised, zero padded.
        mrcnn_mask: probabilities [D, height, width, classes].
        original_image_shape, image_shape: (height, width, ...) before and after preparing.
        window: (y1, x1, y2, x2) of the image inside the prepared one, pixels.
        mask_threshold: probability from which on a pixel belongs to a mask.

    Returns:
        boxes int32 [N, 4]; class_ids int32 [N]; scores float32 [N]; masks bool [height, width, N].
    """
    geometry = _geometry(original_image_shape, image_shape, window)
    tensors = np.asarray(detections), np.asarray(mrcnn_mask)
    found = restore_detections(*tensors, geometry, mask_threshold)
    return found["rois"], found["class_ids"], found["scores"], found["masks"]


def geometries_of(image_metas):
    """Where images lie in their prepared versions, from their metas [N, ...]: `Geometry` each."""
    meta = parse_image_meta(image_metas)
    columns = (meta["original_image_shape"], meta["image_shape"], meta["window"])
    return [_geometry(*row) for row in zip(*columns, strict=True)]


def _geometry(original_shape, prepared_shape, window):
    shapes = (tuple(int(side) for side in shape[:2]) for shape in (original_shape, prepared_shape))
    return Geometry(*shapes, tuple(int(side) for side in window))
