"""What an evaluation asks: every image, each of its categories, with which references.

A query is one image, one class and its K references. The references are drawn from
(seed, run, image, class) alone, or taken from the record of an earlier evaluation.
"""

import dataclasses
import json

import numpy as np

from mrcnn.data.broken_images import BrokenImages, describe_failure
from siamese_mrcnn.data.coco import OtherSizeError
from siamese_mrcnn.data.references import load_reference, sample_references
from siamese_mrcnn.evaluation.coco_metrics import source_ids
from siamese_mrcnn.evaluation.sameness import allowed_references

UNREADABLE = "the image could not be read"
OTHER_SIZE = "the image has another size than its annotations"
NO_REFERENCE = "no reference could be drawn"


@dataclasses.dataclass(frozen=True)
class Query:
    """One question: where in this image is what these references show?

    image_id and class_id are the data set's own, source_image_id and category_id its source's.
    Either `references` is filled, or `failure` (why) and `detail` (a sentence) are.
    """

    run: int
    image_id: int
    class_id: int
    source_image_id: int
    category_id: int
    references: tuple = ()
    failure: str = ""
    detail: str = ""

    @property
    def key(self):
        """What the random numbers of this query depend on, besides the seed."""
        return (self.run, self.source_image_id, self.category_id)


class QueryLoader:
    """Loads an image and the references of all its queries."""

    def __init__(
        self, dataset, classes, config, runs, shots, seed, same_image, recorded=None, same=None
    ):
        """Prepare to ask for `classes` in the images of a data set.

        Args:
            dataset: where queries and references come from.
            classes: class ids to ask for.
            config: of the model; its TARGET_* say how references are prepared.
            runs, shots, seed: draw `shots` references a query in each run.
            same_image: whether a reference may come from the image searched.
            recorded: {(run, source image id, category id): entry} to replay instead of drawing.
            same: what references have in common with what the image shows, see
                `siamese_mrcnn.evaluation.sameness`; None: the category, whatever the thing.
        """
        self.dataset, self.classes, self.config = dataset, frozenset(classes), config
        self.runs, self.shots, self.seed = runs, shots, seed
        self.same_image, self.recorded, self.same = same_image, recorded, same
        self.source_images = source_ids(dataset.image_info, "image")
        # The background has no category; its number 0 may be that of a class of the source.
        self.source_classes = [None, *source_ids(dataset.class_info[1:], "class")]
        self._broken = BrokenImages()
        self._image_of_source = {source: i for i, source in enumerate(self.source_images)}

    def classes_in(self, image_id):
        """The classes to ask for in an image: those that it shows."""
        return [c for c in self.dataset.classes_in(image_id) if c in self.classes]

    def load(self, image_id):
        """The image, uint8 [height, width, 3] or None, and its queries of all runs."""
        try:
            image = self.dataset.load_image(image_id)
        except Exception as error:  # noqa: BLE001 - whatever a user's load_image() raises
            failure = failure_of(self.dataset, image_id, error)
            return None, [self._query(*which, **failure) for which in self._all(image_id)]
        return image, [self._with_references(self._query(*which)) for which in self._all(image_id)]

    def record(self, query):
        """A query as JSON can hold it; references as (image, annotation) of the source."""
        entry = {"run": query.run, "category_id": query.category_id}
        if query.failure:
            return entry | {"failure": query.failure, "detail": query.detail}
        references = [
            {
                "image_id": self.source_images[reference.image_id],
                "annotation_id": int(reference.annotation_id),
            }
            for reference in query.references
        ]
        return entry | {"references": references}

    def _all(self, image_id):
        classes = self.classes_in(image_id)
        return [(run, image_id, class_id) for run in range(self.runs) for class_id in classes]

    def _query(self, run, image_id, class_id, **keywords):
        sources = self.source_images[image_id], self.source_classes[class_id]
        return Query(run, image_id, class_id, *sources, **keywords)

    def _with_references(self, query):
        try:
            references = self._replay(query) if self.recorded is not None else self._draw(query)
        except (OSError, ValueError) as error:
            return dataclasses.replace(query, failure=NO_REFERENCE, detail=str(error))
        return dataclasses.replace(query, references=tuple(references))

    def _draw(self, query):
        broken = []
        try:
            return sample_references(
                self.dataset,
                query.class_id,
                self.config,
                np.random.default_rng([self.seed, *query.key]),
                self.shots,
                exclude_image=None if self.same_image else query.image_id,
                broken=broken,
                allowed=allowed_references(self.dataset, query, self.same),
            )
        finally:
            self._broken.add(broken)

    def _replay(self, query):
        entry = self.recorded.get(query.key)
        if entry is None:
            raise ValueError("The replayed record does not hold this query.")
        if "failure" in entry:
            raise ValueError(entry["detail"])
        return [self._load(recorded) for recorded in entry["references"]]

    def _load(self, recorded):
        image_id = self._image_of_source.get(recorded["image_id"])
        if image_id is None:
            raise ValueError(
                f"The replayed reference comes from image {recorded['image_id']}, which the data "
                "set does not have. Replay with the data set of the record."
            )
        return load_reference(self.dataset, image_id, recorded["annotation_id"], self.config)


def failure_of(dataset, image_id, error):
    """{"failure": why, "detail": a sentence} of an image that could not be loaded."""
    reason = OTHER_SIZE if isinstance(error, OtherSizeError) else UNREADABLE
    return {"failure": reason, "detail": ": ".join(describe_failure(dataset, image_id, error))}


def read_record(path):
    """Read the references that an earlier evaluation used.

    Args:
        path: its references.json.

    Returns:
        the record, and {(run, source image id, category id): entry}.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such record.
    """
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        _ = record["runs"], record["shots"]
        entries = {
            (query["run"], image["image_id"], query["category_id"]): query
            for image in record["images"]
            for query in image["queries"]
        }
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is no record of references. Give the references.json that an earlier "
            "evaluation wrote into its folder."
        ) from error
    return record, entries
