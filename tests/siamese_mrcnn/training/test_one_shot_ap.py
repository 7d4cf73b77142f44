"""Watching a training: what is measured, when, where it goes, and what is refused early."""

import json
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from folders import events_of, history_lines
from mrcnn.training.history import CsvHistory
from on_backend import not_on_torch
from programs import assert_succeeds, running
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.one_shot import EvaluationError
from siamese_mrcnn.training import one_shot_ap
from siamese_mrcnn.training.one_shot_ap import OneShotAP
from stand_ins import TinyConfig, TruthDetector, digest

NAMES = {"one_shot_AP", "one_shot_AP50", "one_shot_mask_AP", "one_shot_mask_AP50"}

# --- several devices ----------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def replica_program(tmp_path_factory, shapes_folder):
    """The program that watches a training on two devices; it runs beside the other tests."""
    folder = tmp_path_factory.mktemp("replicas")
    with running("fixtures/replica_watching.py", folder, shapes_folder) as process:
        yield process, folder


# --- a model that answers from the truth --------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(shapes_folder):
    return CocoDataset.from_folder(shapes_folder, "train")


@pytest.fixture(scope="module")
def detector(dataset):
    return TruthDetector(dataset)


@pytest.fixture
def watch(detector, dataset, tmp_path, monkeypatch):
    """Makes a callback for the detector, as far as `fit` has prepared it."""
    monkeypatch.setattr(detector, "keras_model", SimpleNamespace(weights=[]), raising=False)
    monkeypatch.setattr(detector, "log_dir", tmp_path, raising=False)
    monkeypatch.setattr(detector, "answer_class", lambda class_id: class_id)

    def make(*classes, **arguments):
        classes = classes or shown_classes(dataset, 2)
        callback = OneShotAP(detector, dataset, classes, progress=False, **arguments)
        callback.set_model(detector.keras_model)
        callback.on_train_begin()
        return callback

    return make


def shown_classes(dataset, count, limit=None):
    """The first class ids that some images show and of which there are references elsewhere."""
    shown = {c for image_id in dataset.image_ids[:limit] for c in dataset.classes_in(image_id)}
    return [c for c in sorted(shown) if len(dataset.images_with(c)) > 1][:count]


# --- what is measured, and where it goes --------------------------------------------------------


def test_one_class_of_two_found_is_a_half_everywhere(watch, detector, dataset, tmp_path):
    callback = watch()
    found, _ = shown_classes(dataset, 2)
    detector.answer_class = lambda class_id: class_id if class_id == found else 0
    logs = {"loss": 3.0}
    CsvHistory(tmp_path).on_epoch_end(6, logs)
    callback.on_epoch_end(6, logs)
    assert logs.pop("loss") == 3.0
    assert logs == pytest.approx(dict.fromkeys(NAMES, 0.5))

    (line,) = history_lines(tmp_path)
    assert (line["epoch"], line["loss"]) == ("7", "3.0")
    assert {name: float(line[name]) for name in NAMES} == logs

    events = events_of(tmp_path / "one_shot")  # on the disk before training ends
    assert set(events.Tags()["scalars"]) == NAMES
    for name in NAMES:
        ((step, value),) = [(each.step, each.value) for each in events.Scalars(name)]
        assert (step, value) == (7, pytest.approx(logs[name]))
    (picture,) = events.Images("one_shot_found")
    encoded = np.frombuffer(picture.encoded_image_string, np.uint8)
    shape = cv2.imdecode(encoded, cv2.IMREAD_COLOR).shape[:2]
    assert (picture.step, picture.height, picture.width) == (7, *shape)
    callback.on_train_end()


def test_each_name_is_a_metric_of_its_own(watch, tmp_path, monkeypatch):
    callback = watch(limit=4, pictures=0)
    report = {
        "bbox": {"AP": {"mean": 0.1}, "AP50": {"mean": 0.11}, "AP75": {"mean": 0.12}},
        "segm": {"AP": {"mean": 0.2}, "AP50": {"mean": 0.21}, "AP75": {"mean": 0.22}},
    }
    monkeypatch.setattr(one_shot_ap, "evaluate", lambda model, **_: report)
    assert callback.measure(tmp_path) == {
        "one_shot_AP": 0.1,
        "one_shot_AP50": 0.11,
        "one_shot_mask_AP": 0.2,
        "one_shot_mask_AP50": 0.21,
    }


def test_every_third_epoch_counted_from_the_beginning(watch, tmp_path):
    callback, measured = watch(every=3, limit=4, pictures=0), []
    for epoch in range(1, 7):  # as after a first stage of one epoch
        logs = {"loss": 1.0}
        CsvHistory(tmp_path).on_epoch_end(epoch, logs)
        callback.on_epoch_end(epoch, logs)
        measured.append("one_shot_AP50" in logs)
        if epoch == 3:  # the next stage
            time.sleep(1.1)  # TensorBoard orders files by the second that they were made in
            callback.on_train_end()
            callback.on_train_begin()
    callback.on_train_end()
    assert measured == [False, True, False, False, True, False]
    assert [line["one_shot_AP50"] for line in history_lines(tmp_path)] == [
        "",
        "1.0",
        "",
        "",
        "1.0",
        "",
    ]
    events = events_of(tmp_path / "one_shot")
    assert [event.step for event in events.Scalars("one_shot_AP50")] == [3, 6]
    assert events.Tags()["images"] == []


