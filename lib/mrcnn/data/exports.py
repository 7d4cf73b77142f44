"""What was found, in the form that other programs take: COCO results, supervision, cut-outs.

Of detections, these need `rois`, `scores` and, unless the model knows boxes only, `masks`; see
`mrcnn.data.postprocessing.Detections`.
"""

import numpy as np

from mrcnn.images.image import ImageError, to_rgb
from mrcnn.images.mask_pieces import encode_one


def coco_results(detections, image_id, category_ids):
    """A COCO result, which JSON can hold, of each instance.

    Args:
        detections: of one image.
        image_id: of the data set's source.
        category_ids: the same, [N].
    """
    masks = detections.get("masks")
    results = []
    for index, (y1, x1, y2, x2) in enumerate(np.asarray(detections["rois"]).tolist()):
        result = {
            "image_id": image_id,
            "category_id": int(category_ids[index]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(detections["scores"][index]),
        }
        if masks is not None:
            result["segmentation"] = encode_one(masks, index)
        results.append(result)
    return results


def supervision_detections(detections):
    """`supervision.Detections`; labels, if there are any, are its data "class_name".

    Raises:
        ImportError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError(
            "The package supervision is needed for its detections, but it cannot be imported "
            f"({error}). Install it: pip install supervision"
        ) from error
    masks = detections.get("masks")
    names = {"class_name": np.array(detections["labels"], str)} if "labels" in detections else {}
    return supervision.Detections(
        xyxy=detections["rois"][:, [1, 0, 3, 2]].astype(np.float32),
        mask=None if masks is None else np.ascontiguousarray(np.moveaxis(masks, -1, 0)),
        confidence=detections["scores"],
        class_id=detections["class_ids"].astype(int),
        data=names,
    )


def cut_outs(detections, image):
    """The instances cut out of their image by their boxes: list of uint8 [height, width, RGBA].

    What is not of the instance is transparent; without masks nothing is.

    Args:
        detections: of this image.
        image: array [height, width(, channels)].

    Raises:
        ImageError: it is no image, or one of another size than the masks.
    """
    image, masks = to_rgb(image), detections.get("masks")
    if masks is not None and masks.shape[:2] != image.shape[:2]:
        raise ImageError(
            f"The detections are of an image of {masks.shape[0]} x {masks.shape[1]} pixels, but "
            f"this one has {image.shape[0]} x {image.shape[1]}. Give the image that was searched."
        )
    pieces = []
    for index, (y1, x1, y2, x2) in enumerate(detections["rois"]):
        inside = np.ones((y2 - y1, x2 - x1), bool)
        if masks is not None:
            inside = masks[y1:y2, x1:x2, index]
        alpha = np.where(inside, 255, 0).astype(np.uint8)
        pieces.append(np.dstack([image[y1:y2, x1:x2], alpha]))
    return pieces
