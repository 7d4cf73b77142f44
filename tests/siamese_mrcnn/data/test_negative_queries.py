"""Samples that ask for what the image does not show."""

from collections import Counter

import numpy as np
import pytest

from coco_folder import annotation, plain_run_lengths, square, write
from drawn_squares import SamplesConfig, Squares
from mrcnn.config import ConfigError
from mrcnn.data.augmentation import HorizontalFlip
from mrcnn.data.dataset import Dataset
from mrcnn.data.training_batches import Batches
from siamese_mrcnn.config import make_config
from siamese_mrcnn.data import training_samples
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.references import sample_references
from siamese_mrcnn.data.training_samples import NEAREST, NothingAbsentError, load_sample

RECORDED = {
    "box": [5, 2, 15, 12],
    "priorities": [0.956764817, 0.150788009, 0.561634958],
    "references": 209651,
}


def config_of(**settings):
    return type("Changed", (SamplesConfig,), settings)()


def in_a_row(class_ids):
    return [(class_id, 10, 4 + 24 * place, 20) for place, class_id in enumerate(class_ids)]


def kinds(*content, classes=4):
    """Pictures of squares side by side, each told by its class ids, negative ones for crowds."""
    return Squares(*map(in_a_row, content), classes=classes)


@pytest.fixture
def asked(monkeypatch):
    """Takes the category of every sample's references."""
    found = []

    def watch(dataset, class_id, *arguments, **keywords):
        found.append(class_id)
        return sample_references(dataset, class_id, *arguments, **keywords)

    monkeypatch.setattr(training_samples, "sample_references", watch)
    return found


def samples_of(dataset, config, count, image_id=0, **keywords):
    return [
        load_sample(dataset, image_id, config, np.random.default_rng([9, n]), **keywords)
        for n in range(count)
    ]


def is_negative(sample):
    return not sample["gt_class_ids"].any()


def test_without_negative_queries_no_more_random_numbers_are_drawn():
    """As recorded before there were any."""
    sample = load_sample(kinds([1, 2], [2]), 0, SamplesConfig(), np.random.default_rng(7))
    np.testing.assert_array_equal(sample["gt_boxes"][0], RECORDED["box"])
    np.testing.assert_allclose(sample["roi_priorities"][:3], RECORDED["priorities"], rtol=1e-6)
    assert sample["references"].sum(dtype=int) == RECORDED["references"]


def test_a_share_of_the_samples_asks_for_what_is_absent_evenly(asked):
    dataset = kinds([1], [2, 2], [3], [4])
    samples = samples_of(dataset, config_of(NEGATIVE_QUERIES=0.4), 300)
    for sample, class_id in zip(samples, asked, strict=True):
        assert is_negative(sample) == (class_id != 1)
    counts = Counter(asked)
    assert abs(counts[1] - 180) < 4 * np.sqrt(300 * 0.4 * 0.6)
    for class_id in (2, 3, 4):
        assert abs(counts[class_id] - 40) < 4 * np.sqrt(300 * 0.133 * 0.867)


def test_everything_is_background_then():
    dataset, config = kinds([1], [2]), config_of(NEGATIVE_QUERIES=1)
    (sample,) = samples_of(dataset, config, 1)
    assert set(np.unique(sample["rpn_match"])) == {-1, 0}
    assert np.count_nonzero(sample["rpn_match"]) == config.RPN_TRAIN_ANCHORS_PER_IMAGE
    for name in ("gt_class_ids", "gt_boxes", "gt_masks", "rpn_deltas"):
        assert not sample[name].any(), name
    positive = load_sample(dataset, 0, SamplesConfig(), np.random.default_rng(0))
    np.testing.assert_array_equal(sample["images"], positive["images"])
    for name, array in positive.items():
        if name != "failures":
            assert (sample[name].shape, sample[name].dtype) == (array.shape, array.dtype), name


def test_crowds_count_as_held(asked):
    dataset = kinds([1, -2, -1], [2], [3], [1])
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1), 20)
    assert set(asked) == {3}


def test_crowds_of_a_coco_folder_count_as_held(tmp_path):
    crowd = plain_run_lengths(square(0, 0, 6)[1])
    write(
        tmp_path,
        [annotation(1, 5, 3, [square(2, 3, 4)[0]]), annotation(2, 5, 7, crowd, iscrowd=1)],
    )
    dataset = CocoDataset.from_folder(tmp_path, "test")
    assert dataset.classes_in(0) == (1,)
    assert dataset.classes_and_crowds_in(0) == (1, 2)
    assert Dataset.classes_and_crowds_in(dataset, 0) == (1, 2)


def test_only_active_categories_of_which_there_is_an_image_are_asked_for(asked):
    dataset = kinds([1], [2], [4], classes=5)
    dataset.active_classes = (1, 2, 3)
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1), 20)
    assert set(asked) == {2}


def test_what_is_not_labelled_in_the_source_of_an_image_is_not_taken_to_be_absent(asked):
    dataset = kinds([1], [2], [3])
    dataset.add_class("other", 1, "elsewhere")
    dataset.add_image("other", 3, "picture 3")
    dataset.content = (*dataset.content, in_a_row([5]))
    dataset.prepare()
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1), 20)
    assert set(asked) == {2, 3}
    dataset.image_info[0]["source"] = "of no class"
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1), 40)
    assert set(asked) == {2, 3, 5}


