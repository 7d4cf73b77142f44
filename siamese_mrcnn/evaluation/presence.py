"""How well a model says whether a thing is there: numbers of answers to many questions.

A question asks for one category in one image, which shows it or not; its answer are detections.
What is not defined, say where nothing absent was asked for, is NaN.
"""

from dataclasses import dataclass

import numpy as np

PRECISION = 0.9  # of detections at the threshold that is chosen
RECALL = 0.95  # at which false positives are told
FIRST = 10  # images that precision is told of
BINS = 15  # of scores, for calibration


@dataclass(frozen=True)
class Answers:
    """What a model answered to N questions "where is this category in this image?"."""

    present: np.ndarray  # bool [N], whether the image shows the category
    best: np.ndarray  # float [N], best score of the answer, 0 where there was none
    images: np.ndarray  # int [N], which image
    categories: np.ndarray  # int [N], which category was asked for
    instances: np.ndarray  # int [N], how many the image shows, 0 where absent
    scores: list  # N float arrays: of all detections, best first
    right: list  # N bool arrays: whether each is right


def presence_numbers(answers, threshold=None):
    """All numbers of `siamese_mrcnn.evaluation.absent.ROWS`.

    Args:
        answers: `Answers`.
        threshold: score from which on a detection counts; None: `threshold_at_precision`.

    Returns:
        {name: float}
    """
    scores = np.concatenate([np.zeros(0), *answers.scores])
    right = np.concatenate([np.zeros(0, bool), *answers.right])
    if threshold is None:
        threshold = threshold_at_precision(scores, right)
    present, answered = answers.present, answers.best >= threshold
    counts = np.array([np.count_nonzero(each >= threshold) for each in answers.scores])
    hits = np.array(
        [
            np.count_nonzero(true & (each >= threshold))
            for each, true in zip(answers.scores, answers.right, strict=True)
        ]
    )
    instance_f1 = _f1(hits[present].sum(), counts[present].sum(), answers.instances[present].sum())
    image_mcc = matthews_correlation(present, answered)
    return {
        "auroc": auroc(present, answers.best),
        "fpr_at_95_recall": false_positives_at_recall(present, answers.best),
        "threshold": float(threshold),
        "image_mcc": image_mcc,
        "image_f1": _f1((present & answered).sum(), answered.sum(), present.sum()),
        "instance_f1": instance_f1,
        "cgf1": instance_f1 * image_mcc,
        "false_alarms": _mean(answered[~present]),
        "found": _mean(hits[present] > 0),
        "count_error": _mean(np.abs(counts - answers.instances)),
        "precision": _mean(right[scores >= threshold]),
        "calibration_error": calibration_error(scores, right),
        "retrieval_map": _by_category(answers, average_precision),
        "precision_at_10": _by_category(answers, _precision_of_first),
    }


def roc_curve(present, best):
    """False-positive and true-positive rates for every threshold, from none to all answered."""
    _, positives, negatives = _cumulated(present, best)
    return negatives / max(negatives[-1], 1), positives / max(positives[-1], 1)


def precision_recall_curve(present, best):
    """Recall and precision for every threshold, from the highest on."""
    _, positives, negatives = _cumulated(present, best)
    positives, negatives = positives[1:], negatives[1:]
    return positives / max(positives[-1], 1), positives / (positives + negatives)


def auroc(present, best):
    """Chance that an image with the thing has a higher score than one without; ties are half."""
    if present.all() or not present.any():
        return float("nan")
    false, true = roc_curve(present, best)
    return float(np.trapezoid(true, false))


def average_precision(present, best):
    """Sum over thresholds of precision times the recall it adds; equal scores come together."""
    if not present.any():
        return float("nan")
    recall, precision = precision_recall_curve(present, best)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def false_positives_at_recall(present, best, recall=RECALL):
    """The false-positive rate at the highest threshold whose recall is enough."""
    if present.all() or not present.any():
        return float("nan")
    false, true = roc_curve(present, best)
    return float(false[np.argmax(true >= recall)])


def matthews_correlation(present, answered):
    """Matthews' correlation of two answers yes or no; 0 where one of them is always the same."""
    if not len(present):
        return float("nan")
    both = np.stack([present, answered]).astype(float)
    centred = both - both.mean(axis=1, keepdims=True)
    lengths = np.prod(np.sqrt((centred**2).sum(axis=1)))
    return float((centred[0] * centred[1]).sum() / lengths) if lengths else 0.0


def threshold_at_precision(scores, right, precision=PRECISION):
    """The lowest score such that enough of the detections from there on are right.

    Where none is enough: the score of the highest precision; 1 without detections.
    """
    if not len(scores):
        return 1.0
    values, positives, negatives = _cumulated(right, scores)
    share = positives[1:] / (positives[1:] + negatives[1:])
    enough = np.flatnonzero(share >= precision)
    return float(values[enough[-1] if len(enough) else np.argmax(share)])


def reliability(scores, right, bins=BINS):
    """By bins of equal width: mean score, share that is right (NaN in empty bins), and count."""
    places = np.clip((np.asarray(scores) * bins).astype(int), 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    divisor = np.where(counts, counts, np.nan)
    means = np.bincount(places, weights=scores, minlength=bins) / divisor
    shares = np.bincount(places, weights=np.asarray(right, float), minlength=bins) / divisor
    return means, shares, counts


def calibration_error(scores, right):
    """Expected calibration error: how far scores and shares of bins differ, weighted by counts."""
    if not len(scores):
        return float("nan")
    means, shares, counts = reliability(scores, right)
    return float(np.nansum(np.abs(means - shares) * counts) / counts.sum())


def _cumulated(positive, scores):
    """Distinct scores, highest first, and how many positives and negatives are from there on.

    The counts begin with 0, for a threshold above all.
    """
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    if np.isnan(scores).any():
        raise ValueError("Scores must be numbers, but some are NaN.")
    values, places = np.unique(-scores, return_inverse=True)
    positives = np.bincount(places[positive], minlength=len(values))
    negatives = np.bincount(places[~positive], minlength=len(values))
    return -values, *(np.concatenate([[0], np.cumsum(each)]) for each in (positives, negatives))


def _f1(hits, answered, wanted):
    return float(2 * hits / (answered + wanted)) if answered + wanted else float("nan")


def _mean(values):
    return float(np.mean(values)) if len(values) else float("nan")


def _by_category(answers, number):
    """Mean of a number over the categories that were asked for both present and absent."""
    found = []
    for category in np.unique(answers.categories):
        asked = answers.categories == category
        present = answers.present[asked]
        if present.any() and not present.all():
            found.append(number(present, answers.best[asked]))
    return _mean(found)


def _precision_of_first(present, best):
    """Share of images with the thing among the first, as many as there are at most.

    Of equal scores at the end, the expected share counts.
    """
    wanted = min(FIRST, int(present.sum()))
    _, positives, negatives = _cumulated(present, best)
    return float(np.interp(wanted, positives + negatives, positives) / wanted)
