"""Habits of programs that were written for Matterport's Mask R-CNN, a short one each."""

import glob
import os

import numpy as np
import pytest
from numpy import expand_dims

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.data.training_batches import SkipSample, load_sample
from mrcnn.images.image import ImageError
from mrcnn.matterport import ignored_changes
from mrcnn.matterport.inspection import proposal_steps
from mrcnn.model import MaskRCNN, mold_image
from mrcnn.parallel_model import ParallelModel
from rectangles import Rectangles, Small
from tiny import BoxesDataset, TinyConfig, few_weights, tiny_model


@pytest.fixture(autouse=True)
def forgotten():
    """Warnings that are given once are given in every test."""
    ignored_changes._warn_once.cache_clear()


def img_to_array(image):
    """As Keras has it: the picture as floats 0..255."""
    return np.asarray(image, np.float32)


class FloatBoxes(BoxesDataset):
    def load_image(self, image_id):
        return img_to_array(super().load_image(image_id))


# --- floats -----------------------------------------------------------------------------------


def test_float_pictures_train_as_whole_numbers_do(tmp_path):
    trained = []
    for dataset in (BoxesDataset(), FloatBoxes()):
        model = tiny_model("training", tmp_path, STEPS_PER_EPOCH=1)
        history = model.train(dataset, None, 0.001, 1, "heads")
        trained.append(history.history["loss"])
        image, *_ = modellib.load_image_gt(dataset, model.config, 0)
        assert image.dtype == np.uint8
    assert trained[0] == trained[1]


def test_pictures_of_0_to_1_are_told():
    class Dark(BoxesDataset):
        def load_image(self, image_id):
            return super().load_image(image_id) / 255

    dataset, config = Dark(), TinyConfig()
    calls = (
        lambda: modellib.load_image_gt(dataset, config, 0),
        lambda: load_sample(dataset, 0, config, np.random.default_rng(0)),
        lambda: mold_image(dataset.load_image(0), config),
    )
    for call in calls:
        with pytest.raises(ImageError, match=r"as if 1 were white\. Multiply it by 255"):
            call()
    np.testing.assert_array_equal(mold_image(np.zeros((2, 2, 3)), config)[0, 0], -config.MEAN_PIXEL)


def test_a_tutorial_molds_floats_and_adds_an_axis(tmp_path):
    model, dataset = tiny_model("inference", tmp_path), FloatBoxes()
    image = dataset.load_image(0)
    yhat = model.detect(expand_dims(mold_image(image, model.config), 0), verbose=0)[0]
    (expected,) = model.detect([image.astype(np.uint8)])
    assert len(expected)
    np.testing.assert_array_equal(yhat["rois"], expected["rois"])


# --- configurations ---------------------------------------------------------------------------


def test_four_scales_of_anchors_train_and_detect(tmp_path):
    """As contests' starter programs have them; the highest level proposes nothing."""
    four = TinyConfig.RPN_ANCHOR_SCALES[:4]
    model = tiny_model("training", tmp_path, RPN_ANCHOR_SCALES=four, STEPS_PER_EPOCH=1)
    history = model.train(BoxesDataset(), None, 0.001, 1, "heads")
    assert np.isfinite(history.history["loss"]).all()
    model = tiny_model("inference", tmp_path, RPN_ANCHOR_SCALES=four)
    model.load_weights(model.find_last(), by_name=True)
    (found,) = model.detect([BoxesDataset().load_image(0)])
    assert len(found["rois"])


# --- data sets --------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [lambda self: self, lambda self: 7, lambda self: None])
def test_data_sets_that_hand_anything_to_init(wrong):
    class Mine(utils.Dataset):
        def __init__(self):
            super().__init__(wrong(self))
            self.add_class("mine", 1, "thing")
            self.add_image("mine", 0, "0.png")

    dataset = Mine()
    dataset.prepare()
    assert dataset.class_names == ["BG", "thing"] and dataset.num_images == 1


def test_data_sets_that_do_not_call_init():
    class Mine(utils.Dataset):
        def __init__(self):
            self._image_ids = []
            self.image_info = []
            self.class_info = [{"source": "", "id": 0, "name": "BG"}]
            self.source_class_ids = {}
            self.add_class("mine", 1, "thing")

    one, other = Mine(), Mine()
    one.add_class("mine", 2, "part")
    one.prepare(class_map={"mine.2": "mine.1"})
    other.prepare()
    assert one.class_names == other.class_names == ["BG", "thing"]
    assert one.map_source_class_id("mine.2") == 1
    with pytest.raises(ValueError, match=r"no class 'mine\.2'"):
        other.map_source_class_id("mine.2")