def test_an_image_that_shows_everything_is_asked_for_that(asked):
    dataset = kinds([1, 2, 3], [3])
    samples = samples_of(dataset, config_of(NEGATIVE_QUERIES=1), 20)
    assert set(asked) == {1, 2, 3} and not any(map(is_negative, samples))


def test_hard_negatives_are_near_to_what_the_image_shows(asked):
    dataset = kinds([1], *([number] for number in range(2, 13)), [1, 12], classes=12)
    order = [1, 9, 12, 3, 5, 7, 2, 4, 6, 8, 10, 11]
    dataset.similar_categories = {1: order[1:], 12: [2, 4, 6, 8, 10]}
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1, HARD_NEGATIVES=1), 60)
    assert set(asked) == set(order[1 : NEAREST + 1])
    asked.clear()
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1, HARD_NEGATIVES=1), 200, image_id=12)
    assert set(asked) == {9, 3, 5, 7, 2} | {4, 6, 8, 10}  # 12 is there
    asked.clear()
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1, HARD_NEGATIVES=0.5), 400)
    near = sum(class_id in order[1 : NEAREST + 1] for class_id in asked)
    assert abs(near - 400 * (0.5 + 0.5 * 5 / 11)) < 4 * np.sqrt(400 * 0.73 * 0.27)


def test_a_category_of_which_nothing_is_known_is_asked_for_evenly(asked):
    dataset = kinds([1], [2], [3])
    dataset.similar_categories = {2: [3]}
    samples_of(dataset, config_of(NEGATIVE_QUERIES=1, HARD_NEGATIVES=1), 20)
    assert set(asked) == {2, 3}


def test_one_category_is_refused_before_the_first_step():
    dataset = kinds([1, 2], [2], [3])
    dataset.active_classes = (2, 4)  # there is no image of 4
    feed = Batches(
        dataset, config_of(NEGATIVE_QUERIES=0.1), 1, workers=0, sample_loader=load_sample
    )
    words = r"NEGATIVE_QUERIES is 0\.1, but the images show one active category \(kind 2\)"
    with pytest.raises(NothingAbsentError, match=words):
        feed[0]


def test_images_that_all_show_everything_are_refused():
    dataset = kinds([1, 2], [2, 1])
    with pytest.raises(NothingAbsentError, match="every image shows all of the 2 active categ"):
        load_sample(dataset, 0, config_of(NEGATIVE_QUERIES=0.1), np.random.default_rng(0))


def test_an_augmentation_has_an_image_without_masks():
    dataset, config = kinds([1], [2]), config_of(NEGATIVE_QUERIES=1)
    (plain,) = samples_of(dataset, config, 1)
    (flipped,) = samples_of(dataset, config, 1, augmentation=HorizontalFlip(probability=1))
    np.testing.assert_array_equal(flipped["images"], plain["images"][:, ::-1])
    assert is_negative(flipped)


def test_a_crop_of_an_image_needs_no_instance():
    config = config_of(NEGATIVE_QUERIES=1, IMAGE_RESIZE_MODE="crop", IMAGE_MIN_SCALE=1.0)
    dataset = kinds([1], *([2] for _ in range(40)))  # of which some crops show the thing
    assert all(map(is_negative, samples_of(dataset, config, 5)))


def test_batches_do_not_depend_on_the_number_of_workers():
    dataset = kinds([1], [2], [3], [1, 4])
    dataset.similar_categories = {1: [2, 3], 2: [1], 3: [4], 4: [1, 2, 3]}
    config = config_of(NEGATIVE_QUERIES=0.5, HARD_NEGATIVES=0.5)
    alone, helped = (
        Batches(dataset, config, 6, seed=3, workers=workers, sample_loader=load_sample)
        for workers in (0, 2)
    )
    try:
        negative = 0
        for index in range(6):
            for one, two in zip(alone[index], helped[index], strict=True):
                for name in one:
                    np.testing.assert_array_equal(one[name], two[name])
            negative += np.sum(~alone[index][0]["gt_class_ids"].any(axis=1))
        assert 0 < negative < 12
    finally:
        helped.close()


def test_the_command_line_sets_them():
    config = make_config("small", [("NEGATIVE_QUERIES", 0.4), ("ROI_LOSS_WEIGHING", 0.25)])
    assert config.NEGATIVE_QUERIES == 0.4 and config.ROIS_OF_BACKGROUND
    plain = make_config("glyphs")
    assert plain.NEGATIVE_QUERIES == plain.ROI_LOSS_WEIGHING == plain.HARD_NEGATIVES == 0
    assert not plain.ROIS_OF_BACKGROUND


def test_shares_are_shares_and_hard_negatives_a_share_of_some():
    with pytest.raises(ConfigError, match=r"NEGATIVE_QUERIES must be from 0 .* but is 40"):
        make_config("small", [("NEGATIVE_QUERIES", 40)])
    with pytest.raises(ConfigError, match="share of the negative queries, but there are none"):
        make_config("small", [("HARD_NEGATIVES", 0.5)])
