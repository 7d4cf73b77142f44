"""What the inspection notebooks stand on: the choice of data and weights, anomalies by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import coco_folder
from mrcnn.images.masks import boxes_of_masks
from tiny import arrays_of

SAMPLES = Path(__file__).parents[2] / "samples"
TINY = {
    "BACKBONE_WIDTH": 16,
    "TOP_DOWN_PYRAMID_SIZE": 16,
    "RPN_CHANNELS": 16,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 16,
    "MASK_HEAD_CHANNELS": 8,
}


@pytest.fixture(autouse=True)
def beside_the_notebooks(monkeypatch):
    """The modules beside the notebooks, found as a notebook finds them."""
    monkeypatch.syspath_prepend(str(SAMPLES))


@pytest.fixture
def inspected():
    import inspected

    return inspected


# --- data and weights -------------------------------------------------------------------------


def test_the_data_that_is_chosen(inspected, tmp_path):
    assert inspected.open_data("shapes", None).class_names[1:] == ["square", "circle", "triangle"]
    outline, _ = coco_folder.square(2, 3, 5)
    coco_folder.write(tmp_path / "coco", [coco_folder.annotation(1, 11, 3, [outline])])
    assert inspected.open_data("coco", tmp_path / "coco").class_names == ["BG", "cat", "dog"]
    config = inspected.configuration("coco", RPN_CHANNELS=16)
    assert (config.NAME, config.NUM_CLASSES, config.RPN_CHANNELS) == ("coco", 81, 16)
    for call in (inspected.configuration, lambda data: inspected.open_data(data, tmp_path)):
        with pytest.raises(ValueError, match='must be "shapes" or "coco", but is \'dogs\''):
            call("dogs")


def test_the_truth_is_without_crowds(inspected, tmp_path):
    outline, square = coco_folder.square(2, 3, 5)
    annotations = [
        coco_folder.annotation(1, 11, 7, [outline], iscrowd=1),
        coco_folder.annotation(2, 11, 3, [outline]),
    ]
    coco_folder.write(tmp_path / "coco", annotations)
    dataset = inspected.open_data("coco", tmp_path / "coco")
    config = inspected.configuration("coco", NUM_CLASSES=3, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64)
    image, class_ids, boxes, masks = inspected.truth(dataset, config, 2)
    assert image.shape == (64, 64, 3) and class_ids.tolist() == [1]
    # four times as large, with 8 rows of padding above
    np.testing.assert_array_equal(masks[8:56:4, ::4, 0], square)
    np.testing.assert_array_equal(boxes, boxes_of_masks(masks))


def test_the_last_training_is_looked_at_else_random_weights(inspected, tmp_path, capsys):
    dataset = inspected.open_data("shapes", None)

    def opened(**arguments):
        config = inspected.configuration("shapes", **TINY)
        return inspected.open_model("shapes", config, dataset, logs=tmp_path, **arguments)

    model = opened()
    assert "the weights are random" in capsys.readouterr().out
    (r,) = model.detect([dataset.load_image(0)])
    assert len(r) and r["scores"].max() < 0.5  # it knows nothing, and says so
    last = tmp_path / "shapes20260101T0000" / "shapes_0001.weights.h5"
    last.parent.mkdir()
    model.save_weights(last)
    again = opened()
    assert capsys.readouterr().out == f"The weights are those of {last}.\n"
    assert again.config.DETECTION_MIN_CONFIDENCE == 0.5  # as in ShapesConfig
    for name, array in arrays_of(again.keras_model).items():
        np.testing.assert_array_equal(array, arrays_of(model.keras_model)[name])


def test_untrained_coco_means_the_published_weights(inspected, tmp_path, monkeypatch):
    monkeypatch.setattr(inspected, "coco_weights", lambda folder: tmp_path / "published.h5")
    with pytest.raises(FileNotFoundError, match=r"published\.h5"):
        inspected.open_model("coco", inspected.configuration("coco", **TINY), None, logs=tmp_path)


def test_the_names_of_coco():
    from coco.names import CLASS_NAMES

    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 81
    places = {0: "BG", 1: "person", 23: "zebra", 62: "toilet", 80: "toothbrush"}
    assert {place: CLASS_NAMES[place] for place in places} == places


# --- anomalies --------------------------------------------------------------------------------


class Layer:
    def __init__(self, **weights):
        self.name = "conv1"
        self.weights = [SimpleNamespace(name=name) for name in weights]
        self.arrays = list(weights.values())

    def get_weights(self):
        return self.arrays


class Conv2DTranspose(Layer):
    """Its kernel is [height, width, outputs, inputs]."""


def found(*layers):
    import weight_anomalies

    model = SimpleNamespace(get_trainable_layers=lambda: layers)
    header, *rows = weight_anomalies.anomalies(model)
    assert header == ["weight", "anomaly", "how many", "of"]
    return rows


def test_sound_weights_have_no_anomalies():
    kernel = np.random.default_rng(0).normal(0, 0.05, (3, 3, 4, 8))
    assert found(Layer(kernel=kernel, bias=np.zeros(8))) == []
    statistics = {"moving_mean": np.full(8, -5000.0), "moving_variance": np.full(8, 90000.0)}
    assert found(Layer(gamma=np.ones(8), beta=np.zeros(8), **statistics)) == []


def test_anomalies_by_hand():
    kernel = np.random.default_rng(0).normal(0, 0.05, (3, 3, 4, 8))
    kernel[0, 0, 0, :2] = np.nan, np.inf
    kernel[..., 5:] = 0
    bias = np.array([-101.0, 99.0, 101.0, 0, 0, 0, 0, 0])
    variance = np.array([1.0, -1e-6, np.nan, 0])
    assert found(Layer(kernel=kernel, bias=bias, moving_variance=variance)) == [
        ["conv1/kernel", "no number", "2", "288"],
        ["conv1/kernel", "dead channel", "3", "8"],
        ["conv1/bias", "huge", "2", "8"],
        ["conv1/moving_variance", "no number", "1", "4"],
        ["conv1/moving_variance", "negative variance", "1", "4"],
    ]
    assert found(Layer(kernel=kernel[..., :5] * 0.01)) == [
        ["conv1/kernel", "no number", "2", "180"],
        ["conv1/kernel", "dead", "1", "1"],
    ]


def test_outputs_of_a_transposed_convolution():
    kernel = np.random.default_rng(0).normal(0, 0.05, (2, 2, 6, 4))
    kernel[:, :, 2] = 0
    assert found(Conv2DTranspose(kernel=kernel)) == [["conv1/kernel", "dead channel", "1", "6"]]
    assert found(Layer(kernel=kernel)) == []
