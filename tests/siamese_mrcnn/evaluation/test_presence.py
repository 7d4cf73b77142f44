"""Numbers of "is it there?", each worked by hand, and against slow obvious oracles."""

import itertools

import numpy as np
import pytest
from sklearn import metrics

from siamese_mrcnn.evaluation import presence
from siamese_mrcnn.evaluation.presence import Answers, presence_numbers

RNG = np.random.default_rng(3)


def answers(*rows):
    """`Answers` of (present, category, instances, scores, right)."""
    present, categories, instances, scores, right = zip(*rows, strict=True)
    return Answers(
        present=np.array(present, bool),
        best=np.array([max(each, default=0.0) for each in scores]),
        images=np.arange(len(rows)),
        categories=np.array(categories),
        instances=np.array(instances),
        scores=[np.array(each, float) for each in scores],
        right=[np.array(each, bool) for each in right],
    )


EXAMPLE = answers(
    (True, 1, 2, [0.9, 0.8, 0.3], [1, 1, 0]),
    (True, 1, 1, [0.6], [0]),
    (False, 1, 0, [0.7], [0]),
    (True, 2, 1, [0.5], [1]),
    (False, 2, 0, [], []),
    (False, 2, 0, [0.2], [0]),
)


def test_every_number_by_hand():
    found = presence_numbers(EXAMPLE, threshold=0.5)
    by_hand = {
        # pairs of a present and an absent question: .9 beats .7, 0, .2; .6 and .5 beat 0, .2
        "auroc": 7 / 9,
        # all three present ones are needed for 95 %: from .5 on, and .7 is above it
        "fpr_at_95_recall": 1 / 3,
        "threshold": 0.5,
        # answered: .9, .6, .7, .5: present 3 of 3, absent 1 of 3: TP 3, FP 1, FN 0, TN 2
        "image_mcc": (3 * 2 - 1 * 0) / np.sqrt(4 * 3 * 3 * 2),
        "image_f1": 2 * 3 / (4 + 3),
        # where it is there: detections .9, .8, .6, .5; right .9, .8, .5; true 2 + 1 + 1
        "instance_f1": 2 * 3 / (4 + 4),
        "cgf1": 6 / np.sqrt(72) * 0.75,
        "false_alarms": 1 / 3,
        "found": 2 / 3,
        # counts 2, 1, 1, 1, 0, 0 against 2, 1, 0, 1, 0, 0
        "count_error": 1 / 6,
        # of .9, .8, .6, .7, .5 three are right
        "precision": 3 / 5,
        # category 1: ranked .9 yes, .7 no, .6 yes: 1/2 * (1 + 2/3); category 2: .5 first: 1
        "retrieval_map": (5 / 6 + 1) / 2,
        # category 1: of the first two one; category 2: of the first one one
        "precision_at_10": (1 / 2 + 1) / 2,
        # one score a bin of 1/15: |score - right| of .9 .8 .3 .6 .7 .5 .2
        "calibration_error": (0.1 + 0.2 + 0.3 + 0.6 + 0.7 + 0.5 + 0.2) / 7,
    }
    assert found.keys() == by_hand.keys()
    for name, value in by_hand.items():
        assert found[name] == pytest.approx(value), name


def test_the_threshold_is_the_lowest_of_enough_precision():
    scores, right = [0.9, 0.8, 0.8, 0.7, 0.6], [1, 1, 1, 0, 1]
    # precision from .9 on: 1; .8: 3/3; .7: 3/4; .6: 4/5
    assert presence.threshold_at_precision(scores, right, 0.8) == 0.6
    assert presence.threshold_at_precision(scores, right, 0.9) == 0.8
    assert presence.threshold_at_precision([0.9, 0.8, 0.7], [0, 1, 0], 0.9) == 0.8  # 1/2 at best
    assert presence.threshold_at_precision([], []) == 1.0
    assert presence_numbers(EXAMPLE)["threshold"] == 0.8


def test_reliability_by_hand():
    means, shares, counts = presence.reliability([0.1, 0.15, 0.6, 1.0], [0, 1, 1, 1], bins=2)
    np.testing.assert_allclose(means, [0.125, 0.8])
    np.testing.assert_allclose(shares, [0.5, 1.0])
    assert counts.tolist() == [2, 2]


def random_question(size=60):
    present = RNG.random(size) < 0.4
    return present, np.round(RNG.random(size) + 0.3 * present, 1)  # many ties


@pytest.mark.parametrize("number", range(5))
def test_curves_against_slow_oracles(number):
    present, best = random_question()
    pairs = [np.sign(a - b) / 2 + 0.5 for a, b in itertools.product(best[present], best[~present])]
    assert presence.auroc(present, best) == pytest.approx(np.mean(pairs))
    area, before = 0.0, 0
    for threshold in sorted(set(best), reverse=True):
        answered = best >= threshold
        hits = (present & answered).sum()
        area += hits / answered.sum() * (hits - before) / present.sum()
        before = hits
    assert presence.average_precision(present, best) == pytest.approx(area)
    answered = best >= np.median(best)
    expected = np.corrcoef(present, answered)[0, 1]
    assert presence.matthews_correlation(present, answered) == pytest.approx(expected)


@pytest.mark.parametrize("number", range(3))
def test_curves_are_those_of_scikit_learn(number):
    present, best = random_question()
    assert presence.auroc(present, best) == pytest.approx(metrics.roc_auc_score(present, best))
    expected = metrics.average_precision_score(present, best)
    assert presence.average_precision(present, best) == pytest.approx(expected)


def test_what_is_not_defined_is_no_number():
    only_present = answers((True, 1, 1, [0.5], [1]))
    found = presence_numbers(only_present)
    names = ("auroc", "fpr_at_95_recall", "false_alarms", "retrieval_map", "precision_at_10")
    assert all(np.isnan(found[name]) for name in names)
    assert found["found"] == 1 and found["image_f1"] == 1
    silent = presence_numbers(answers((True, 1, 1, [], []), (False, 1, 0, [], [])))
    assert silent["auroc"] == 0.5 and silent["image_mcc"] == 0 and silent["threshold"] == 1
    assert np.isnan(silent["precision"]) and np.isnan(silent["calibration_error"])


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="some are NaN"):
        presence.auroc(np.array([True, False]), np.array([0.5, np.nan]))
