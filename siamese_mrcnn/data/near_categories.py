"""Which categories look alike to a model, for negative queries that are hard to tell apart."""

import json
from pathlib import Path

import numpy as np
from keras import ops

from mrcnn.data.prefetch import ahead
from mrcnn.files import atomic_path
from siamese_mrcnn.data.references import NoReferenceError, sample_references

EXAMPLES = 4  # references of a category, whose vectors are averaged
KEPT = 50  # others of a category, the nearest
BATCH = 8  # categories; always as many, so that a vector does not depend on its neighbours
FILE = "similar_categories.json"  # in the folder of the run
LOADERS = 2  # threads


class NearCategories(dict):
    """{class id: others, nearest first}, as a model sees them.

    Attributes:
        classes: class ids that were to be ranked.
        pictures: {class id: prepared references uint8 [EXAMPLES, h, w, 3]}; None: not drawn.
    """

    classes, pictures = None, None


def rank_categories(model, dataset, classes, epoch):
    """Set `similar_categories` of a data set, by the weights of a model as they are.

    They are kept in the folder of the run, so that a training that goes on within the epoch draws
    the same as one that never stopped. What the data set was given by others stays.

    Args:
        model: `siamese_mrcnn.model.SiameseMaskRCNN`.
        dataset: prepared data set; each category's references are drawn once, by SEED.
        classes: class ids to rank.
        epoch: that is about to begin.
    """
    before = getattr(dataset, "similar_categories", None)
    if before is not None and not isinstance(before, NearCategories):
        return
    path = Path(model.run_folder()) / FILE
    near = NearCategories(_read(path, epoch, classes) or {})
    near.classes = classes
    if before is not None and before.classes == classes:
        near.pictures = before.pictures
    if not near:
        near.pictures = near.pictures or _pictures(dataset, classes, model.config)
        near.update(nearest(_encode(model, near.pictures)))
        with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump({"epoch": epoch, "classes": classes, "nearest": near}, file)
    dataset.similar_categories = near


def nearest(vectors):
    """For each category the others, by the mean of the levels' cosines, nearest first.

    Args:
        vectors: {class id: [vector of P2, ..., of P6]}.

    Returns:
        {class id: [class ids]}, at most KEPT each; of equals, the first in `vectors`.
    """
    class_ids = list(vectors)
    likeness = 0
    for level in zip(*vectors.values(), strict=True):
        rows = np.stack(level).astype(np.float64)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        likeness = likeness + rows @ rows.T
    order = np.argsort(-np.asarray(likeness), axis=-1, kind="stable")
    return {
        class_id: [class_ids[place] for place in order[row] if place != row][:KEPT]
        for row, class_id in enumerate(class_ids)
    }


def _pictures(dataset, classes, config):
    """Prepared references of the categories that have any."""

    def draw(class_id):
        rng = np.random.default_rng([config.SEED, class_id])
        try:
            references = sample_references(dataset, class_id, config, rng, EXAMPLES)
        except NoReferenceError:  # none of its instances survives scaling: nor is it asked for
            return None
        return np.stack([reference.picture for reference in references])

    drawn = zip(classes, ahead(draw, classes, LOADERS), strict=True)
    return {class_id: pictures for class_id, pictures in drawn if pictures is not None}


def _encode(model, pictures):
    """{class id: [mean vector of P2, ..., of P6]}."""
    class_ids, found = list(pictures), {}
    for first in range(0, len(class_ids), BATCH):
        chosen = class_ids[first : first + BATCH]
        batch = np.stack([pictures[class_id] for class_id in chosen])
        batch = np.pad(batch, ((0, BATCH - len(chosen)), *[(0, 0)] * 4))
        encoded = [ops.convert_to_numpy(each) for each in model.encode_references(batch)]
        levels = [each for each in encoded if each.ndim == 2]  # others are maps
        found |= {class_id: [each[row] for each in levels] for row, class_id in enumerate(chosen)}
    return found


def _read(path, epoch, classes):
    """What was kept for this epoch and these categories, or None."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    if (kept["epoch"], kept["classes"]) != (epoch, classes):
        return None
    return {int(class_id): others for class_id, others in kept["nearest"].items()}
