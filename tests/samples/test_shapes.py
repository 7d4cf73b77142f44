"""The sample: its drawings by hand, its mAP of known detections, a tiny trial of all of it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import mrcnn.model as modellib
from sample_notebooks import ONE_STEP, SAMPLES

FOLDER = SAMPLES / "shapes"


@pytest.fixture(scope="module")
def sample():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("shapes_sample", FOLDER / "shapes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tiny(sample):
    """A configuration with few weights that trains for one step an epoch."""
    return type("TinyConfig", (sample.ShapesConfig,), ONE_STEP)()


# --- the drawings -----------------------------------------------------------------------------


def test_shapes_by_hand(sample):
    square = sample.filled("square", (6, 8, 3), 16)
    expected = np.zeros((16, 16), bool)
    expected[3:9, 5:11] = True
    np.testing.assert_array_equal(square, expected)
    circle = sample.filled("circle", (6, 8, 3), 16)
    for row, column in np.ndindex(16, 16):
        inside = np.hypot(row + 0.5 - 6, column + 0.5 - 8) <= 3
        assert circle[row, column] == inside
    triangle = sample.filled("triangle", (6, 8, 3), 16)
    assert triangle.sum(axis=1).tolist() == [0, 0, 0, 0, 2, 2, 4, 4, 6] + [0] * 7
    np.testing.assert_array_equal(triangle, triangle[:, ::-1])  # its point is in the middle


def test_later_shapes_hide_earlier_ones(sample):
    dataset = sample.shapes(30, seed=5)
    hidden = 0
    for image_id in dataset.image_ids:
        image, (masks, class_ids) = dataset.load_image(image_id), dataset.load_mask(image_id)
        info = dataset.image_info[image_id]
        assert masks.sum(axis=-1).max() == 1  # a pixel shows one thing
        for index, (kind, color, place) in enumerate(info["shapes"]):
            assert (image[masks[..., index]] == color).all()
            assert dataset.class_names[class_ids[index]] == kind
            whole = sample.filled(kind, place, 128)
            assert not (masks[..., index] & ~whole).any()
            hidden += (whole & ~masks[..., index]).sum()
        np.testing.assert_array_equal(masks[..., -1], whole)
        assert (image[~masks.any(axis=-1)] == info["ground"]).all()
        assert all(np.abs(np.subtract(c, info["ground"])).max() > 64 for _, c, _ in info["shapes"])
    assert hidden


def test_seeds_decide_and_fresh_images_are_fresh(sample):
    def plans(seed):
        return [info["shapes"] for info in sample.shapes(40, seed).image_info]

    assert plans(sample.TRAINING_SEED) == plans(sample.TRAINING_SEED)
    trained = list(map(str, plans(sample.TRAINING_SEED)))
    assert not [plan for plan in plans(sample.FRESH_SEED) if str(plan) in trained]
    assert {len(plan) for plan in plans(3)} == {1, 2, 3, 4}


# --- the schedule -----------------------------------------------------------------------------


def test_the_rate_falls_by_epochs_or_by_time(sample, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(sample.time, "monotonic", lambda: now[0])
    falling = sample.FallingRate(0.02, epochs=4, minutes=2)
    assert [falling.rate_of(epoch) for epoch in (0, 2, 4)] == pytest.approx([0.02, 0.01, 0])
    now[0] += 60  # half of the time
    assert [falling.rate_of(epoch) for epoch in (0, 2, 3)] == pytest.approx(
        [0.01, 0.01, 0.00293], 1e-3
    )

    class Model:
        stop_training = False

    falling.set_model(Model())
    falling.on_train_batch_end(0)
    assert not falling.model.stop_training
    now[0] += 60
    falling.on_train_batch_end(0)
    assert falling.model.stop_training and falling.rate_of(0) == 0


# --- the mAP ----------------------------------------------------------------------------------


class Knows:
    """A model that answers with the truth of a data set, but for every `blind`th image."""

    def __init__(self, sample, config, dataset, blind):
        self.config, self.dataset, self.blind, self.asked = config, dataset, blind, 0

    def detect(self, images):
        image_id, self.asked = self.asked, self.asked + 1
        image, _, ids, boxes, masks = modellib.load_image_gt(self.dataset, self.config, image_id)
        np.testing.assert_array_equal(images[0], image)
        seen = slice(0, 0) if self.blind and image_id % self.blind == 0 else slice(None)
        found = {"rois": boxes[seen], "class_ids": ids[seen], "masks": masks[..., seen]}
        return [{**found, "scores": np.ones(len(found["rois"]))}]


@pytest.mark.parametrize(("blind", "expected"), [(0, 1), (1, 0), (2, 0.5)])
def test_known_detections(sample, tiny, blind, expected):
    dataset = sample.shapes(6, seed=9)
    model = Knows(sample, tiny, dataset, blind)
    assert sample.mean_average_precision(model, dataset) == pytest.approx(expected)


# --- all of it --------------------------------------------------------------------------------


def test_a_trial(sample, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sample, "ShapesConfig", lambda: tiny)
    monkeypatch.setattr(sample, "EPOCHS", 2)
    logs = str(tmp_path / "logs")
    precision = sample.main(["train", "--logs", logs, "--images", "3"])
    assert 0 <= precision <= 1
    line = f"mAP at IoU .5 on 3 fresh images of shapes: {precision:.3f}"
    assert line in capsys.readouterr().out
    names = sorted(path.name for path in Path(logs).glob("*/*.weights.h5"))
    assert names == [f"mask_rcnn_shapes_000{epoch}.weights.h5" for epoch in (1, 2)]
    assert sample.main(["evaluate", "--logs", logs, "--images", "3"]) == precision
