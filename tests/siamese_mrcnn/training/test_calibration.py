"""How the scores of a calibrated model come about, by hand."""

import numpy as np

from siamese_mrcnn.training.calibration import MIXES, choose_mix, fit_logistic

NONE = np.zeros((0, 2)), np.zeros(0, bool)


def question(*rows):
    """Finds (logit, cosine, whether right) as `choose_mix` takes them."""
    rows = np.array(rows, float)
    return rows[:, :2], rows[:, 2].astype(bool)


def test_cosines_weigh_as_much_as_it_takes_to_tell_present_from_absent():
    # 1 + .9 w > 3 + .1 w from w = 2.5 on
    questions = [question((1, 0.9, 1)), question((3, 0.1, 0)), NONE]
    weights = choose_mix(questions, np.array([True, False, False]))
    assert weights.tolist() == [1.0, MIXES[MIXES > 2.5][0]]


def test_cosines_weigh_little_where_the_box_head_knows():
    # (2, .1) is right and must stay above (0, .9) of the same image: w < 2.5, and less is enough
    questions = [question((2, 0.1, 1), (0, 0.9, 0)), question((-3, 0.2, 0))]
    assert choose_mix(questions, np.array([True, False])).tolist() == [1.0, MIXES[0]]


def test_finds_decide_alone_where_all_images_show_the_thing():
    questions = [question((1, 0.9, 1)), question((3, 0.1, 0))]
    assert choose_mix(questions, np.array([True, True]))[1] == MIXES[MIXES > 2.5][0]


def test_a_mix_of_no_single_kind_of_mistake_beats_both_ends():
    """Boxes that the head tells apart and images that cosines tell apart: both count."""
    rng = np.random.default_rng(0)
    questions, present = [], np.arange(200) % 2 == 0
    for there in present:
        right = np.arange(8) < 2 if there else np.zeros(8, bool)
        logits = rng.normal(np.where(np.arange(8) < 2, 2, -2), 1.0)  # a box fits, whatever it shows
        cosines = rng.normal(np.where(there, 0.5, 0.2), 0.1, 8)
        questions.append((np.stack([logits, cosines], axis=1), right))
    weight = choose_mix(questions, present)[1]
    assert MIXES[0] < weight < MIXES[-1]
    finds, right = (np.concatenate(each) for each in zip(*questions, strict=True))
    weights, _ = fit_logistic((finds @ (1.0, weight))[:, None], right)
    assert weights[0] > 0
