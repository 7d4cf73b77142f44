"""The work of an evaluation: search every image for every reference, and log what is found."""

import logging

import numpy as np

from mrcnn.data.prefetch import ahead
from mrcnn.files import in_hand
from mrcnn.progress import progress_bar
from siamese_mrcnn.evaluation.chance import scatter
from siamese_mrcnn.evaluation.coco_metrics import encode_detections
from siamese_mrcnn.evaluation.reference_cache import ReferenceVectors

logger = logging.getLogger(__name__)

SCATTER = 1  # keeps the random numbers of the chance level apart from those of the references


def search_images(model, loader, image_ids, log, change=None, workers=2, progress=True):
    """Search the images that the log does not have yet, and append each one to it.

    Args:
        model: `SiameseMaskRCNN` in inference mode.
        loader: `QueryLoader`.
        image_ids: the data set's own; images that show none of the classes are passed over.
        log: `EvaluationLog`.
        change: function of (query, its detections, image) to other detections, or None.
        workers: threads that load ahead.
        progress: whether to show a bar.
    """
    asked = [image_id for image_id in image_ids if loader.classes_in(image_id)]
    left = [i for i in asked if loader.source_images[i] not in log.done]
    done = len(asked) - len(left)
    if done:
        logger.info("%d of %d images are done already.", done, len(asked))
    references = ReferenceVectors(model)
    with progress_bar("images", progress) as bar:
        task = bar.add_task("Evaluating", total=len(asked), completed=done)
        loaded = ahead(loader.load, left, workers)
        for image_id, (image, queries) in zip(left, loaded, strict=True):
            results = {}
            with in_hand(loader.dataset.image_reference(image_id)):
                for query, found in detect_queries(model, image, queries, references):
                    if change is not None:
                        found = change(query, found, image)
                    results[query.key] = encode_detections(
                        found, query.source_image_id, query.category_id
                    )
            entries = [_entry(loader, each, results.get(each.key)) for each in queries]
            log.append(loader.source_images[image_id], {"queries": entries})
            bar.advance(task)


def detect_queries(model, image, queries, references):
    """Search one image for the references of several queries; its features are computed once.

    One after the other, as masks of many queries take much memory.

    Args:
        queries: those without a reference are passed over.
        references: `ReferenceVectors` of the model.

    Yields:
        (query, its `Detections`)
    """
    queries = [each for each in queries if not each.failure]
    if not queries:
        return
    vectors = references.of([query.references for query in queries])
    encoded = model.encode_queries([image])
    at_once = model.config.IMAGES_PER_GPU
    for first in range(0, len(queries), at_once):
        chosen = [vector[first : first + at_once] for vector in vectors]
        yield from zip(
            queries[first : first + at_once], model.detect_encoded(encoded, chosen), strict=True
        )


def scattered(loader, move_masks, query, detections, image):
    """The chance level of one query, see `siamese_mrcnn.evaluation.chance`."""
    rng = np.random.default_rng([loader.seed, *query.key, SCATTER])
    return scatter(detections, image.shape, rng, move_masks)


def _entry(loader, query, results):
    """A query with its references and results, as the log keeps it."""
    if query.failure:
        logger.info(  # the report counts them by reason
            "Image %d is not searched for category %d in run %d: %s",
            query.source_image_id,
            query.category_id,
            query.run,
            query.detail,
        )
        return loader.record(query)
    return loader.record(query) | {"results": results}
