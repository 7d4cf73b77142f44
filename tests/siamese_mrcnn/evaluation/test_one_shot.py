"""The whole evaluation, with detectors whose right score is known beforehand."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn.data.dataset import Dataset
from mrcnn.images.masks import restore_mask
from mrcnn.images.resize import resize
from mrcnn.locks import InUseError, alone_in
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.one_shot import EvaluationError, evaluate
from siamese_mrcnn.synthetic.shapes import make_shapes
from stand_ins import TruthDetector

RUNS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("shapes"), 2, 16, image_size=96, seed=2)


@pytest.fixture(scope="module")
def dataset(folder):
    return CocoDataset.from_folder(folder, "test")


@pytest.fixture(scope="module")
def classes(dataset):
    """Those shown by several images, so that a reference from another image exists."""
    return [c for c in dataset.class_ids if len(dataset.images_with(c)) > 1]


@pytest.fixture
def detector(dataset):
    return TruthDetector(dataset)


def run(detector, classes, **keywords):
    keywords = {"runs": RUNS, "progress": False} | keywords
    return evaluate(detector, detector.dataset, classes, **keywords)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_split_is_recorded_and_changes_nothing(detector, classes, tmp_path):
    plain = run(detector, classes, runs=1, output=tmp_path)
    assert "split" not in plain
    calls = len(detector.calls)
    for split, recorded, words in (
        (2, "2", "Split 2."),
        (("star", "arrow"), ["star", "arrow"], "Novel: star, arrow."),
    ):
        report = run(detector, classes, runs=1, output=tmp_path, split=split)
        assert report == plain | {"split": recorded}
        assert json.loads((tmp_path / "report.json").read_text())["split"] == recorded
        assert f"seed 0. {words}\n" in (tmp_path / "report.md").read_text()
    assert len(detector.calls) == calls  # what was found is used again


def test_truth_scores_one(detector, classes):
    report = run(detector, classes)
    for kind in ("bbox", "segm"):
        assert report[kind]["AP"] == {"mean": 1.0, "interval": 0.0, "runs": [1.0] * RUNS}
        assert all(entry[kind]["mean"] == 1.0 for entry in report["classes"])
    assert len(report["classes"]) == len(classes) > 5
    assert report["failures"] == {}


class TruthInSmallMasks(TruthDetector):
    """Knows the truth, but says it as the network does: in 28 x 28 pixels an instance."""

    changed_pixels = 0

    def _answer(self, image_id, class_id):
        found = super()._answer(image_id, class_id)
        truth = found["masks"].copy()
        for index, (y1, x1, y2, x2) in enumerate(found["rois"]):
            inside = found["masks"][y1:y2, x1:x2, index].astype(np.float32)
            small = resize(inside, (28, 28))
            found["masks"][..., index] = restore_mask(
                small, (y1, x1, y2, x2), found["masks"].shape[:2]
            )
        self.changed_pixels += np.count_nonzero(found["masks"] != truth)
        return found


@pytest.mark.parametrize("at_once", [1, 2])
def test_masks_of_few_queries_are_held_at_a_time(dataset, classes, at_once):
    asked = []

    class Counting(TruthDetector):
        def detect_encoded(self, features, vectors):
            asked.append(len(vectors[0]))
            return super().detect_encoded(features, vectors)

    detector = Counting(dataset)
    detector.config.IMAGES_PER_GPU = at_once
    assert run(detector, classes)["bbox"]["AP"]["mean"] == 1.0
    assert max(asked) == at_once


def test_truth_in_small_masks_scores_almost_one(dataset, classes):
    detector = TruthInSmallMasks(dataset)
    report = run(detector, classes)
    assert report["bbox"]["AP"]["mean"] == 1.0
    assert report["segm"]["AP"]["mean"] > 0.95
    assert detector.changed_pixels > 0


def test_answers_for_another_class_score_zero(dataset, classes):
    following = dict(zip(classes, classes[1:] + classes[:1], strict=True))
    report = run(TruthDetector(dataset, following.__getitem__), classes)
    assert report["bbox"]["AP"]["mean"] == report["segm"]["AP50"]["mean"] == 0.0


def test_nothing_found_scores_zero(dataset, classes):
    class Blind(TruthDetector):
        def detect_encoded(self, features, vectors):
            height, width = self.dataset.load_image(features[0]).shape[:2]
            nothing = {
                "rois": np.zeros((0, 4), np.int32),
                "scores": np.zeros(0),
                "masks": np.zeros((height, width, 0), bool),
            }
            return [nothing for _ in vectors[0]]

    report = run(Blind(dataset), classes)
    assert report["bbox"]["AP"]["mean"] == report["segm"]["AR100"]["mean"] == 0.0


def test_equals_pycocotools_on_the_written_file(dataset, classes, folder, tmp_path):
    # Answers right for every second class: a score between 0 and 1.
    detector = TruthDetector(dataset, lambda class_id: class_id if class_id % 2 else classes[0])
    report = run(detector, classes, output=tmp_path)
    categories = [dataset.class_info[class_id]["id"] for class_id in classes]
    for kind in ("bbox", "segm"):
        for number in range(RUNS):
            with contextlib.redirect_stdout(io.StringIO()):
                truth = COCO(folder / "annotations" / "instances_val2017.json")
                found = truth.loadRes(str(tmp_path / f"results_run{number}.json"))
                expected = COCOeval(truth, found, kind)
                expected.params.catIds = categories
                expected.evaluate()
                expected.accumulate()
                expected.summarize()
            ours = [summary["runs"][number] for summary in report[kind].values()]
            assert ours == expected.stats.tolist()
    assert 0 < report["bbox"]["AP"]["mean"] < 1


def test_interrupted_equals_uninterrupted(dataset, classes, tmp_path):
    whole = run(TruthDetector(dataset), classes, output=tmp_path / "whole")
    detector = TruthDetector(dataset)
    detector.images_left = 3
    with pytest.raises(KeyboardInterrupt):
        run(detector, classes, output=tmp_path / "parts")
    (log,) = (tmp_path / "parts").iterdir()
    assert log.name.startswith("progress-") and len(log.read_text().splitlines()) == 3
    log.write_text(log.read_text()[:-7])  # a line that was cut off in writing
    detector = TruthDetector(dataset)
    assert run(detector, classes, output=tmp_path / "parts") == whole
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert len(detector.calls) == len(log.read_text().splitlines()) - 2


def test_two_evaluations_at_once_are_refused(detector, classes, tmp_path):
    alone = run(detector, classes, output=tmp_path)
    with alone_in(tmp_path), pytest.raises(InUseError, match="Another program is at work in"):
        run(detector, classes, output=tmp_path)
    assert run(detector, classes, output=tmp_path) == alone


def test_other_arguments_do_not_resume(dataset, classes, tmp_path):
    run(TruthDetector(dataset), classes, output=tmp_path)
    again, other, changed = (TruthDetector(dataset) for _ in range(3))
    changed.config.DETECTION_NMS_THRESHOLD = 0.4
    run(again, classes, output=tmp_path)
    run(other, classes, output=tmp_path, seed=1)
    run(changed, classes, output=tmp_path)
    assert not again.calls
    assert other.calls and changed.calls


def test_replay_is_identical(detector, classes, tmp_path):
    first = run(detector, classes, output=tmp_path / "first", seed=5, shots=2)
    record = tmp_path / "first" / "references.json"
    replay = run(detector, classes, output=tmp_path / "second", references=record, runs=1, seed=9)
    results = "results_run1.json"
    assert (replay["runs"], replay["shots"]) == (RUNS, 2)
    assert replay["segm"] == first["segm"] and replay["classes"] == first["classes"]
    assert files(tmp_path / "first")[results] == files(tmp_path / "second")[results]
    images = [json.loads(files(tmp_path / name)["references.json"]) for name in ("first", "second")]
    assert images[0]["images"] == images[1]["images"]


def test_draws_depend_on_seed_run_image_and_class_alone(detector, classes, tmp_path):
    def draws(name, **keywords):
        run(detector, output=tmp_path / name, **keywords)
        record = json.loads((tmp_path / name / "references.json").read_text())
        return {
            (image["image_id"], query["run"], query["category_id"]): query.get("references")
            for image in record["images"]
            for query in image["queries"]
        }

    whole = draws("whole", classes=classes)
    fewer = draws("fewer", classes=classes[::2], limit=5, runs=1, workers=1)
    assert fewer and all(whole[key] == references for key, references in fewer.items())
    assert draws("seed", classes=classes, seed=1) != whole
    assert any(whole[image, 1, c] != whole[image, 0, c] for image, run_, c in whole if run_)


def test_profiles_set_and_restore_the_model(detector, classes, tmp_path):
    before = detector.config.items()
    run(detector, classes, profile="clean", limit=2, runs=1)
    run(detector, classes, profile="official", limit=2, runs=1)
    assert set(detector.calls[:2]) == {(True, 0.0)} and set(detector.calls[2:]) == {(False, 0.7)}
    assert repr(detector.config.items()) == repr(before)


@pytest.mark.parametrize(("profile", "itself"), [("clean", False), ("official", True)])
def test_only_official_uses_the_query_itself(detector, classes, profile, itself, tmp_path):
    run(detector, classes, profile=profile, runs=4, output=tmp_path)
    record = json.loads((tmp_path / "references.json").read_text())
    same = [
        reference["image_id"] == image["image_id"]
        for image in record["images"]
        for query in image["queries"]
        for reference in query["references"]
    ]
    assert any(same) == itself


def test_failed_queries_are_counted(folder, tmp_path):
    dataset = CocoDataset.from_folder(folder, "test")
    detector = TruthDetector(dataset)
    lost = dataset.image_ids[0]
    lonely = [c for c in dataset.class_ids if len(dataset.images_with(c)) == 1]
    dataset.image_info[lost]["path"] = str(tmp_path / "lost.jpg")
    report = run(detector, None, runs=1, output=tmp_path)
    assert report["failures"]["the image could not be read"] == len(dataset.classes_in(lost))
    assert report["failures"].get("no reference could be drawn", 0) >= len(
        set(lonely) - set(dataset.classes_in(lost))
    )
    assert report["bbox"]["AP"]["mean"] < 1
    assert "x the image could not be read" in (tmp_path / "report.md").read_text()


def test_images_of_another_size_are_counted_failures(folder, tmp_path):
    """Not another AP: they are not asked, and what they show is missed."""
    dataset = CocoDataset.from_folder(folder, "test")
    other = dataset.image_ids[0]
    path = tmp_path / "half.png"
    Image.fromarray(dataset.load_image(other)[::2, ::2]).save(path)
    detector = TruthDetector(dataset)
    dataset.image_info[other]["path"] = str(path)
    report = run(detector, None, runs=1)
    reason = "the image has another size than its annotations"
    assert report["failures"][reason] == len(dataset.classes_in(other))
    assert report["bbox"]["AP"]["mean"] < 1


@pytest.mark.parametrize("first", [0, 1, 2**40])
def test_annotation_ids_do_not_matter(folder, classes, tmp_path, first):
    """pycocotools takes a match with annotation 0 for none."""
    path = folder / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    for number, each in enumerate(content["annotations"]):
        each["id"] = first + number
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(content))
    dataset = CocoDataset.from_json(changed, folder / "val2017")
    report = run(TruthDetector(dataset), classes, runs=1)
    assert report["bbox"]["AP"]["mean"] == report["segm"]["AP"]["mean"] == pytest.approx(1)


def test_random_boxes_are_chance(detector, classes):
    report = run(detector, classes, random_boxes=True)
    assert report["bbox"]["AP50"]["mean"] < 0.2
    assert report["random_boxes"] is True


def test_data_set_without_coco_annotations(dataset, classes):
    plain = Dataset()
    for info in dataset.class_info[1:]:
        plain.add_class("mine", info["id"], info["name"])
    for info in dataset.image_info:
        plain.add_image("mine", info["id"], info["path"])
    plain.prepare()
    plain.load_mask = dataset.load_mask
    report = run(TruthDetector(plain), classes)
    assert report["bbox"]["AP"]["mean"] == report["segm"]["AP"]["mean"] == 1.0


def test_wrong_arguments_are_named(detector, classes, tmp_path):
    for keywords, sentence in (
        ({"profile": "best"}, "must be one of .'clean', 'official'., but is 'best'"),
        ({"runs": 0}, "runs must be a whole number of at least 1, but is 0"),
        ({"shots": 1.5}, "shots must be a whole number of at least 1, but is 1.5"),
        ({"runs": 10**9}, "runs may be 1000 at most, .* in memory at once, but is 1000000000"),
        ({"shots": 1001}, "shots may be 1000 at most"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"limit": 0}, "limit must be at least 1 image"),
        ({"classes": [99]}, "1 to 12, but are .99."),
        ({"classes": []}, "1 to 12, but are .."),
    ):
        with pytest.raises(EvaluationError, match=sentence):
            evaluate(detector, detector.dataset, **({"classes": classes} | keywords))
    wrong = tmp_path / "wrong.json"
    for text in ("[]", "{", '{"images": []}'):
        wrong.write_text(text)
        with pytest.raises(ValueError, match="is no record of references"):
            evaluate(detector, detector.dataset, classes, references=wrong)
