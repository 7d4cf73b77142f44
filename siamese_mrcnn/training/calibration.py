"""Scores that mean something: how often a find of this score is right, and when to say yes.

From questions for what images show and for what they do not, the verifier's score learns three
things: how much the box head's score and the similarity each tell (`choose_mix`), how often a find
of such a mix is right (Platt's logistic regression), and the threshold, the lowest score from which
on enough of the detections, nine of ten, are right.
"""

import numpy as np
from scipy.optimize import minimize

from mrcnn.data.postprocessing import restore_boxes
from mrcnn.data.prefetch import ahead
from mrcnn.progress import progress_bar
from siamese_mrcnn.evaluation.absent import AbsentQueryLoader, judge, near_classes
from siamese_mrcnn.evaluation.coco_metrics import ground_truth
from siamese_mrcnn.evaluation.presence import (
    PRECISION,
    auroc,
    average_precision,
    calibration_error,
    threshold_at_precision,
)
from siamese_mrcnn.evaluation.reference_cache import ReferenceVectors
from siamese_mrcnn.modeling.verification import LEAST_CHANCE

RIDGE = 1e-3  # keeps the weights finite where right and wrong part cleanly
NOTHING = np.zeros((0, 2)), np.zeros(0, bool)  # finds of a question, and whether they are right
# Weights of a cosine beside the logit of a score, which spreads some ten times as far.
MIXES = np.geomspace(1, 100, 33)


class CalibrationError(ValueError):
    """Questions that no calibration can be learned from."""


def calibrate(
    model,
    dataset,
    classes,
    absent=2,
    seed=0,
    limit=None,
    workers=2,
    progress=True,
    precision=PRECISION,
):
    """Fit the verifier's score and the threshold of a model; other weights stay as they are.

    Args:
        model: `SiameseMaskRCNN` in inference mode with a verifier; its score's weights and its
            `threshold` change.
        dataset: prepared data set that training did not use, of queries and of references.
        classes: class ids to ask for.
        absent: classes to ask every image for that it does not show.
        seed: of the draws.
        limit: look at the first `limit` images only.
        workers: threads that load.
        progress: whether to show a bar.
        precision: share of the detections that are right from the threshold on.

    Returns:
        {"weights": [of the box head's logit, of the cosine], "bias", "threshold", "detections",
        "right", "calibration_error"}

    Raises:
        CalibrationError: the model has no verifier, or all detections are right, or all wrong.
    """
    if model.network.verifier is None:
        raise CalibrationError(
            "The model has no verifier whose scores could be calibrated: see train-verifier."
        )
    near = near_classes(model, dataset, classes, seed)
    loader = AbsentQueryLoader(
        near, absent, dataset, classes, model.config, 1, 1, seed, same_image=False
    )
    image_ids = [int(image_id) for image_id in dataset.image_ids[:limit]]
    questions, present = _answers(model, loader, image_ids, workers, progress)
    finds, right = (np.concatenate(each) for each in zip(NOTHING, *questions, strict=True))
    if right.all() or not right.any():
        raise CalibrationError(
            f"Of {len(right)} detections {np.count_nonzero(right)} are right, and a calibration "
            "needs both right and wrong ones. Take more images, or train the model first."
        )
    mix = choose_mix(questions, present)
    (scale,), bias = fit_logistic((finds @ mix)[:, None], right)
    weights = scale * mix
    layer = model.network.verifier.score
    layer.kernel.assign(weights)
    layer.bias.assign([bias])
    scores = 1 / (1 + np.exp(-(finds @ weights + bias)))
    model.threshold = threshold_at_precision(scores, right, precision)
    return {
        "weights": weights.tolist(),
        "bias": bias,
        "threshold": model.threshold,
        "detections": len(right),
        "right": int(np.count_nonzero(right)),
        "calibration_error": calibration_error(scores, right),
    }


def choose_mix(questions, present):
    """How much a cosine tells beside the logit of a score: weights (1, one of `MIXES`).

    That with the greatest sum of average precision, of all finds, and AUROC, of the images that
    show the thing against those that do not by their best find. A regression on the finds alone
    would hardly look at the cosines: the most by far are wrong for their box, and of those the box
    head tells nearly all. Whether an image holds the thing at all, the cosines tell.

    Args:
        questions: for each one its finds, float [N, (logit, cosine)], and whether each is right.
        present: bool [questions], whether the thing is there. If it always is, AUROC plays no part.
    """
    right = np.concatenate([each for _, each in questions])

    def worth(weight):
        mixed = [finds @ (1.0, weight) for finds, _ in questions]
        best = np.array([each.max(initial=-np.inf) for each in mixed])
        told_apart = 0.0 if present.all() or not present.any() else auroc(present, best)
        return average_precision(right, np.concatenate(mixed)) + told_apart

    return np.array([1.0, max(MIXES, key=worth)])


def fit_logistic(features, positive):
    """Weights and bias of a logistic regression, by maximum likelihood with a small ridge.

    Args:
        features: [N, F].
        positive: bool [N].
    """
    signs = np.where(positive, 1.0, -1.0)

    def loss(values):
        margins = signs * (features @ values[:-1] + values[-1])
        pull = -signs / (1 + np.exp(np.clip(margins, -500, 500))) / len(signs)
        gradient = np.append(features.T @ pull + 2 * RIDGE * values[:-1], pull.sum())
        return np.logaddexp(0, -margins).mean() + RIDGE * (values[:-1] ** 2).sum(), gradient

    found = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B")
    return found.x[:-1], float(found.x[-1])


def _answers(model, loader, image_ids, workers, progress):
    """What comes back for all questions.

    Returns:
        for each question (logit of the score, cosine) of its detections [N, 2] and whether each is
        right [N]; and whether the thing is there [questions].
    """
    truth = ground_truth(loader.dataset, image_ids)
    references, answers, present = ReferenceVectors(model), [], []
    with progress_bar("images", progress) as bar:
        task = bar.add_task("Asking", total=len(image_ids))
        for image, queries in ahead(loader.load, image_ids, workers):
            queries = [each for each in queries if not each.failure]
            encoded = model.encode_queries([image]) if queries else []
            for query in queries:
                vectors = references.of([query.references])
                detections, cosines = model.compare(encoded[0], vectors)
                wanted = loader.boxes_of(truth, query)
                boxes = restore_boxes(detections[:, :4], encoded[0].geometry)
                right = judged_in_order(boxes, detections[:, 5], wanted)
                chances = np.clip(detections[:, 5], LEAST_CHANCE, 1 - LEAST_CHANCE)
                logits = np.log(chances / (1 - chances))
                answers.append((np.stack([logits, cosines], axis=1), np.array(right, bool)))
                present.append(len(wanted) > 0)
            bar.advance(task)
    return answers, np.array(present, bool)


def judged_in_order(boxes, scores, wanted):
    """Whether each detection, best first, is right.

    Args:
        boxes: (y1, x1, y2, x2) in pixels of the image.
        scores: descending.
        wanted: true boxes, [x, y, width, height].
    """
    results = [
        {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for (y1, x1, y2, x2), score in zip(boxes.tolist(), scores.tolist(), strict=True)
    ]
    return judge(results, wanted)[1]
