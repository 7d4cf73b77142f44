"""Several things searched for at once, worked by hand, and as the model finds them one by one."""

from types import SimpleNamespace

import numpy as np
import pytest

from found import CLOSE, assert_same_found
from mrcnn.data.postprocessing import Detections
from mrcnn.images.image import Geometry
from siamese_mrcnn.model import ReferencesError
from siamese_mrcnn.named_things import Unmasked, label, standing_rows, without_doubles
from siamese_mrcnn.search.reference import Reference
from tiny import picture, pictures_of_several_sizes, tiny_siamese_model


def found(*rows):
    """`Detections` of (y1, x1, y2, x2, score), each mask its box."""
    boxes = np.array([row[:4] for row in rows], np.int32).reshape(-1, 4)
    masks = np.zeros((100, 100, len(rows)), bool)
    for number, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, number] = True
    return Detections(
        rois=boxes,
        class_ids=np.ones(len(rows), np.int32),
        scores=np.array([row[4] for row in rows], np.float32),
        masks=masks,
    )


def rows_of(detections):
    """(name, class, score, whether its mask is still that of its box)."""
    covered = [
        mask.sum() == mask[y1:y2, x1:x2].sum() == (y2 - y1) * (x2 - x1)
        for mask, (y1, x1, y2, x2) in zip(
            np.moveaxis(detections.masks, -1, 0), detections.rois, strict=True
        )
    ]
    scores = np.around(detections.scores.astype(float), 2).tolist()
    classes = detections.class_ids.tolist()
    return list(zip(detections.labels, classes, scores, covered, strict=True))


def standing(found, negatives):
    return found.rows(standing_rows(found, negatives))


def test_labelled_finds_are_the_best_first_over_all_names():
    both = label(
        {"mug": found((0, 0, 10, 10, 0.9), (20, 0, 30, 9, 0.5)), "key": found((50, 0, 60, 10, 0.7))}
    )
    assert rows_of(both) == [("mug", 1, 0.9, True), ("key", 2, 0.7, True), ("mug", 1, 0.5, True)]
    assert label({"mug": found()}).labels == []


def test_of_two_names_at_one_place_the_better_stays():
    # 10 x 10 and 10 x 8 of them: an overlap of 0.8
    doubled = label(
        {
            "mug": found((0, 0, 10, 10, 0.6), (0, 0, 10, 9, 0.5), (50, 50, 60, 60, 0.4)),
            "key": found((0, 0, 10, 8, 0.8), (50, 50, 60, 51, 0.9)),
        }
    )
    assert rows_of(without_doubles(doubled, 0.5)) == [
        ("key", 2, 0.9, True),
        ("key", 2, 0.8, True),
        ("mug", 1, 0.4, True),  # 0.1 of it is a key
    ]
    # at the threshold they are still two; those of one name, suppressed before, are left alone
    assert len(without_doubles(doubled, 0.8)) == 4
    assert len(without_doubles(label({"mug": found((0, 0, 9, 9, 0.6), (0, 0, 9, 9, 0.6))}), 0)) == 2


def test_what_was_dropped_suppresses_nothing():
    chain = label(
        {
            "a": found((0, 0, 10, 10, 0.9)),
            "b": found((0, 4, 10, 14, 0.8)),  # 0.43 of a, and of c
            "c": found((0, 8, 10, 18, 0.7)),
        }
    )
    assert without_doubles(chain, 0.4).labels == ["a", "c"]


def test_a_negative_of_higher_score_refutes():
    named = label({"mug": found((0, 0, 10, 10, 0.6), (50, 0, 60, 10, 0.9))})
    at_both = found((0, 0, 10, 9, 0.7), (50, 0, 60, 10, 0.8))
    assert rows_of(standing(named, [at_both])) == [("mug", 1, 0.9, True)]
    assert len(standing(named, [found((0, 0, 10, 10, 0.6))])) == 2  # as sure, not surer
    assert len(standing(named, [found((0, 0, 10, 5, 0.9))])) == 2  # half is not above half
    assert len(standing(named, [found(), at_both])) == 1
    assert len(standing(named, [])) == 2


