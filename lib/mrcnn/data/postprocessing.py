"""From the network's detections back to the user's image."""

import numpy as np

from mrcnn.data.exports import coco_results, cut_outs, supervision_detections
from mrcnn.images.mask_pieces import MaskPieces
from mrcnn.images.masks import restore_mask
from mrcnn.ops import boxes


class Detections(dict):
    """What was found in one image, as keys and as attributes.

    rois: int32 [N, (y1, x1, y2, x2)], pixels of the image, y2 and x2 outside of the box;
    class_ids: int32 [N]; scores: float32 [N], best first; masks: bool [height, width, N], or
    None from a model without masks; of a search in tiles `mrcnn.images.mask_pieces.MaskPieces`,
    which are used like such an array. Things that have names add labels: list of N names.
    """

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f"Detections have {', '.join(self)}, but no {name!r}.") from error

    def __len__(self):
        return len(self["rois"])

    def to_coco(self, image_id):
        """COCO results, class ids as categories, see `mrcnn.data.exports.coco_results`."""
        return coco_results(self, image_id, self["class_ids"])

    def to_supervision(self):
        """See `mrcnn.data.exports.supervision_detections`."""
        return supervision_detections(self)

    def crops(self, image):
        """See `mrcnn.data.exports.cut_outs`."""
        return cut_outs(self, image)

    def rows(self, indices):
        """Some of the instances, in the order of their indices [n]: `Detections`."""
        indices = np.asarray(indices, dtype=int)
        chosen = {name: self[name][indices] for name in ("rois", "class_ids", "scores")}
        masks = _chosen(self["masks"], indices)
        labels = {"labels": [self["labels"][row] for row in indices]} if "labels" in self else {}
        return Detections(**chosen, masks=masks, **labels)

    def __bool__(self):
        return len(self) > 0


def joined(found):
    """Several `Detections` of one image, one after the other."""
    columns = {
        name: np.concatenate([each[name] for each in found])
        for name in ("rois", "class_ids", "scores")
    }
    masks = None
    if all(isinstance(each["masks"], list) for each in found):
        masks = [mask for each in found for mask in each["masks"]]
    elif all(each["masks"] is not None for each in found):
        parts = [np.moveaxis(each["masks"], -1, 0) for each in found]
        masks = np.moveaxis(np.concatenate(parts), 0, -1)
    labels = {}
    if all("labels" in each for each in found):
        labels["labels"] = [label for each in found for label in each["labels"]]
    return Detections(**columns, masks=masks, **labels)


def _chosen(masks, indices):
    """Some of masks, in whatever form they are kept."""
    if masks is None:
        return None
    if isinstance(masks, list):
        return [masks[index] for index in indices]
    if isinstance(masks, MaskPieces):
        return masks.rows(indices)
    return np.moveaxis(np.moveaxis(masks, -1, 0)[indices], 0, -1)


def restore_detections(detections, masks, geometry, mask_threshold, edges=False, keep_mask=None):
    """Detections of one prepared image in the pixels of the original: `Detections`.

    Rows from the first class 0 on are padding; boxes that have no area in the image are dropped.

    Args:
        detections: [D, (y1, x1, y2, x2, class id, score)], boxes normalised.
        masks: probabilities [D or more, height, width, classes]; one class serves all. None:
            the model has no masks.
        geometry: `mrcnn.images.image.Geometry` of the prepared image.
        mask_threshold: probability from which on a pixel belongs to a mask.
        edges: how boxes are normalised, see `mrcnn.ops.boxes.normalize`.
        keep_mask: see `mrcnn.model.MaskRCNN`.
    """
    padding = np.flatnonzero(detections[:, 4] == 0)
    count = padding[0] if len(padding) else len(detections)
    rois = restore_boxes(detections[:count, :4], geometry, edges)
    class_ids = detections[:count, 4].astype(np.int32)
    kept = np.flatnonzero((rois[:, 2] > rois[:, 0]) & (rois[:, 3] > rois[:, 1]))
    found = Detections(
        rois=rois[kept], class_ids=class_ids[kept], scores=detections[kept, 5].astype(np.float32)
    )
    found["masks"] = None
    if masks is not None:
        restored = _restored_masks(found, masks[kept], geometry, mask_threshold)
        if keep_mask is None:
            found["masks"] = _stack(restored, len(kept), geometry.original_shape)
        else:
            found["masks"] = [keep_mask(mask) for mask in restored]
    return found


def restore_boxes(boxes_normalized, geometry, edges=False):
    """Normalised boxes [N, 4] of the prepared image to whole pixels of the original: int32."""
    window = np.asarray(geometry.window, dtype=np.float64)
    window = boxes.normalize(window, geometry.prepared_shape, edges)
    origin, side = window[[0, 1, 0, 1]], (window[2:] - window[:2])[[0, 1, 0, 1]]
    return boxes.denormalize((boxes_normalized - origin) / side, geometry.original_shape, edges)


def _restored_masks(found, masks, geometry, threshold):
    """The masks [height, width] one after the other."""
    for row, (box, class_id) in enumerate(zip(found["rois"], found["class_ids"], strict=True)):
        channel = 0 if masks.shape[-1] == 1 else class_id
        yield restore_mask(masks[row, ..., channel], box, geometry.original_shape, threshold)


def _stack(masks, count, shape):
    """Masks [height, width, N], each in one piece of memory: whatever follows takes one by one."""
    stacked = np.zeros((count, *shape), dtype=bool)
    for row, mask in enumerate(masks):
        stacked[row] = mask
    return np.moveaxis(stacked, 0, -1)
