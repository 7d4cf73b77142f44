"""The plain Mask R-CNN is measured by COCO's metrics: a model that knows the truth tells how."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mrcnn.data.postprocessing import Detections
from mrcnn.images.masks import boxes_of_masks
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.plain_mask_rcnn import BaselineError, evaluate_plain
from stand_ins import digest


class TruthModel:
    """Detects everything that is annotated, under the class that `answer_class` gives it."""

    def __init__(self, dataset, folder, answer_class=lambda class_id: class_id):
        self.config = SimpleNamespace(NUM_CLASSES=dataset.num_classes, DETECTION_MIN_CONFIDENCE=0.7)
        self.config.items = lambda: [("NUM_CLASSES", dataset.num_classes)]
        self.checkpoint = folder / "weights.h5"
        self.checkpoint.write_bytes(b"weights")
        self.dataset, self.answer_class = dataset, answer_class
        self.image_of = {digest(dataset.load_image(i)): i for i in dataset.image_ids}
        self.asked, self.images_left, self.thresholds = [], np.inf, set()

    def detect(self, images):
        (image,) = images
        if not self.images_left:
            raise KeyboardInterrupt
        self.images_left -= 1
        image_id = self.image_of[digest(image)]
        self.asked.append(int(image_id))
        self.thresholds.add(self.config.DETECTION_MIN_CONFIDENCE)
        masks, class_ids = self.dataset.load_mask(image_id)
        masks, class_ids = masks[..., class_ids > 0], class_ids[class_ids > 0]
        answers = [self.answer_class(class_id) for class_id in class_ids.tolist()]
        return [
            Detections(
                rois=boxes_of_masks(masks),
                class_ids=np.array(answers, np.int32),
                scores=np.full(len(answers), 0.9, np.float32),
                masks=masks,
            )
        ]


@pytest.fixture
def dataset(shapes_folder):
    return CocoDataset.from_folder(shapes_folder, "test")


def test_who_finds_everything_has_an_ap_of_one(dataset, tmp_path):
    model = TruthModel(dataset, tmp_path)
    report = evaluate_plain(model, dataset, output=tmp_path, progress=False)
    assert report["bbox"]["AP"]["mean"] == report["segm"]["AP"]["mean"] == pytest.approx(1)
    assert (report["images"], report["runs"], report["shots"]) == (8, 1, 0)
    assert sorted(model.asked) == list(range(8))
    assert [each["name"] for each in report["classes"]] == dataset.class_names[1:]
    assert (tmp_path / "report.md").read_text().startswith("# Evaluation, profile coco")


def test_every_detection_counts_for_the_class_that_it_was_given(dataset, tmp_path):
    present = sorted({c for i in dataset.image_ids for c in dataset.classes_in(i)})
    wrong, taken_for = present[:2]
    model = TruthModel(dataset, tmp_path, lambda c: taken_for if c == wrong else c)
    report = evaluate_plain(model, dataset, output=tmp_path, progress=False)
    ap = {number + 1: each["bbox"]["mean"] for number, each in enumerate(report["classes"])}
    assert ap[wrong] == 0
    assert 0 < ap[taken_for] < 1  # right ones among false ones
    assert all(ap[c] == pytest.approx(1) for c in present[2:])


def test_all_detections_count_whatever_their_score(dataset, tmp_path):
    model = TruthModel(dataset, tmp_path)
    evaluate_plain(model, dataset, limit=1, output=tmp_path, progress=False)
    assert model.thresholds == {0.0}
    assert model.config.DETECTION_MIN_CONFIDENCE == 0.7  # as it was


def test_images_that_cannot_be_searched_are_counted(dataset, tmp_path):
    model = TruthModel(dataset, tmp_path)
    dataset.image_info[3]["path"] = str(tmp_path / "lost.jpg")
    half = tmp_path / "half.png"
    Image.fromarray(dataset.load_image(5)[::2]).save(half)
    dataset.image_info[5]["path"] = str(half)
    report = evaluate_plain(model, dataset, output=tmp_path, progress=False)
    assert report["failures"] == {
        "the image could not be read": 1,
        "the image has another size than its annotations": 1,
    }
    assert sorted(model.asked) == [0, 1, 2, 4, 6, 7] and report["bbox"]["AP"]["mean"] < 1
    for info in dataset.image_info:
        info["path"] = str(tmp_path / "lost.jpg")
    with pytest.raises(BaselineError, match=r"Not a single image could be read.*lost\.jpg"):
        evaluate_plain(model, dataset, output=tmp_path / "none", progress=False)


def test_it_goes_on_where_it_was_interrupted(dataset, tmp_path):
    whole = evaluate_plain(
        TruthModel(dataset, tmp_path), dataset, output=tmp_path / "whole", progress=False
    )
    model = TruthModel(dataset, tmp_path)
    model.images_left = 3
    with pytest.raises(KeyboardInterrupt):
        evaluate_plain(model, dataset, output=tmp_path / "parts", progress=False)
    model.images_left = np.inf
    assert evaluate_plain(model, dataset, output=tmp_path / "parts", progress=False) == whole
    assert sorted(model.asked) == list(range(8))  # none of them twice


def test_other_weights_begin_anew(dataset, tmp_path):
    model = TruthModel(dataset, tmp_path)
    for content in (b"weights", b"others"):
        model.checkpoint.write_bytes(content)
        evaluate_plain(model, dataset, limit=2, output=tmp_path, progress=False)
    assert sorted(model.asked) == [0, 0, 1, 1]


def test_only_some_images(dataset, tmp_path):
    model = TruthModel(dataset, tmp_path)
    report = evaluate_plain(model, dataset, limit=3, output=tmp_path, progress=False)
    assert report["images"] == report["limit"] == 3 and sorted(model.asked) == [0, 1, 2]


def test_a_model_of_other_classes_is_refused(dataset, tmp_path):
    model = TruthModel(dataset, tmp_path)
    model.config.NUM_CLASSES = 2
    with pytest.raises(BaselineError, match="NUM_CLASSES = 13, but the model has 2"):
        evaluate_plain(model, dataset, output=tmp_path)


def test_weights_must_come_from_a_file(dataset, tmp_path):
    model = TruthModel(dataset, tmp_path)
    model.checkpoint = None
    with pytest.raises(BaselineError, match="not loaded from a file"):
        evaluate_plain(model, dataset, output=tmp_path)


def test_a_limit_of_no_images_is_refused(dataset, tmp_path):
    with pytest.raises(BaselineError, match="limit must be at least 1 image"):
        evaluate_plain(TruthModel(dataset, tmp_path), dataset, limit=0, output=tmp_path)
