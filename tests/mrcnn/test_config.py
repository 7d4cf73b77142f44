import numpy as np
import pytest

from mrcnn.config import Config, ConfigError
from mrcnn.data.preprocessing import plan_input


def test_core_numbers_are_those_of_the_original():
    config = Config()
    expected = {
        "BACKBONE": "resnet101",
        "IMAGE_MIN_DIM": 800,
        "IMAGE_MAX_DIM": 1024,
        "FPN_CLASSIF_FC_LAYERS_SIZE": 1024,
        "RPN_TRAIN_ANCHORS_PER_IMAGE": 256,
        "POST_NMS_ROIS_TRAINING": 2000,
        "POST_NMS_ROIS_INFERENCE": 1000,
        "TRAIN_ROIS_PER_IMAGE": 200,
        "DETECTION_MAX_INSTANCES": 100,
        "MAX_GT_INSTANCES": 100,
        "DETECTION_NMS_THRESHOLD": 0.3,
        "DETECTION_MIN_CONFIDENCE": 0.7,
        "LEARNING_RATE": 0.001,
        "WEIGHT_DECAY": 1e-4,
        "GRADIENT_CLIP_NORM": 5,
        "TRAIN_BN": False,
    }
    assert {name: getattr(config, name) for name in expected} == expected
    np.testing.assert_array_equal(config.MEAN_PIXEL, [123.7, 116.8, 103.9])


def test_derived_numbers():
    class Mine(Config):
        GPU_COUNT = 4
        IMAGES_PER_GPU = 3
        NUM_CLASSES = 6

    config = Mine()
    assert config.BATCH_SIZE == 12
    assert config.IMAGE_META_SIZE == 18
    np.testing.assert_array_equal(config.IMAGE_SHAPE, [1024, 1024, 3])


@pytest.mark.parametrize(("mode", "side"), [("crop", 512), ("none", None), ("pad64", None)])
def test_image_shape_depends_on_the_resize_mode(mode, side):
    class Mine(Config):
        IMAGE_RESIZE_MODE = mode
        IMAGE_MIN_DIM = 512

    assert list(Mine().IMAGE_SHAPE) == [side, side, 3]


def test_side_that_cannot_be_halved_is_refused_with_the_nearest_that_can():
    class Mine(Config):
        IMAGE_MAX_DIM = 1000

    with pytest.raises(ConfigError, match="960 or 1024"):
        Mine()


def test_a_minimum_above_the_maximum_gives_way():
    class Mine(Config):
        IMAGE_MAX_DIM = 512

    geometry = plan_input((300, 400, 3), Mine(), None)
    assert Mine().IMAGE_MIN_DIM == 800 and geometry.scale == 512 / 400
    assert geometry.prepared_shape == (512, 512)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKBONE", "vgg"),
        ("IMAGE_RESIZE_MODE", "round"),
        ("MODEL", "yolo"),
        ("GPU_COUNT", 0),
        ("SUBDIVISIONS", 0),
        ("SNAPSHOT_STEPS", -1),
    ],
)
def test_impossible_values_are_named(name, value):
    config = type("Mine", (Config,), {name: value})
    with pytest.raises(ConfigError, match=name):
        config()


def test_slips_of_the_pen_are_told_once_with_the_right_name(caplog):
    for _ in range(2):
        mine = type("Mine", (Config,), {"VALIDATION_STPES": 5})()
        mine.IMAGE_PER_GPU = 4
        assert mine.VALIDATION_STPES == 5 and mine.VALIDATION_STEPS == 50
        assert mine.IMAGE_PER_GPU == 4 and mine.BATCH_SIZE == 2
    first, second = caplog.messages
    assert first.startswith("VALIDATION_STPES is no setting") and "but VALIDATION_STEPS is" in first
    assert second.startswith("IMAGE_PER_GPU is no setting") and "but IMAGES_PER_GPU is" in second


def test_settings_of_ones_own_are_welcome():
    class Mine(Config):
        COLOUR_OF_THE_BIKE_SHED = "green"

    assert ("COLOUR_OF_THE_BIKE_SHED", "green") in Mine().items()


def test_display_shows_every_setting(capsys):
    Config().display()
    shown = capsys.readouterr().out
    assert all(name in shown for name, _ in Config().items())


def test_settings_that_are_gone_say_what_to_call():
    with pytest.raises(AttributeError, match=r"compute_backbone_shapes\(config, config\.IMAGE"):
        _ = Config().BACKBONE_SHAPES
    with pytest.raises(AttributeError, match="Config has no setting 'NOTHING'"):
        _ = Config().NOTHING
    assert not hasattr(Config(), "NOTHING")
