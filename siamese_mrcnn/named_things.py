"""Several things searched for at once, each by its name; and things that must not be found."""

import itertools

import numpy as np
from keras import ops

from mrcnn.data.postprocessing import Detections, joined, restore_boxes, restore_detections
from mrcnn.data.preprocessing import is_picture
from mrcnn.ops import boxes
from siamese_mrcnn.data.references import ReferencesError, join_shots, prepare_reference

THINGS_AT_ONCE = 4  # in one query; more take memory and no less time
SAME_PLACE = 0.5  # intersection over union from which on a negative speaks of the same instance


class NamedThingsMethods:
    """For `siamese_mrcnn.model.SiameseMaskRCNN`, whose methods these use."""

    def detect_named(self, things, images, verbose=0, negatives=None, tiles=None):
        """Find several things in each image, which is encoded once for all of them.

        Args:
            things: {name: references or vectors}, see `encode_things`.
            images: list of arrays [height, width(, channels)] or paths.
            verbose: 1 prints how many instances were found.
            negatives: as things, what must not be found; its names say nothing.
            tiles: as of `SiameseMaskRCNN.detect`.

        Returns:
            a `Detections` per image, see `detect_things`.

        Raises:
            ReferencesError: there are no things, or one has no references.
            mrcnn.images.image.ImageError: a reference or image is none, or empty.
        """
        things, negatives = self.encode_things(things), self.encode_things(negatives or {})

        def find(query):
            return self.detect_things_and_negatives(query, things, negatives)

        if tiles:
            detections = [self.find_in_tiles(image, find, tiles) for image in images]
        else:
            detections = [find(query)[0] for query in self.encode_one_by_one(images)]
        if verbose:
            print(f"Found {[len(each) for each in detections]} instances.")
        return detections

    def encode_things(self, things):
        """References of things to what is kept of them: the means of their shots' vectors.

        Args:
            things: {name: references or vectors}. References are one or a list of
                `siamese_mrcnn.search.reference.Reference`, arrays or paths of crops. Vectors, as
                this method returns them, are passed on.

        Returns:
            {name: [float32 [1, channels], ...] for P2..P6 and, if there is one, the verifier;
            before it maps [1, places of all shots, channels], see `encode_references`}
        """
        return {name: self._vectors_of(name, shown) for name, shown in things.items()}

    def detect_things(self, query, things, negatives=None):
        """Find several things in one query.

        What two things are found at is kept for the better one. A detection is dropped where a
        negative has one of higher score.

        Args:
            query: `siamese_mrcnn.model.EncodedQuery`.
            things: {name: vectors}, as of `encode_things`.
            negatives: the same of what must not be found.

        Returns:
            `Detections` over all things, best first, with `labels`; class k is the k-th name.
        """
        return self.detect_things_and_negatives(query, things, negatives)[0]

    def detect_things_and_negatives(self, query, things, negatives=None):
        """As `detect_things`, and a list of `Detections`, without masks, of each negative."""
        if not things:
            raise ReferencesError("There is nothing to search for: give at least one thing.")
        against = [each.boxes for each in self._unmasked(query, (negatives or {}).values())]
        found = {
            name: each.masked(standing_rows(each.boxes, against))
            for name, each in zip(things, self._unmasked(query, things.values()), strict=True)
        }
        return without_doubles(label(found), self.config.DETECTION_NMS_THRESHOLD), against

    def _unmasked(self, query, vectors):
        """Yield what each of some vectors finds in a query, some at once: `Unmasked`."""
        for chosen in alike(vectors, THINGS_AT_ONCE):
            stacked = [np.concatenate(level) for level in zip(*chosen, strict=True)]
            geometries = [query.geometry] * len(chosen)
            outputs = self.find_boxes(query.pyramid, stacked, geometries, query.image)
            for row, rows in enumerate(ops.convert_to_numpy(outputs["detections"])):
                yield Unmasked(self, query.geometry, rows, outputs["pyramid"], row)

    def _vectors_of(self, name, shown):
        if is_picture(shown) or hasattr(shown, "crop"):
            shown = [shown]
        shown = list(shown)
        if not shown:
            raise ReferencesError(f"{name!r} needs at least one reference, but has none.")
        if all(_is_vector(each) for each in shown):
            return self._checked_vectors(name, shown)
        # Shot by shot, so that one compiled function serves any number.
        shots = [self.encode_references(_prepared(each, self.config)) for each in shown]
        return [
            join_shots([ops.convert_to_numpy(each) for each in level])
            for level in zip(*shots, strict=True)
        ]

    def _checked_vectors(self, name, vectors):
        expected = self.network.vector_channels()
        channels = [each.shape[-1] for each in vectors]
        if channels != expected:
            raise ReferencesError(
                f"The vectors of {name!r} are of another model: expected {expected} channels, but "
                f"got {channels}. Encode its references with this model."
            )
        return [ops.convert_to_numpy(each) for each in vectors]