def test_a_crop_without_an_instance_is_no_broken_image():
    class Cropped(Small):
        IMAGE_RESIZE_MODE = "crop"
        IMAGE_MIN_DIM = 64

    class Corner(Rectangles):
        def load_mask(self, image_id):
            mask = np.zeros((80, 90, 1), bool)
            mask[:2, :2] = True
            return mask, np.array([1])

    outcomes = set()
    for seed in range(40):
        try:
            load_sample(Corner(1), 0, Cropped(), np.random.default_rng(seed))
            outcomes.add("seen")
        except SkipSample:
            outcomes.add("skipped")
    assert outcomes == {"seen", "skipped"}


# --- files ------------------------------------------------------------------------------------


def test_checkpoints_are_found_by_programs_that_search_themselves(tmp_path):
    model = tiny_model("training", str(tmp_path), STEPS_PER_EPOCH=1)
    log_dir = model.log_dir
    model.train(BoxesDataset(), None, 0.001, 1, "heads")
    assert log_dir == model.log_dir
    dir_name = os.path.join(model.model_dir, next(os.walk(model.model_dir))[1][-1])
    checkpoints = sorted(filter(lambda f: f.startswith("mask_rcnn"), next(os.walk(dir_name))[2]))
    assert checkpoints[-1] == "mask_rcnn_tiny_0001.weights.h5"
    path = max(glob.glob(os.path.join(log_dir, "mask_rcnn_*.h5")), key=os.path.getctime)
    assert path == model.find_last() == model.checkpoint_path.format(epoch=1)
    model.load_weights(path, by_name=True)
    assert model.epoch == 1


# --- the graph --------------------------------------------------------------------------------


def test_few_anchors_have_steps_too():
    class Layer:
        pre_limit, limit, threshold = 6000, 10, 0.7
        anchors_normalized = np.array([[0, 0, 0.5, 0.5], [0.4, 0.4, 1, 1], [0, 0.5, 0.5, 1]], "f")
        deviations = np.array([0.1, 0.1, 0.2, 0.2], np.float32)

    scores = np.array([[[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]], np.float32)
    steps = proposal_steps(Layer(), scores, np.zeros((1, 3, 4), np.float32))
    np.testing.assert_allclose(steps["pre_nms_anchors"][0], Layer.anchors_normalized[[1, 2, 0]])
    assert steps["post_nms_anchor_ix"].tolist() == [0, 1, 2]


def test_several_gpus_are_a_setting():
    with pytest.raises(NotImplementedError, match="set GPU_COUNT in the configuration"):
        ParallelModel(None, 2)


# --- what would be ignored silently -----------------------------------------------------------


def test_methods_that_nothing_calls_are_told_once(tmp_path, caplog):
    class Mine(MaskRCNN):
        def compile(self, learning_rate, momentum):
            raise AssertionError

        def build(self, mode, config):
            raise AssertionError

        def prepare(self, images):  # it is called
            return super().prepare(images)

    with few_weights():
        model = Mine("inference", TinyConfig(), str(tmp_path))
    for _ in range(2):
        model.detect([BoxesDataset().load_image(0)])
    first, second = caplog.messages
    assert "its own Mine.build() in place" in first and "replace make_network(config)" in first
    assert "its own Mine.compile() in place" in second and "LEARNING_MOMENTUM" in second


def test_functions_that_nothing_calls_are_told(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(modellib, "load_image_gt", lambda *arguments: None)
    monkeypatch.setattr(modellib, "mrcnn_mask_loss_graph", lambda *_: 0, raising=False)
    monkeypatch.setattr(utils, "resize_image", lambda image: image)
    model = tiny_model("training", str(tmp_path), STEPS_PER_EPOCH=1)
    model.train(BoxesDataset(), None, 0.001, 1, "heads")
    told = [text for text in caplog.messages if "of its own" in text or "puts its own" in text]
    assert [
        text.split(" in place")[0].removeprefix("This program puts its own ") for text in told
    ] == [
        "mrcnn.model.load_image_gt",
        "mrcnn.model.mrcnn_mask_loss_graph",
        "mrcnn.utils.resize_image",
    ]
    assert "mrcnn.training.losses.mask_loss" in told[1] and "sample_loader" in told[0]


def test_nothing_is_told_of_programs_that_change_nothing(tmp_path, caplog):
    tiny_model("inference", str(tmp_path)).detect([BoxesDataset().load_image(0)])
    assert not caplog.messages