def test_always_the_same_references(watch, detector, monkeypatch):
    asked, encode = [], detector.encode_references
    monkeypatch.setattr(
        detector,
        "encode_references",
        lambda references: asked.append(digest(references)) or encode(references),
    )
    callback = watch(pictures=0)
    for epoch in (0, 1):
        callback.on_epoch_end(epoch, {})
    half = len(asked) // 2
    assert half > 5 and asked[:half] == asked[half:]
    watch(seed=1, pictures=0).on_epoch_end(0, {})
    assert asked[2 * half :] != asked[:half]


def test_the_picture_shows_what_detect_would_find(watch, detector, dataset, monkeypatch):
    drawn, draw = [], one_shot_ap.draw_panels
    monkeypatch.setattr(one_shot_ap, "draw_panels", lambda rows: drawn.extend(rows) or draw(drawn))
    pytest.importorskip("tensorboard")
    watch(1, 5, pictures=3).on_epoch_end(0, {})  # two of the images show both
    assert len(drawn) == 3
    assert len({digest(image) for _, image, *_ in drawn}) == 3
    assert len({name for name, *_ in drawn}) == 2  # the classes in turn
    for name, image, references, found, truth in drawn:
        class_id = dataset.class_names.index(name)
        image_id = detector.image_of[digest(image)]
        assert [reference.class_id for reference in references] == [class_id]
        assert references[0].image_id != image_id
        masks = dataset.load_masks_of(image_id, class_id)
        np.testing.assert_array_equal(truth["masks"], masks)
        sure = np.linspace(1, 0.5, masks.shape[-1]) >= TinyConfig.DETECTION_MIN_CONFIDENCE
        np.testing.assert_array_equal(found.masks, masks[..., sure])
        np.testing.assert_array_equal(found.rois, truth["rois"][sure])


def test_without_tensorboard_there_is_history_csv(watch, tmp_path, monkeypatch):
    monkeypatch.setattr(one_shot_ap, "has_tensorboard", lambda: False)
    callback = watch(limit=4)
    callback.on_epoch_end(0, {})
    callback.on_train_end()
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    assert history_lines(tmp_path)[0]["one_shot_AP"] == "1.0"


def test_a_model_of_boxes_only_has_no_values_of_masks(watch, detector, monkeypatch):
    answer = detector._answer
    monkeypatch.setattr(detector, "_answer", lambda *which: answer(*which) | {"masks": None})
    logs = {}
    watch(limit=4).on_epoch_end(0, logs)
    assert logs == {"one_shot_AP": 1.0, "one_shot_AP50": 1.0}


# --- what is refused before training ------------------------------------------------------------


def refused(dataset, error, words, **arguments):
    """Without a network: only its settings are known."""
    model = SimpleNamespace(config=TinyConfig())
    with pytest.raises(error, match=words):
        OneShotAP(model, dataset, progress=False, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"every": 0}, ValueError, "every must be a whole number of at least 1, but is 0"),
        ({"pictures": -1}, ValueError, "pictures must be .* at least 0, but is -1"),
        ({"classes": [99]}, EvaluationError, "some of the data set's ids 1 to 12"),
        ({"classes": []}, EvaluationError, "some of the data set's ids 1 to 12"),
        ({"limit": 0}, EvaluationError, "limit must be at least 1 image"),
        ({"shots": 0}, EvaluationError, "shots must be .* at least 1"),
        ({"seed": -1}, EvaluationError, "seed must be .* at least 0"),
    ],
)
def test_arguments_that_make_no_sense(dataset, arguments, error, words):
    refused(dataset, error, words, **arguments)


def test_images_that_show_none_of_the_classes(dataset):
    absent = set(range(1, 13)) - set(dataset.classes_in(0))
    refused(dataset, EvaluationError, "nothing to evaluate", classes=absent, limit=1)


def test_images_that_cannot_be_read(dataset, monkeypatch):
    def gone(image_id):
        raise OSError(f"image {image_id} is gone")

    monkeypatch.setattr(dataset, "load_image", gone)
    refused(dataset, EvaluationError, "Not a single query .* image 0 is gone", limit=2)


def test_queries_that_cannot_be_asked_are_told(watch, dataset, monkeypatch, caplog):
    first, load = dataset.image_ids[0], dataset.load_image

    def sometimes(image_id):
        if image_id == first:
            raise OSError("gone")
        return load(image_id)

    monkeypatch.setattr(dataset, "load_image", sometimes)
    count = len(dataset.classes_in(first))
    watch(*range(1, 13), limit=4)
    assert f"measured without {count} of " in caplog.text
    assert "the image could not be read" in caplog.text


def test_the_callback_of_another_model_is_refused(watch):
    callback = watch(limit=4)
    callback.set_model(SimpleNamespace(weights=[]))
    with pytest.raises(ValueError, match="made for another model"):
        callback.on_train_begin()


# --- several devices, at the end: the program has run meanwhile ---------------------------------


@not_on_torch
@pytest.mark.backends
@pytest.mark.long_on_jax
def test_the_weights_of_each_epoch_are_measured_on_two_devices(replica_program):
    process, folder = replica_program
    assert_succeeds(process)
    content = json.loads((folder / "found.json").read_text())
    found = {
        name: np.array([[*each["bbox"], each["score"]] for each in results])
        for name, results in content["found"].items()
    }
    assert set(found) == {"watched 1", "watched 2", "loaded 2"}
    np.testing.assert_allclose(found["watched 2"], found["loaded 2"], rtol=1e-4)
    assert found["watched 1"].shape != found["watched 2"].shape or not np.allclose(
        found["watched 1"], found["watched 2"], rtol=1e-2
    )
    assert set(content["logs"]) == NAMES
    assert all(len(values) == 2 for values in content["logs"].values())
