"""Siamese Mask R-CNN for users: train it, load and save its weights, search with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from mrcnn.data.preprocessing import as_list, is_picture, same_shape_chunks, windows_of
from mrcnn.images.image import Geometry
from mrcnn.model import COMPILED_SETTINGS, MaskRCNN
from siamese_mrcnn.config import Config
from siamese_mrcnn.data.references import ReferencesError, prepare_reference
from siamese_mrcnn.data.training_samples import load_sample
from siamese_mrcnn.modeling.siamese_network import SiameseNetwork
from siamese_mrcnn.modeling.weights_layout import siamese_groups
from siamese_mrcnn.named_things import NamedThingsMethods
from siamese_mrcnn.tiles import TilesMethods

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
PRESETS = {"photos": CHECKPOINTS / "photos", "glyphs": CHECKPOINTS / "glyphs_split1.weights.h5"}
REFERENCES_AT_ONCE = 4  # that one query is searched for together; more take memory and no less time


@dataclass(frozen=True)
class EncodedQuery:
    """The features of one query: they serve any number of references."""

    pyramid: list[Any]  # P2..P6, tensors [1, rows, columns, channels]
    geometry: Geometry
    image: np.ndarray  # prepared uint8 [1, height, width, 3], which a verifier cuts finds from


class SiameseMaskRCNN(NamedThingsMethods, TilesMethods, MaskRCNN):
    """Finds and segments in a query image whatever a reference shows.

    Args:
        mode: "training" or "inference".
        model_dir: folder that training runs are saved below.
        config: `siamese_mrcnn.config.Config`.

    Attributes:
        keras_model: the `keras.Model` of this mode; it holds the weights.
        epoch: epochs that the weights have been trained for.
        log_dir, checkpoint_path: as of `MaskRCNN`.
    """

    compiled_settings = (*COMPILED_SETTINGS, "SUBTRACT_MEAN_FROM_REFERENCE")
    checkpoint_prefix = "siamese_mrcnn"
    built_in_presets = PRESETS
    config_class = Config

    def __init__(self, mode, model_dir, config):
        super().__init__(mode, config, model_dir)

    @staticmethod
    def make_network(config):
        return SiameseNetwork(config)

    @staticmethod
    def file_groups(architecture):
        return siamese_groups(architecture)

    sample_loader = staticmethod(load_sample)

    def load_checkpoint(self, path, training_schedule=None, verbose=0):
        """Load a checkpoint of the original or of this program, so that training goes on there.

        Args:
            path: the file; its name tells the epoch.
            training_schedule: for callers of the original; loading by name needs none.
            verbose: 1 prints what was loaded.
        """
        del training_schedule
        return self.load_weights(path, verbose=verbose)

    def load_latest_checkpoint(self, training_schedule=None, verbose=0):
        """Load the latest checkpoint of the latest run of this NAME. Returns the report."""
        return self.load_checkpoint(self.find_last(), training_schedule, verbose)

    def detect(self, references, images, verbose=0, negatives=None, tiles=None):
        """Find in each image all instances of what its references show.

        Args:
            references: one entry for all images, or a list with one entry an image. An entry is
                a crop that shows one object (array or path), or a list of K of them. Or several
                things at once, {name: crops or vectors}, see `detect_named`.
            images: list of arrays [height, width(, channels)] or paths, of any sizes.
            verbose: 1 prints how many instances were found.
            negatives: of named things, {anything: crops or vectors} that must not be found.
            tiles: True or the side of a tile in pixels searches each image in overlapping tiles,
                too, which finds small things in large images, see `siamese_mrcnn.tiles`.

        Returns:
            a `mrcnn.data.postprocessing.Detections` per image; class 1 is what the references
            show. Of named things class k is the k-th, and `labels` are the names.

        Raises:
            ReferencesError: the references do not fit the images or differ in number.
            mrcnn.images.image.ImageError: a reference or image is none, or empty.
        """
        images = as_list(images)
        if not images:
            return []
        if isinstance(references, Mapping):
            return self.detect_named(references, images, verbose, negatives, tiles)
        if negatives:
            raise ReferencesError(
                "What must not be found goes with things that have names: give the references as "
                '{"thing": [crop, ...]}.'
            )
        prepared = self._prepare_references(references, len(images))
        vectors = self.encode_references(prepared)
        detections = []
        if tiles:
            detections = self.detect_in_tiles(images, vectors, tiles)
            images = []
        for chunk in same_shape_chunks(self.prepare(images), self.config.BATCH_SIZE):
            first, last = len(detections), len(detections) + len(chunk)
            chosen = vectors
            if len(prepared) > 1:
                chosen = [vector[first:last] for vector in vectors]
            pyramid, geometries, pictures = self._encode_chunk(chunk)
            detections += self._find(pyramid, chosen, geometries, pictures)
        if verbose:
            print(f"Found {[len(each) for each in detections]} instances.")
        return detections

    def encode_references(self, references):
        """References to what can be kept of them and used again: one vector a pyramid level.

        Args:
            references: uint8 [N, K, height, width, 3], prepared (`prepare_reference`).

        Returns:
            [[N, channels], ...] for P2..P6 and, if there is one, the verifier, which comes last.
            CO_ATTENTION and ROI_COMPARISON keep maps, too, [N, places, channels], before it: 10 to
            50 times as much.

        Raises:
            ReferencesError: they are not prepared.
        """
        references, expected = np.asarray(references), tuple(self.config.TARGET_SHAPE[1:])
        if references.ndim != 5 or references.shape[2:] != expected:
            raise ReferencesError(
                "References must be prepared (siamese_mrcnn.data.references.prepare_reference) and "
                f"stacked to the shape [N, K, {', '.join(map(str, expected))}], but have the "
                f"shape {list(references.shape)}."
            )
        shots = references.shape[1]
        encode = self.function("reference", shots, lambda: self.network.reference_model(shots))
        return encode(references)

    def encode_queries(self, images):
        """Images (arrays or paths) to a list of `EncodedQuery`."""
        return list(self.encode_one_by_one(images))

    def encode_one_by_one(self, images):
        """As `encode_queries`, but a generator: of many images, the features need not be kept."""
        for chunk in same_shape_chunks(self.prepare(images), self.config.BATCH_SIZE):
            pyramid, geometries, pictures = self._encode_chunk(chunk)
            for row, geometry in enumerate(geometries):
                features = [level[row : row + 1] for level in pyramid]
                yield EncodedQuery(features, geometry, pictures[row : row + 1])

    def detect_encoded(self, queries, vectors):
        """Detect with encoded queries and references.

        The pyramid of a query serves any number of references. With CO_ATTENTION its P3..P6 change
        with each of them, so that matching no longer shares the query's part of these.

        Args:
            queries: list of N `EncodedQuery`, or of one that all references are searched in.
            vectors: as of `encode_references`.

        Returns:
            N `mrcnn.data.postprocessing.Detections`.
        """
        count = len(vectors[0])
        if len(queries) not in (1, count):
            raise ReferencesError(
                f"{len(queries)} queries do not go with {count} references: give as many, or one "
                "query for all."
            )
        detections, at_once = [], 1
        while len(detections) < count:
            first = len(detections)
            query = queries[first] if len(queries) > 1 else queries[0]
            if len(queries) == 1:
                most = min(count - first, self.config.IMAGES_PER_GPU, REFERENCES_AT_ONCE)
                at_once = _power_of_two(most)
            chosen = [vector[first : first + at_once] for vector in vectors]
            geometries = [query.geometry] * at_once
            detections += self._find(query.pyramid, chosen, geometries, query.image)
        return detections

    def detect_batch(self, batch, things):
        """Search prepared images of one shape together, each for things of its own.

        Args:
            batch: [(prepared image, `Geometry`)] of `prepare`, all of one shape.
            things: list of vectors, as of `encode_references` with a row for each image.

        Returns:
            for each thing a list of one `Detections` for each image.
        """
        pyramid, geometries, pictures = self._encode_chunk(batch)
        return [self._find(pyramid, vectors, geometries, pictures) for vectors in things]

    def compare(self, query, vectors):
        """What the verifier makes new scores of, for one encoded query and one reference.

        Args:
            query: `EncodedQuery`.
            vectors: as of `encode_references`, of one reference.

        Returns:
            detections [N, (y1, x1, y2, x2, class id, score of the box head)], boxes normalised in
            the prepared image, best first, and their cosines with the reference [N].
        """
        shape = query.geometry.prepared_shape
        compare = self.function("similarity", shape, lambda: self.network.similarity_model(shape))
        inputs = self._matching_inputs(query.pyramid, vectors, [query.geometry], query.image)
        found = {name: ops.convert_to_numpy(each)[0] for name, each in compare(inputs).items()}
        count = np.count_nonzero(found["detections"][:, 4])
        return found["detections"][:count], found["similarities"][:count]

    def _encode_chunk(self, chunk):
        """A batch of prepared images of one shape: pyramid, geometries, the images stacked."""
        pictures, geometries = np.stack([image for image, _ in chunk]), [each for _, each in chunk]
        shape = geometries[0].prepared_shape
        encode = self.function("query", shape, lambda: self.network.query_model(shape))
        return encode(pictures), geometries, pictures

    def _find(self, pyramid, vectors, geometries, pictures):
        """Match a batch of queries with as many references; either may be one for all."""
        return self.restore(self.find_boxes(pyramid, vectors, geometries, pictures), geometries)

    def find_boxes(self, pyramid, vectors, geometries, pictures):
        """As the model of `SiameseNetwork.matched_boxes_model`: its outputs, before any mask."""
        inputs = self._matching_inputs(pyramid, vectors, geometries, pictures)
        shape = geometries[0].prepared_shape
        find = self.function(
            "matched_boxes", shape, lambda: self.network.matched_boxes_model(shape)
        )
        return find(inputs)

    def _matching_inputs(self, pyramid, vectors, geometries, pictures):
        inputs = {"pyramid": pyramid, "vectors": vectors, "windows": windows_of(geometries)}
        return inputs if self.network.verifier is None else inputs | {"images": pictures}

    def _prepare_references(self, references, images):
        """Prepared references uint8 [images or 1, K, height, width, 3]."""
        entries = _entries(references, images)
        shots = {len(entry) for entry in entries}
        if shots == {0} or len(shots) != 1:
            raise ReferencesError(
                "Every image needs the same number of references, at least one, but the numbers "
                f"are {[len(entry) for entry in entries]}."
            )
        return np.stack(
            [[prepare_reference(crop, self.config) for crop in entry] for entry in entries]
        )


def _power_of_two(most):
    """The largest power of two up to a number: few batch sizes, so few functions to compile."""
    return 1 << (most.bit_length() - 1)


def _entries(references, images):
    """A list of K crops for each image, or a single one for all of them."""
    if is_picture(references):
        return [[references]]
    references = _crops(references)
    if len(references) != images:
        raise ReferencesError(
            f"There are {len(references)} references for {images} images. Give one crop for all "
            "images, or a list with one entry an image; an entry may be a list of K crops, so K "
            "references of a single image are [[crop, crop, ...]]."
        )
    return [_crops(entry) for entry in references]


def _crops(entry):
    """The crops of an entry as a list."""
    if is_picture(entry):
        return [entry]
    if not isinstance(entry, Iterable):
        raise ReferencesError(
            f"A reference must be an image array or a path, or a list of them, but is {entry!r}."
        )
    return list(entry)