def test_masks_are_made_of_the_matched_pyramid_of_their_own_thing():
    made = []
    whole = Geometry((11, 11), (11, 11), (0, 0, 11, 11))
    model = SimpleNamespace(
        network=SimpleNamespace(edges=False),
        restore=lambda outputs, geometries: made.append(outputs) or ["restored"],
    )
    # the second has no area in the image, the fourth is padding
    sides = [(0, 0, 0.4, 0.4), (0.9, 0.5, 0.8, 1), (0.5, 0.5, 1, 1), (0, 0, 0, 0)]
    detections = np.float32([(*side, side[3] > 0, 0.5) for side in sides])
    pyramid = [np.arange(3)[:, None] * 10, np.arange(3)[:, None] * 100]
    unmasked = Unmasked(model, whole, detections, pyramid, 2)
    assert unmasked.boxes.rois.tolist() == [[0, 0, 5, 5], [5, 5, 11, 11]]
    assert unmasked.masked([1]) == "restored"
    (outputs,) = made
    assert [level.tolist() for level in outputs["pyramid"]] == [[[20]], [[200]]]
    expected = np.zeros((1, 4, 6), np.float32)
    expected[0, 0] = detections[2]
    np.testing.assert_array_equal(outputs["detections"], expected)


# --- with a network -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_siamese_model("inference", tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def images():
    return pictures_of_several_sizes()[:3]


@pytest.fixture(scope="module")
def crops():
    return [picture(20 + 9 * seed, 50 - 7 * seed, 10 + seed) // (1 + seed) for seed in range(4)]


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_one_named_thing_is_found_as_without_a_name(model, images, crops, capsys):
    expected = model.detect([crops[:2]] * 3, images)
    named = model.detect({"mug": crops[:2]}, images, verbose=1)
    assert capsys.readouterr().out == f"Found {[len(each) for each in expected]} instances.\n"
    for one, other in zip(named, expected, strict=True):
        assert_same_found(one, other)
        assert one.labels == ["mug"] * len(one)


def test_things_are_found_together_as_one_by_one(model, images, crops, monkeypatch):
    encoded = []
    encode = model._encode_chunk
    monkeypatch.setattr(
        model, "_encode_chunk", lambda chunk: encoded.extend(chunk) or encode(chunk)
    )
    shown = {
        "mug": [Reference(crops[0]), crops[1]],
        "key": Reference(crops[2], (0, 0, 20, 30)),
        "cup": model.encode_things({"any": crops[3]})["any"],
    }
    together = model.detect(shown, images)
    assert len(encoded) == 3
    alone = {"mug": crops[:2], "key": [crops[2][:20, :30]], "cup": [crops[3]]}
    for number, image in enumerate(images):
        each = {name: model.detect([shots], [image])[0] for name, shots in alone.items()}
        expected = without_doubles(label(each), model.config.DETECTION_NMS_THRESHOLD)
        assert 0 < len(expected) < sum(map(len, each.values()))
        assert_same_found(together[number], expected)
        assert together[number].labels == expected.labels
    monkeypatch.setattr("siamese_mrcnn.named_things.THINGS_AT_ONCE", 2)
    for one, other in zip(model.detect(shown, images), together, strict=True):
        assert_same_found(one, other)
        assert one.labels == other.labels


def test_what_must_not_be_found_is_not(model, images, crops):
    (mug, key), image = (model.detect({"x": each}, images[0])[0] for each in crops[:2]), images[0]
    (found_both,) = model.detect({"mug": crops[0]}, image, negatives={"no": [crops[1]]})
    expected = standing(mug, [key])
    assert 0 < len(expected) < len(mug)
    np.testing.assert_allclose(found_both.scores, expected.scores, **CLOSE)
    assert found_both.labels == ["mug"] * len(expected)
    (same,) = model.detect({"mug": crops[0]}, image, negatives={"itself": crops[0]})
    assert len(same) == len(mug)


def test_what_cannot_be_searched_for_is_told(model, images, crops):
    assert model.detect({"mug": crops}, []) == []
    with pytest.raises(ReferencesError, match="at least one thing"):
        model.detect({}, images)
    with pytest.raises(ReferencesError, match="'mug' needs at least one reference"):
        model.detect({"mug": []}, images)
    with pytest.raises(ReferencesError, match="goes with things that have names"):
        model.detect(crops[0], images, negatives={"no": crops[1]})
    foreign = [np.zeros((1, 8), np.float32)] * 5
    with pytest.raises(ReferencesError, match="'mug' are of another model: expected"):
        model.detect({"mug": foreign}, images)
