import re

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


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BACKBONE_STRIDES": [4, 8, 16, 32, 32]}, r"can only be \[4, 8, 16, 32, 64\].*32, 32\]"),
        ({"MASK_SHAPE": [14, 14]}, r"must be .*: \[28, 28\], but is \[14, 14\]"),
        ({"MASK_POOL_SIZE": 7}, r"must be .*: \[14, 14\], but is \[28, 28\]"),
    ],
)
def test_settings_that_cannot_have_another_value_say_so(settings, words):
    with pytest.raises(ConfigError, match=words):
        type("Mine", (Config,), settings)()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BATCH_SIZE": 8}, "BATCH_SIZE follows .* is 2: .* to 8 .* set IMAGES_PER_GPU"),
        ({"IMAGE_SHAPE": [512, 512, 3]}, "IMAGE_SHAPE follows .* 512, 3] .* set IMAGE_MAX_DIM"),
        ({"IMAGE_META_SIZE": 93}, "IMAGE_META_SIZE follows .* is 13: .* set NUM_CLASSES"),
    ],
)
def test_what_follows_from_other_settings_changes_nothing_and_is_told(settings, words, caplog):
    config = type("Mine", (Config,), settings)()
    sizes = [config.BATCH_SIZE, *config.IMAGE_SHAPE, config.IMAGE_META_SIZE]
    assert sizes == [2, 1024, 1024, 3, 13]
    assert len(caplog.messages) == 1 and re.match(words, caplog.messages[0])


WRONG_KINDS = [
    ("IMAGE_MIN_DIM", "abc", r"a whole number of at least 0, but is 'abc'"),
    ("IMAGE_MAX_DIM", None, "a whole number of at least 0, but is None"),
    ("IMAGES_PER_GPU", None, "a whole number"),
    ("SEED", -1, "a whole number of at least 0, but is -1"),
    ("NUM_CLASSES", "x", "a whole number"),
    ("LEARNING_RATE", "fast", "a number, but is 'fast'"),
    ("LEARNING_RATE", float("nan"), "a number, but is nan"),
    ("IMAGE_MIN_SCALE", "x", "a number"),
    ("USE_MINI_MASK", "no", "True or False, but is 'no'"),
    ("NAME", 5, "text, but is 5"),
    ("RPN_ANCHOR_SCALES", 5, "a sequence of numbers, but is 5"),
    ("RPN_ANCHOR_SCALES", [1, 2, 3, 4, "x"], "a sequence of numbers"),
    ("LOSS_WEIGHTS", {"rpn_class_loss": "x"}, "a dict"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG_KINDS)
def test_values_of_another_kind_are_told(name, value, words):
    with pytest.raises(ConfigError, match=f"{name} must be {words}"):
        type("Mine", (Config,), {name: value})()


@pytest.mark.parametrize("scales", [(), (8, 16, 32, 64, 128, 256)])
def test_a_level_has_one_scale(scales):
    with pytest.raises(ConfigError, match=f"one number for each .* but has {len(scales)}"):
        type("Mine", (Config,), {"RPN_ANCHOR_SCALES": scales})()


def test_values_of_kinds_that_fit_are_taken():
    settings = {
        "IMAGE_MIN_SCALE": 1.5,
        "USE_MINI_MASK": 0,
        "RPN_ANCHOR_SCALES": np.array([8, 16, 32, 64, 128]),
        "MEAN_PIXEL": (1, 2, 3),
        "SEED": np.int64(3),
        "A_PROGRAM_S_OWN": "anything",
    }
    config = type("Mine", (Config,), settings)()
    assert all(np.array_equal(getattr(config, name), value) for name, value in settings.items())


def test_whole_numbers_may_be_written_with_a_point():
    config = type("Mine", (Config,), {"IMAGE_MAX_DIM": 256.0, "LEARNING_RATE": 1.0})()
    assert type(config.IMAGE_MAX_DIM) is int and type(config.LEARNING_RATE) is float
    with pytest.raises(ConfigError, match=r"STEPS_PER_EPOCH must be a whole number .* is 1\.5"):
        type("Mine", (Config,), {"STEPS_PER_EPOCH": 1.5})()


def test_what_follows_from_other_settings_may_be_said_too():
    settings = {
        "BATCH_SIZE": 2,
        "IMAGE_SHAPE": (1024, 1024, 3),
        "BACKBONE_STRIDES": (4, 8, 16, 32, 64),
    }
    assert type("Mine", (Config,), settings)().BATCH_SIZE == 2
    without_masks = type("Boxes", (Config,), {"MODEL": "frcnn", "MASK_SHAPE": [14, 14]})
    assert without_masks().MASK_SHAPE == [14, 14]


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