class Unmasked:
    """What one thing's vectors find in one query, before any mask is predicted.

    Args:
        model: that found it.
        geometry: of the query.
        detections: [D, (y1, x1, y2, x2, class id, score)] of the network.
        pyramid: matched P2..P5 of several things.
        row: of this thing in it.

    Attributes:
        boxes: `Detections` without masks.
    """

    def __init__(self, model, geometry, detections, pyramid, row):
        self.model, self.geometry, self.pyramid, self.row = model, geometry, pyramid, row
        edges = model.network.edges
        rois = restore_boxes(detections[:, :4], geometry, edges)
        has_area = (rois[:, 2] > rois[:, 0]) & (rois[:, 3] > rois[:, 1])
        self.found = detections[has_area & (detections[:, 4] > 0)]
        self.size = len(detections)
        self.boxes = restore_detections(self.found, None, geometry, None, edges)

    def masked(self, rows):
        """Some of the `boxes` with their masks: `Detections`."""
        padded = np.zeros((1, self.size, self.found.shape[1]), self.found.dtype)
        padded[0, : len(rows)] = self.found[rows]
        own = [level[self.row : self.row + 1] for level in self.pyramid] if len(rows) else None
        outputs = {"detections": padded, "pyramid": own}
        return self.model.restore(outputs, [self.geometry])[0]


def label(found):
    """{name: `Detections`} of one image as one, best first, with `labels`; class k is the k-th."""
    labelled = [
        Detections(
            {
                **each,
                "class_ids": np.full(len(each), number, np.int32),
                "labels": [name] * len(each),
            }
        )
        for number, (name, each) in enumerate(found.items(), start=1)
    ]
    together = joined(labelled)
    return together.rows(np.argsort(-together.scores, kind="stable"))


def standing_rows(found, negatives):
    """Rows of detections but those where a negative one of higher score is, see `SAME_PLACE`.

    Args:
        found: `Detections`.
        negatives: list of `Detections` of what must not be found.
    """
    standing = np.ones(len(found), bool)
    for negative in negatives:
        there = boxes.overlaps(found.rois, negative.rois) > SAME_PLACE
        surer = negative.scores[None, :] > found.scores[:, None]
        standing &= ~(there & surer).any(axis=1)
    return np.flatnonzero(standing)


def without_doubles(found, threshold):
    """`Detections`, best first, but those that overlap a better one of another class.

    Args:
        threshold: intersection over union above which two are one.
    """
    same = boxes.overlaps(found.rois, found.rois) > threshold
    same &= found.class_ids[:, None] != found.class_ids[None, :]
    kept = []
    for row in range(len(found)):
        if not same[row, kept].any():
            kept.append(row)
    return found.rows(kept)


def alike(things, most):
    """Parts of a list of vectors, in order, of at most so many things whose shapes are the same.

    (Of the places of several shots there are as many as there are shots.)
    """
    for _, same in itertools.groupby(things, lambda vectors: [each.shape for each in vectors]):
        same = list(same)
        for first in range(0, len(same), most):
            yield same[first : first + most]


def _is_vector(value):
    """Vectors and places have one row; no picture of a thing has."""
    shape = getattr(value, "shape", ())
    return len(shape) in (2, 3) and shape[0] == 1


def _prepared(reference, config):
    """One shot as `encode_references` takes it."""
    crop = reference.crop() if hasattr(reference, "crop") else reference
    return prepare_reference(crop, config)[None, None]
