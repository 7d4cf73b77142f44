"""Queries read back from a folder, judged by hand and against pycocotools."""

import contextlib
import io
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from mrcnn.images.masks import boxes_of_masks
from rough_detector import RoughDetector
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.coco_metrics import IOU_TYPES
from siamese_mrcnn.evaluation.one_shot import evaluate
from siamese_mrcnn.figures.judged_queries import (
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    Judged,
    JudgedQueriesError,
    choose_queries,
    load_judged_queries,
    match,
)
from siamese_mrcnn.synthetic.shapes import make_shapes

RUNS = 2


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Drawn shapes; where an image shows several of a kind, the first counts as a crowd."""
    folder = make_shapes(tmp_path_factory.mktemp("shapes"), 2, 24, image_size=96, seed=2)
    path = folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    kinds = Counter((each["image_id"], each["category_id"]) for each in content["annotations"])
    for each in content["annotations"]:
        kind = each["image_id"], each["category_id"]
        each["iscrowd"] = int(kinds.pop(kind, 0) > 1)
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def dataset(shapes):
    return CocoDataset.from_folder(shapes, "test")


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    detector = RoughDetector(dataset)
    arguments = {"profile": "official", "runs": RUNS, "shots": 2, "progress": False}
    evaluate(detector, dataset, output=folder, **arguments)
    return folder


@pytest.fixture(scope="module")
def answers(folder, dataset):
    return load_judged_queries(folder, dataset, run=1)


def test_the_best_score_takes_the_instance_it_overlaps_most():
    # IoU of boxes [x, y, width, height] by hand: 8/12, 1 and 8/12, 5/10 and 0.
    true = [[0, 0, 10, 1], [20, 0, 10, 1]]
    results = [[2, 0, 10, 1], [0, 0, 10, 1], [20, 0, 5, 1], [24, 0, 10, 1]]
    outcomes, taken = match(results, true, [0, 0])
    assert outcomes == [TRUE_POSITIVE, FALSE_POSITIVE, TRUE_POSITIVE, FALSE_POSITIVE]
    assert taken == {0, 1}
    both = [[0, 0, 10, 1], [1, 0, 10, 1]]  # the second fits better: 10/10, not 9/11
    assert match([[1, 0, 10, 1]], both, [0, 0]) == ([TRUE_POSITIVE], {1})
    assert match([], both, [0, 0]) == ([], set()) and match(both, [], []) == (
        [FALSE_POSITIVE] * 2,
        set(),
    )


def test_what_lies_on_a_crowd_is_ignored_unless_it_finds_an_instance():
    true = [[0, 0, 100, 1], [0, 0, 10, 1]]
    results = [[0, 0, 10, 1], [50, 0, 10, 1], [95, 0, 10, 1], [96, 0, 10, 1]]
    outcomes, taken = match(results, true, [1, 0])
    assert outcomes == [TRUE_POSITIVE, IGNORED, IGNORED, FALSE_POSITIVE] and taken == {1}


@pytest.mark.parametrize("kind", IOU_TYPES)
def test_equals_pycocotools(kind, answers, folder, dataset):
    with contextlib.redirect_stdout(io.StringIO()):
        found = dataset.coco.loadRes(str(folder / "results_run1.json"))
        evaluation = COCOeval(dataset.coco, found, kind)
        evaluation.evaluate()
    expected = {
        (each["image_id"], each["category_id"]): each
        for each in evaluation.evalImgs
        if each is not None and each["aRng"] == evaluation.params.areaRng[0]
    }
    counts = Counter()
    for answer in answers:
        judged = answer.judge(kind)
        key = (
            dataset.image_info[answer.image_id]["id"],
            dataset.class_info[answer.class_id]["id"],
        )
        matched, ignored = expected[key]["dtMatches"][0] > 0, expected[key]["dtIgnore"][0]
        assert [each["score"] for each in judged.results] == expected[key]["dtScores"]
        assert list(judged.outcomes) == [
            IGNORED if skip else TRUE_POSITIVE if hit else FALSE_POSITIVE
            for hit, skip in zip(matched, ignored, strict=True)
        ]
        missed = {
            annotation_id
            for annotation_id, hit, ignored in zip(
                *(expected[key]["gtIds"], expected[key]["gtMatches"][0], expected[key]["gtIgnore"]),
                strict=True,
            )
            if not hit and not ignored
        }
        assert {each["id"] for each in judged.missed} == missed
        counts.update([*judged.outcomes, *["missed"] * len(judged.missed)])
    assert len(counts) == 4 and min(counts.values()) >= 1


def test_every_query_is_read(answers, dataset):
    asked = [(image_id, c) for image_id in dataset.image_ids for c in dataset.classes_in(image_id)]
    assert sorted((each.image_id, each.class_id) for each in answers) == sorted(asked)
    assert answers[0].name == dataset.class_names[answers[0].class_id]
    np.testing.assert_array_equal(answers[0].image(), dataset.load_image(answers[0].image_id))


def test_references_are_cut_at_full_resolution(answers, dataset):
    answer = answers[0]
    assert len(answer.references) == 2
    for (image_id, annotation_id), picture in zip(
        answer.references, answer.reference_pictures(), strict=True
    ):
        assert dataset.class_of_instance(image_id, annotation_id) == answer.class_id
        mask = dataset.load_instance(image_id, annotation_id)
        ((y1, x1, y2, x2),) = boxes_of_masks(mask[:, :, None])
        np.testing.assert_array_equal(picture, dataset.load_image(image_id)[y1:y2, x1:x2])


def test_low_scores_are_not_judged(answers):
    for answer in answers:
        judged = answer.judge(min_score=0.6)
        kept = [each for each in answer.results if each["score"] >= 0.6]
        assert list(judged.results) == kept == list(answer.results[: len(kept)])


def test_boxes_without_masks(answers):
    results = [{"bbox": [0, 0, 5, 5], "score": 0.5}]
    plain = type(answers[0])(**(vars(answers[0]) | {"results": tuple(results)}))
    assert len(plain.judge("bbox").outcomes) == 1
    with pytest.raises(JudgedQueriesError, match="can only be judged by boxes"):
        plain.judge("segm")
    with pytest.raises(JudgedQueriesError, match="not by 'masks'"):
        plain.judge("masks")


def test_failed_queries_are_left_out(folder, dataset, tmp_path):
    record = json.loads((folder / "references.json").read_text())
    record["images"][0]["queries"][0] = {"run": 0, "category_id": 1, "failure": "a", "detail": "b"}
    (tmp_path / "references.json").write_text(json.dumps(record))
    (tmp_path / "results_run0.json").write_text("[]")
    everything, fewer = load_judged_queries(folder, dataset), load_judged_queries(tmp_path, dataset)
    assert len(fewer) == len(everything) - 1
    assert not fewer[0].results


def test_wrong_folders_are_named(folder, dataset, tmp_path):
    with pytest.raises(JudgedQueriesError, match="has the runs 0 to 1, but not 2"):
        load_judged_queries(folder, dataset, run=2)
    other = make_shapes(tmp_path / "shapes", 2, 2, image_size=96)
    with pytest.raises(JudgedQueriesError, match="was evaluated on another data set"):
        load_judged_queries(folder, CocoDataset.from_folder(other, "test"))
    (tmp_path / "references.json").write_bytes((folder / "references.json").read_bytes())
    (tmp_path / "results_run0.json").write_text("[{}]")
    with pytest.raises(JudgedQueriesError, match="holds no COCO results"):
        load_judged_queries(tmp_path, dataset)
    with pytest.raises(OSError, match="references"):
        load_judged_queries(tmp_path / "nowhere", dataset)


def judged(matched, mistaken):
    results = ({"score": matched}, {"score": mistaken})
    return Judged(results, (TRUE_POSITIVE, FALSE_POSITIVE), ())


def stand_in(number, class_id, matched=0.5, mistaken=0.5):
    return SimpleNamespace(
        image_id=number // 2,  # two queries an image
        class_id=class_id,
        name=f"class {class_id}",
        number=number,
        judge=lambda kind: judged(matched, mistaken),
        is_absent=False,
    )


def numbers(chosen):
    return [each.number for each in chosen]


def test_choosing():
    scores = [(0.9, 0.1), (0.2, 0.1), (0.0, 0.3), (0.0, 0.8), (0.9, 0.5), (0.7, 0.0)]
    answers = [stand_in(n, 1 + (n > 3), *pair) for n, pair in enumerate(scores)]
    assert numbers(choose_queries(answers)) == [0, 2, 4]
    every = {"distinct_images": False}
    assert numbers(choose_queries(answers, count=4, **every)) == [0, 1, 2, 3]
    assert numbers(choose_queries(answers, "best", 3, **every)) == [0, 4, 5]
    assert numbers(choose_queries(answers, "worst", 3, **every)) == [3, 2, 1]
    assert numbers(choose_queries(answers, "by_class", 4, **every)) == [0, 4, 1, 5]
    assert numbers(choose_queries(answers, classes=["class 2"], **every)) == [4, 5]
    assert numbers(choose_queries(answers, classes=[1])) == [0, 2]
    drawn = [numbers(choose_queries(answers, "random", 6, seed=s, **every)) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and sorted(drawn[0]) == sorted(drawn[2])


def test_choosing_nothing_is_an_error():
    with pytest.raises(
        JudgedQueriesError, match="by one of first, by_class, best, worst, random, absent, not"
    ):
        choose_queries([stand_in(0, 1)], "luck")
    with pytest.raises(JudgedQueriesError, match="0 queries ask for the given classes"):
        choose_queries([stand_in(0, 1)], classes=["cat"])
    with pytest.raises(JudgedQueriesError, match="and 0 are to be shown"):
        choose_queries([stand_in(0, 1)], count=0)


def test_scores_of_judged_results():
    assert judged(0.4, 0.7).matched_score == 0.4 and judged(0.4, 0.7).mistaken_score == 0.7
    assert Judged((), (), ()).matched_score == Judged((), (), ()).mistaken_score == 0.0
