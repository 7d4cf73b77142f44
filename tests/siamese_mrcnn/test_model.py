"""Siamese Mask R-CNN as users call it: references, queries, weights, and one training."""

import cv2
import numpy as np
import pytest

import mrcnn.config
from found import CLOSE, assert_found_in, assert_same_found
from mrcnn.config import ConfigError
from mrcnn.images.image import ImageError
from mrcnn.weights.hdf5 import WeightsError
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.references import prepare_reference
from siamese_mrcnn.model import ReferencesError, SiameseMaskRCNN
from tiny import (
    TinySiameseConfig,
    arrays_of,
    assert_same_arrays,
    picture,
    pictures_of_several_sizes,
    tiny_model,
    tiny_siamese_model,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_siamese_model("inference", tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def images():
    return pictures_of_several_sizes()


@pytest.fixture(scope="module")
def crops():
    """Five references that look different and lead to different results."""
    return [picture(20 + 9 * seed, 50 - 7 * seed, 10 + seed) // (1 + seed) for seed in range(5)]


def differ(one, other):
    """Whether two results have other scores or boxes."""
    return len(one) != len(other) or not np.allclose(one.scores, other.scores, **CLOSE)


# --- what detect returns ----------------------------------------------------------------------


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_each_image_is_searched_for_its_own_reference(model, images, crops, capsys):
    results = model.detect(crops, images, verbose=1)
    counts = [len(found) for found in results]
    assert capsys.readouterr().out == f"Found {counts} instances.\n"
    assert len(results) == len(images)
    for image, found in zip(images, results, strict=True):
        assert_found_in(image, found, model.config)
        assert set(found.class_ids) == {1}
    # Shifted by one, the references are those of other images, also across batches.
    shifted = model.detect([*crops[1:], crops[0]], images)
    assert all(differ(*pair) for pair in zip(results, shifted, strict=True))


def test_one_by_one_is_the_same_as_together(model, images, crops):
    together = model.detect(crops, images)
    for crop, image, expected in zip(crops, images, together, strict=True):
        assert_same_found(model.detect([crop], [image])[0], expected)


def test_a_single_reference_serves_all_images(model, images, crops):
    results = model.detect(crops[0], images)
    for found, expected in zip(results, model.detect([crops[0]] * 5, images), strict=True):
        assert_same_found(found, expected)


def test_encoding_and_detecting_apart_is_the_same(model, images, crops):
    together = model.detect(crops, images)
    queries = model.encode_queries(images)
    assert [query.geometry.original_shape for query in queries] == [i.shape[:2] for i in images]
    prepared = np.stack([prepare_reference(crop, model.config)[None] for crop in crops])
    vectors = model.encode_references(prepared)
    assert [vector.shape for vector in vectors] == [(5, 16)] * 5
    for found, expected in zip(model.detect_encoded(queries, vectors), together, strict=True):
        assert_same_found(found, expected)
    # The features of one query serve many references.
    for found, crop in zip(model.detect_encoded(queries[:1], vectors), crops, strict=True):
        assert_same_found(found, model.detect(crop, images[:1])[0])
    with pytest.raises(ReferencesError, match="2 queries do not go with 5 references"):
        model.detect_encoded(queries[:2], vectors)


def test_shapes_may_alternate(tmp_path, crops):
    model = tiny_siamese_model(
        "inference", tmp_path, IMAGE_RESIZE_MODE="pad64", IMAGE_MIN_DIM=64, IMAGES_PER_GPU=3
    )
    images = [picture(*shape, seed) for seed, shape in enumerate([(64, 90), (128, 64)] * 2)]
    results = model.detect(crops[:4], images)
    assert [each.masks.shape[:2] for each in results] == [(64, 90), (128, 64)] * 2
    for image, crop, found in zip(images, crops, results, strict=False):
        (alone,) = model.detect(crop, [image])
        # Only the best: of the others, rounding may decide which of two neighbours stays.
        np.testing.assert_allclose(alone.scores[0], found.scores[0], **CLOSE)
        np.testing.assert_allclose(alone.rois[0], found.rois[0], atol=1)


# --- references -------------------------------------------------------------------------------


def test_k_references_are_averaged(model, images, crops):
    (found,) = model.detect([[crops[0], crops[1], crops[2]]], images[:1])
    (another_order,) = model.detect([[crops[2], crops[0], crops[1]]], images[:1])
    assert_same_found(found, another_order)
    (same,) = model.detect([[crops[0]] * 3], images[:1])
    (single,) = model.detect([crops[0]], images[:1])
    assert_same_found(same, single)
    assert differ(found, single)


def test_references_may_be_files_grey_or_stacks(model, images, crops, tmp_path):
    path = tmp_path / "reference.png"
    cv2.imwrite(str(path), crops[0][..., ::-1])
    (expected,) = model.detect(crops[0], images[:1])
    for references in (path, str(path), [path], [[path]], crops[0][None], [crops[0] * 1.0]):
        assert_same_found(model.detect(references, images[:1])[0], expected)
    grey = crops[0][..., 0]
    (found,) = model.detect(grey, images[:1])
    assert_same_found(found, model.detect(np.repeat(grey[..., None], 3, axis=2), images[0])[0])


def test_the_mean_pixel_is_subtracted_from_references_or_not(model, images, crops, monkeypatch):
    (found,) = model.detect(crops[0], images[:1])
    monkeypatch.setattr(model.config, "SUBTRACT_MEAN_FROM_REFERENCE", False)
    (raw,) = model.detect(crops[0], images[:1])
    assert differ(found, raw)


@pytest.mark.parametrize(
    ("references", "words"),
    [
        (lambda crop: [crop] * 3, "There are 3 references for 2 images.*\\[\\[crop, crop"),
        (lambda crop: [crop], "There are 1 references for 2 images"),
        (lambda crop: [], "There are 0 references for 2 images"),
        (lambda crop: [[crop], [crop, crop]], r"same number of references.*\[1, 2\]"),
        (lambda crop: [[], []], r"at least one, but the numbers are \[0, 0\]"),
        (lambda crop: None, "must be an image array or a path.* but is None"),
        (lambda crop: [crop, None], "must be an image array or a path.* but is None"),
    ],
)
def test_references_in_the_wrong_number_are_told(model, images, crops, references, words):
    with pytest.raises(ReferencesError, match=words):
        model.detect(references(crops[0]), images[:2])


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (np.zeros((0, 12, 3), np.uint8), "at least one pixel"),
        (np.zeros((4, 5, 7)), "1 to 4 channels"),
        (np.full((4, 5, 3), 0.5), "as if 1 were white"),
        ("missing.jpg", r"no image file missing\.jpg"),
        (".", "but . is a folder"),
    ],
)
def test_what_is_no_reference_is_told(model, images, reference, words):
    with pytest.raises(ImageError, match=words):
        model.detect(reference, images[:1])


@pytest.mark.parametrize("images", [None, [None], "missing.jpg", [np.zeros((0, 0, 3))]])
def test_what_is_no_image_is_told(model, crops, images):
    with pytest.raises(ImageError):
        model.detect(crops[0], images)


@pytest.mark.parametrize("shape", [(20, 30, 3), (2, 32, 32, 3), (1, 1, 96, 96, 3)])
def test_references_that_are_not_prepared_are_told(model, shape):
    with pytest.raises(ReferencesError, match=r"must be prepared.*\[N, K, 32, 32, 3\], but have"):
        model.encode_references(np.zeros(shape, np.uint8))


def test_no_images_give_no_results(model, crops):
    assert model.detect(crops[0], []) == []
    assert model.detect([], []) == []


def test_nothing_found_is_an_empty_result(model, images, crops, monkeypatch):
    monkeypatch.setattr(model.config, "DETECTION_MIN_CONFIDENCE", 1.1)
    (found,) = model.detect(crops[0], images[:1])
    assert not found
    assert found["rois"].shape == (0, 4)
    assert found["masks"].shape == (100, 90, 0)


def test_a_model_without_masks_finds_boxes(tmp_path, images, crops):
    model = tiny_siamese_model("inference", tmp_path, MODEL="frcnn")
    results = model.detect(crops[0], images[:2])
    assert all(found and found.masks is None for found in results)


# --- weights and training ---------------------------------------------------------------------


def test_weights_of_the_plain_model_are_refused(tmp_path):
    tiny_model("inference", tmp_path).save_weights(tmp_path / "w.h5")
    model = tiny_siamese_model("inference", tmp_path)
    before = arrays_of(model.keras_model)
    with pytest.raises(WeightsError, match="fpn_distance_P2/kernel"):
        model.load_weights(tmp_path / "w.h5")
    assert_same_arrays(arrays_of(model.keras_model), before)


def test_checkpoints_of_the_original_set_the_epoch(tmp_path):
    model = tiny_siamese_model("training", tmp_path / "logs")
    path = tmp_path / "logs" / "tiny_siamese20180921T1405" / "siamese_mrcnn_tiny_siamese_0160.h5"
    model.save_weights(path)
    for load in (
        lambda: model.load_checkpoint(path, training_schedule={1: "heads", 160: "all"}),
        lambda: model.load_latest_checkpoint(training_schedule={1: "heads"}),
    ):
        model.epoch = 0
        assert len(load().loaded) == len(arrays_of(model.keras_model))
        assert (model.epoch, model.log_dir) == (160, str(path.parent))
        assert model.checkpoint_name == "siamese_mrcnn_tiny_siamese"


@pytest.mark.parametrize("setting", [{"FEATURES": "c4"}, {"CONVENTIONS": "detectron"}])
def test_there_is_one_pyramid_of_one_kind(setting):
    with pytest.raises(ConfigError, match=r"FEATURES must be .* CONVENTIONS .*, but they are"):
        type("Changed", (TinySiameseConfig,), setting)()


def test_the_configuration_must_be_one_of_the_siamese_model(tmp_path):
    for nonsense in (mrcnn.config.Config(), TinySiameseConfig, tmp_path):
        with pytest.raises(ConfigError, match=r"subclass of siamese_mrcnn\.config\.Config"):
            SiameseMaskRCNN("inference", tmp_path, nonsense)


def test_two_shots_train_and_what_is_learned_detects(tmp_path, shapes_folder, images, crops):
    model = tiny_siamese_model(
        "training", tmp_path, NUM_TARGETS=2, STEPS_PER_EPOCH=1, IMAGE_MIN_DIM=64
    )
    before = arrays_of(model.keras_model)
    dataset = CocoDataset.from_folder(shapes_folder, "train")
    model.train(dataset, None, learning_rate=0.001, epochs=1, layers="heads")
    after = arrays_of(model.keras_model)
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    assert "fpn_distance_P2/kernel" in changed and "rpn_class_raw/kernel" in changed
    assert not [name for name in changed if name.startswith(("res", "bn", "conv1"))]

    finder = tiny_siamese_model("inference", tmp_path)
    finder.load_latest_checkpoint()
    assert finder.epoch == 1
    assert_same_arrays(arrays_of(finder.keras_model), after)
    assert len(finder.detect([crops[:2]], images[:1])) == 1
