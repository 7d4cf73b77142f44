"""Which categories are near: by hand, and for a model in training."""

import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from mrcnn.data.dataset import Dataset
from siamese_mrcnn.data import near_categories
from siamese_mrcnn.data.near_categories import FILE, nearest, rank_categories
from tiny import TinySiameseConfig, arrays_of, assert_same_arrays, tiny_siamese_model

ALL = [1, 2, 3, 4]


class Kinds(Dataset):
    """Eight pictures of 128 x 128 with one square each, of four kinds in turn, by grey level."""

    def __init__(self):
        super().__init__()
        for class_id in ALL:
            self.add_class("drawn", class_id, f"kind {class_id}")
        for number in range(8):
            self.add_image("drawn", number, f"picture {number}")
        self.prepare()

    def load_image(self, image_id):
        noise = np.random.default_rng(image_id).integers(0, 40, (128, 128, 3), dtype=np.uint8)
        noise[20:90, 30:100] += np.array([0, 0, 90, 90], np.uint8)[image_id % 4]
        return noise

    def load_mask(self, image_id):
        mask = np.zeros((128, 128, 1), bool)
        mask[20:90, 30:100] = True
        return mask, np.array([1 + image_id % 4], np.int32)


def test_nearest_by_hand():
    vectors = {
        3: [np.array([1, 0]), np.array([2, 0, 0])],
        5: [np.array([9, 0]), np.array([0, 1, 0])],  # cosines 1 and 0
        7: [np.array([1, 1]), np.array([1, 1, 0])],  # .71 twice
        8: [np.array([0, 0]), np.array([0, 0, 1])],  # of zeros 0, and 0
        9: [np.array([0, 0]), np.array([0, 0, 0])],  # as the one before
    }
    near = nearest(vectors)
    assert near[3] == [7, 5, 8, 9] and near[5] == [7, 3, 8, 9] and near[8] == [3, 5, 7, 9]
    assert nearest({1: [np.array([1.0])]}) == {1: []}


class Seeing:
    """Takes the place of a model: sees the grey level at which a reference is brightest."""

    def __init__(self, folder, **settings):
        self.folder, self.calls = folder, 0
        self.config = type("Changed", (TinySiameseConfig,), settings)()

    def run_folder(self):
        return self.folder

    def encode_references(self, references):
        self.calls += 1
        assert references.shape == (near_categories.BATCH, near_categories.EXAMPLES, 32, 32, 3)
        bright = references.max(axis=(1, 2, 3, 4)) / 255
        return [np.stack([bright, 1 - bright], axis=1)] * 2


def test_categories_are_ranked_by_their_references_and_anew_each_epoch(tmp_path):
    dataset, model = Kinds(), Seeing(tmp_path)
    rank_categories(model, dataset, ALL, 0)
    near = dataset.similar_categories
    assert [near[class_id][0] for class_id in ALL] == [2, 1, 4, 3]
    rank_categories(model, dataset, ALL, 1)
    assert model.calls == 2 and dataset.similar_categories is not near
    assert dataset.similar_categories.pictures is near.pictures  # drawn once
    assert json.loads((tmp_path / FILE).read_text())["epoch"] == 1


def test_an_epoch_that_was_begun_goes_on_as_it_was(tmp_path):
    rank_categories(Seeing(tmp_path), Kinds(), ALL, 3)
    dataset, later = Kinds(), Seeing(tmp_path)
    rank_categories(later, dataset, ALL, 3)
    assert later.calls == 0 and dataset.similar_categories[3][0] == 4
    rank_categories(later, dataset, ALL, 4)
    assert later.calls == 1
    rank_categories(later, dataset, [1, 2, 3], 4)  # other data
    assert later.calls == 2 and set(dataset.similar_categories) == {1, 2, 3}


def test_a_category_without_references_is_left_out(tmp_path):
    dataset = Kinds()
    dataset.add_class("drawn", 5, "nowhere")
    dataset.prepare()
    rank_categories(Seeing(tmp_path), dataset, [*ALL, 5], 0)
    assert set(dataset.similar_categories) == set(ALL)


def test_what_the_data_set_was_given_stays(tmp_path):
    dataset, model = Kinds(), Seeing(tmp_path)
    dataset.similar_categories = given = {1: [2]}
    rank_categories(model, dataset, ALL, 0)
    assert dataset.similar_categories is given and not model.calls


# --- in training --------------------------------------------------------------------------------

SETTINGS = {"NEGATIVE_QUERIES": 0.6, "HARD_NEGATIVES": 0.7, "STEPS_PER_EPOCH": 2}


class Watch(keras.callbacks.Callback):
    """Notes the ranking of each epoch, and copies the folder after the third step."""

    def __init__(self, model, dataset, target):
        super().__init__()
        self.run, self.dataset, self.target, self.seen = model, dataset, target, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.dataset.similar_categories)
        if len(self.seen) == 3:
            shutil.copytree(self.run.log_dir, self.target / self.run.run_folder().name)


def train(model, *callbacks, epochs=2, layers="all", dataset=None):
    dataset = Kinds() if dataset is None else dataset
    return model.train(dataset, None, 0.01, epochs, layers, custom_callbacks=list(callbacks))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The model after two epochs, what its data set was ranked by, and its folder on the way."""
    folder, dataset = tmp_path_factory.mktemp("runs"), Kinds()
    model = tiny_siamese_model("training", folder / "whole", **SETTINGS, SNAPSHOT_STEPS=1)
    watch = Watch(model, dataset, folder / "within")
    train(model, watch, dataset=dataset)
    return model, watch.seen, folder / "within"


def test_each_epoch_is_ranked_before_its_first_batch(whole):
    first, _, second, last = whole[1]
    assert first is not second and second is last
    assert set(first) == set(second) == set(ALL)


def test_a_training_that_goes_on_within_an_epoch_draws_the_same(whole):
    model = tiny_siamese_model("training", whole[2], **SETTINGS)
    model.load_latest_checkpoint()
    assert "step000001" in model.checkpoint.name
    train(model)
    assert_same_arrays(arrays_of(model.keras_model), arrays_of(whole[0].keras_model))


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_a_training_of_negative_queries_alone_learns_to_say_no(tmp_path):
    settings = {"NEGATIVE_QUERIES": 1, "ROI_LOSS_WEIGHING": 0.25, "STEPS_PER_EPOCH": 4}
    model = tiny_siamese_model("training", tmp_path, **settings)
    logs = train(model, layers="mrcnn_class_logits|rpn_class_raw").history
    for name in ("rpn_bbox_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"):
        assert logs[name] == [0, 0], name
    for name in ("rpn_class_loss", "mrcnn_class_loss"):
        assert 0 < logs[name][1] < logs[name][0], name


def test_without_hard_negatives_nothing_is_ranked(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(near_categories, "nearest", called.append)
    dataset = SimpleNamespace(class_ids=np.arange(3))
    config = type("Changed", (TinySiameseConfig,), {"NEGATIVE_QUERIES": 0.5})()
    from siamese_mrcnn.data.training_samples import before_epoch

    before_epoch(SimpleNamespace(config=config), dataset, 0)
    assert not called and not hasattr(dataset, "similar_categories")
