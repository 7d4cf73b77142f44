"""Evaluations that ask for what is not there, with detectors whose answers are known."""

import json

import numpy as np
import pytest

from mrcnn.images.masks import boxes_of_masks
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.absent import AbsentQueryLoader, judge, read_answers
from siamese_mrcnn.evaluation.one_shot import evaluate
from siamese_mrcnn.evaluation.presence import presence_numbers
from siamese_mrcnn.figures.judged_queries import choose_queries, load_judged_queries
from siamese_mrcnn.figures.presence_plots import draw_presence
from siamese_mrcnn.figures.query_grids import query_grid
from siamese_mrcnn.synthetic.shapes import make_shapes
from stand_ins import TruthDetector


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = make_shapes(tmp_path_factory.mktemp("shapes"), 2, 16, image_size=96, seed=2)
    return CocoDataset.from_folder(folder, "test")


@pytest.fixture(scope="module")
def classes(dataset):
    return [int(c) for c in dataset.class_ids if len(dataset.images_with(c)) > 1]


class YesToEverything(TruthDetector):
    """Also finds, in a corner, what is not there."""

    def _answer(self, image_id, class_id):
        found = super()._answer(image_id, class_id)
        if len(found["rois"]):
            return found
        masks = np.zeros((96, 96, 1), bool)
        masks[:9, :9] = True
        return found | {
            "rois": np.array([[0, 0, 9, 9]]),
            "masks": masks,
            "scores": np.array([0.75]),
        }


def asked(folder):
    log = (folder / "references.json").read_text()
    return json.loads(log)["images"]


def test_who_knows_the_truth_is_never_wrong(dataset, classes, tmp_path):
    report = evaluate(
        TruthDetector(dataset), dataset, classes, absent=3, output=tmp_path, progress=False
    )
    presence = report["presence"]
    assert presence["auroc"]["mean"] == presence["found"]["mean"] == 1
    assert presence["false_alarms"]["mean"] == presence["count_error"]["mean"] == 0
    assert presence["wrong_ap50"]["mean"] == presence["wrong_ap50_all"]["mean"] == 0
    assert presence["absent"] == 3 * 16
    saved = json.loads((tmp_path / "presence.json").read_text())
    assert {name: saved[name] for name in presence} == presence
    assert "AUROC of the best score | 1.000" in (tmp_path / "presence.md").read_text()
    assert "auroc,1.0,0.0,1.0" in (tmp_path / "presence.csv").read_text()


def test_who_says_yes_to_everything_is_found_out(dataset, classes, tmp_path):
    report = evaluate(
        YesToEverything(dataset), dataset, classes, absent=2, output=tmp_path, progress=False
    )
    answers = read_answers(tmp_path)
    numbers = presence_numbers(answers, threshold=0.5)
    assert numbers["false_alarms"] == 1 and numbers["found"] == 1
    assert report["presence"]["count_error"]["mean"] == presence_numbers(answers)["count_error"]
    assert np.all(answers.instances[~answers.present] == 0)
    assert len(draw_presence(answers, numbers).axes) == 3
    queries = load_judged_queries(tmp_path, dataset)
    absent = choose_queries(queries, "absent", 100, distinct_images=False)
    assert len(absent) == 2 * 16 and all(each.is_absent for each in absent)
    assert all(len(each.results) == 1 and not each.judge().matched_score for each in absent)
    assert not any(each.is_absent for each in choose_queries(queries, "by_class", 100))
    assert query_grid(absent[:1], 1).axes[0].get_title() == f"{absent[0].name} (not there)"


class ReferenceIgnored(TruthDetector):
    """Finds all that an image shows, whatever it is asked for."""

    def _answer(self, image_id, class_id):
        masks, _ = self.dataset.load_mask(image_id)
        rois, count = boxes_of_masks(masks), masks.shape[-1]
        scores = np.full(count, 0.8, np.float32)
        return {"rois": rois, "class_ids": np.ones(count), "scores": scores, "masks": masks}


def test_who_ignores_the_reference_finds_as_much_by_wrong_ones(dataset, classes):
    detector = ReferenceIgnored(dataset)
    report = evaluate(detector, dataset, classes, absent=2, threshold=0.5, progress=False)
    right, wrong = report["bbox"]["AP50"]["mean"], report["presence"]["wrong_ap50"]["mean"]
    assert wrong == pytest.approx(right) and right > 0.1
    above = evaluate(detector, dataset, classes, absent=2, threshold=0.9, progress=False)
    assert above["presence"]["wrong_ap50"]["mean"] == 0
    assert above["presence"]["wrong_ap50_all"]["mean"] == pytest.approx(right)


def test_average_precision_knows_nothing_of_it(dataset, classes, tmp_path):
    plain = evaluate(YesToEverything(dataset), dataset, classes, progress=False)
    both = evaluate(YesToEverything(dataset), dataset, classes, absent=2, progress=False)
    assert {name: both[name] for name in plain} == plain


def test_absent_ones_are_not_shown_and_half_are_hard(dataset, classes, tmp_path):
    near = {c: [other for other in classes[::-1] if other != c] for c in classes}
    config = TruthDetector(dataset).config
    loader = AbsentQueryLoader(near, 4, dataset, classes, config, 1, 1, 0, same_image=False)
    for image_id in map(int, dataset.image_ids):
        shown = [c for c in dataset.classes_in(image_id) if c in classes]
        chosen = loader.classes_in(image_id)
        assert chosen[: len(shown)] == shown and len(chosen) == len(shown) + 4
        absent = chosen[len(shown) :]
        assert len(set(chosen)) == len(chosen)
        assert not set(absent) & set(dataset.classes_in(image_id))
        if shown:  # the nearest are those of the highest numbers
            others = [c for c in classes[::-1] if c not in dataset.classes_in(image_id)]
            assert absent[:2] == others[:2]


def test_the_same_seed_asks_the_same(dataset, classes, tmp_path):
    for name, seed in (("one", 5), ("same", 5), ("other", 6)):
        detector = TruthDetector(dataset)
        output = tmp_path / name
        evaluate(detector, dataset, classes, absent=2, seed=seed, output=output, progress=False)
    assert asked(tmp_path / "one") == asked(tmp_path / "same") != asked(tmp_path / "other")
    marked = [q for image in asked(tmp_path / "one") for q in image["queries"] if "absent" in q]
    assert len(marked) == 2 * 16


def test_an_interrupted_evaluation_goes_on(dataset, classes, tmp_path):
    whole = evaluate(YesToEverything(dataset), dataset, classes, absent=2, progress=False)
    detector = YesToEverything(dataset)
    detector.images_left = 5
    with pytest.raises(KeyboardInterrupt):
        evaluate(detector, dataset, classes, absent=2, output=tmp_path, progress=False)
    detector.images_left = None
    again = evaluate(detector, dataset, classes, absent=2, output=tmp_path, progress=False)
    assert again == whole


def test_each_true_box_is_found_once():
    results = [
        {"bbox": [0, 0, 10, 10], "score": 0.5},
        {"bbox": [0, 0, 10, 9], "score": 0.9},
        {"bbox": [40, 40, 10, 4], "score": 0.8},  # IoU .4
    ]
    scores, right = judge(results, [[0, 0, 10, 10], [40, 40, 10, 10]])
    assert scores == [0.9, 0.8, 0.5] and right == [True, False, False]
    assert judge([], [[0, 0, 1, 1]]) == ([], []) and judge(results, [])[1] == [False] * 3
