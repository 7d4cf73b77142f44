"""`siamese-mrcnn train`: which phases, from which weights, and what is watched."""

import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from command_line import call, refused
from mrcnn.ops.initializers import RandomKernel
from mrcnn.training.learning_rates import LearningRate, as_setting
from mrcnn.weights.hdf5 import WeightsError, named_variables
from own_folders import plan, write_via
from siamese_mrcnn import cli
from siamese_mrcnn.commands import train
from siamese_mrcnn.own_data.load import describe_parts, open_data
from siamese_mrcnn.training import one_shot_ap, schedules
from siamese_mrcnn.training.starting_weights import start_from
from tiny import arrays_of, assert_same_arrays, tiny_siamese_model


def phases(*arguments, before=None):
    arguments = cli._parser().parse_args(["train", "--data", "d", *arguments])
    train.refuse_mixed_phases(arguments)
    chosen = train.choose_phases(arguments, before or {})
    return [(phase.epochs, phase.layers, phase.learning_rate) for phase in chosen]


def test_stages():
    assert phases() == [(1, "heads", 0.02), (120, "all", 0.02), (160, "all", 0.002)]
    assert phases("--config", "large")[-1] == (160, "all", 0.002)
    assert phases("--config", "large", "--split", "all")[-1] == (320, "all", 0.002)
    assert phases("--schedule", "all-classes")[1] == (240, "all", 0.02)
    assert phases("--config", "glyphs") == [
        (1, "all", 3e-4),
        (8, "all", 6e-4),
        (10, "all", 6e-5),
        (12, "3+", 3e-5),
    ]
    heads = [(1, "heads", 3.5e-4), (33, "heads", 7e-4), (42, "heads", 7e-5)]
    assert phases("--config", "photos") == heads
    assert phases("--epochs", "3") == [(3, "all", 0.02)]
    assert phases("--epochs", "3", "--weights", "none") == [(3, "all", 0.002)]
    single = ("--epochs", "3", "--layers", "4+", "--learning-rate", "0.1")
    assert phases(*single) == [(3, "4+", 0.1)]
    with pytest.raises(ValueError, match="--layers cannot be combined with a schedule"):
        phases("--layers", "heads")
    with pytest.raises(ValueError, match="--epochs cannot be combined"):
        phases("--epochs", "3", "--schedule", "splits")


def test_the_rate_of_a_single_stage_may_be_a_setting():
    rate = ("--set", "LEARNING_RATE=0.007")
    assert phases("--epochs", "3", *rate) == [(3, "all", 0.007)]
    assert phases("--epochs", "3", *rate, "--weights", "none") == [(3, "all", 0.007)]
    assert phases("--epochs", "3", *rate, "--learning-rate", "0.1") == [(3, "all", 0.1)]
    before = {"layers": "heads", "learning_rate": 0.004}
    assert phases("--epochs", "3", *rate, before=before) == [(3, "heads", 0.007)]
    with pytest.raises(ValueError, match="--set LEARNING_RATE cannot be combined with a schedule"):
        phases(*rate)
    for wrong in ("0", "-1", "fast"):
        with pytest.raises(ValueError, match="LEARNING_RATE must be a number above 0, but is"):
            phases("--epochs", "3", "--set", f"LEARNING_RATE={wrong}")


def test_settings_that_would_change_nothing_are_refused(capsys):
    data, weights = ("--data", "d"), ("--weights", "w.h5")
    for command, key, words in (
        (("pretrain", "--out", "w.weights.h5"), "LEARNING_RATE=0.1", "a rate of its own"),
        (("evaluate", *weights), "DETECTION_MIN_CONFIDENCE=0.5", "see --profile"),
        (("evaluate", *weights), "NUM_TARGETS=5", "Give --shots instead"),
    ):
        text = refused(capsys, *command, *data, "--set", key)
        assert f"--set {key.split('=')[0]} would change nothing here. " in text and words in text


def test_a_resumed_stage_goes_on_as_it_was():
    before = {"layers": "heads", "learning_rate": 0.004}
    assert phases("--epochs", "3", before=before) == [(3, "heads", 0.004)]
    assert phases("--epochs", "3", "--layers", "all", before=before) == [(3, "all", 0.004)]


def test_rates_that_change_within_a_stage():
    changing = ("--warm-up", "500", "--drop-at", "120000", "160000")
    rate = LearningRate(0.1, warm_up_steps=500, drop_steps=(120000, 160000))
    assert phases("--epochs", "3", "--learning-rate", "0.1", *changing) == [(3, "all", rate)]
    constant = rate._replace(base=0.02, warm_up="constant")
    assert phases("--epochs", "3", *changing, "--warm-up-kind", "constant")[0][2] == constant
    with pytest.raises(ValueError, match="--warm-up and --drop-at cannot be combined"):
        phases(*changing)
    before = {"layers": "heads", "learning_rate": as_setting(rate)}
    assert phases("--epochs", "3", before=before) == [(3, "heads", rate)]
    assert phases("--epochs", "3", "--drop-at", "9", before=before)[0][2].drop_steps == (9,)
    with pytest.raises(ValueError, match="such numbers in order"):
        phases("--epochs", "3", "--drop-at", "9", "3")


class Report(str):
    """What loading weights says."""

    missing = ("fpn_p2/kernel",)


def test_watching(shapes_folder, monkeypatch, capsys):
    trained, made = [], []

    class Model:
        epoch, checkpoint = 0, None

        def __init__(self, mode, model_dir, config):
            self.config = config

        def load_weights(self, path, exclude, may_be_missing):
            return Report("loaded")

    class Noting(one_shot_ap.OneShotAP):
        def __init__(self, model, dataset, classes, **arguments):
            made.append((model.config.NAME, len(dataset.image_ids), list(classes), arguments))
            super().__init__(model, dataset, classes, **arguments)

    monkeypatch.setattr("siamese_mrcnn.model.SiameseMaskRCNN", Model)
    monkeypatch.setattr(one_shot_ap, "OneShotAP", Noting)
    monkeypatch.setattr(
        "siamese_mrcnn.data.coco.training_and_validation", lambda ids: (ids[:10], ids[10:])
    )
    monkeypatch.setattr(
        "mrcnn.training.fit.run_schedule",
        lambda *_, custom_callbacks, **__: trained.append(custom_callbacks),
    )
    arguments = ("--data", shapes_folder, "--config", "shapes", "--weights", "w.h5")
    assert call("train", *arguments) == 0
    assert trained == [[]] and not made
    assert call("train", *arguments, "--watch", 5, "--workers", 1) == 0
    assert call("train", *arguments, "--split", "all", "--watch", 2, "--watch-images", 1) == 0
    usual = {"every": 5, "limit": schedules.WATCHED_IMAGES, "workers": 1}
    few = {"every": 2, "limit": 1, "workers": 2}
    assert made == [("shapes", 20, [1, 5, 9], usual), ("shapes", 20, list(range(1, 13)), few)]
    assert [type(each) for each in trained[1] + trained[2]] == [Noting, Noting]
    capsys.readouterr()
    text = refused(capsys, "train", *arguments, "--watch-images", 9)
    assert "Give --watch N as well" in text
    assert len(trained) == 3


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_a_seed_repeats_the_weights_to_start_with(command, shapes_folder, tmp_path, monkeypatch):
    drawn = []

    class Model:
        epoch, checkpoint = 0, None

        def __init__(self, mode, model_dir, config):
            drawn.append(keras.ops.convert_to_numpy(RandomKernel()((3, 4))).tolist())

        def save_weights(self, path):
            """Nothing was trained."""

    monkeypatch.setattr("siamese_mrcnn.model.SiameseMaskRCNN", Model)
    monkeypatch.setattr("mrcnn.training.fit.run_schedule", lambda *_, **__: None)
    monkeypatch.setattr(
        "siamese_mrcnn.training.category_pretraining.pretrain", lambda *_, **__: None
    )
    monkeypatch.setattr("siamese_mrcnn.training.starting_weights.start_from", lambda *_: None)
    out = ("--out", tmp_path / "w.weights.h5") if command == "pretrain" else ()
    for seed in ((), ("--seed", 0), ("--seed", 1), ("--seed", 1)):
        assert call(command, "--data", shapes_folder, "--config", "shapes", *out, *seed) == 0
    assert drawn[0] == drawn[1] != drawn[2] == drawn[3]


def test_a_split_of_ones_own_in_data_of_ones_own(tmp_path, caplog):
    scenes = plan(11)  # image 10, the last one, shows a sea lily
    path = write_via(tmp_path, scenes)
    training, validation = open_data(path, ("rose",), attribute="kind")
    assert (training.active_classes, validation.active_classes) == ((2, 3), (2, 3))
    assert (training.num_images, validation.num_images) == (10, 1) and not caplog.text
    training, validation = open_data(path, ("sea lily",))
    assert training.active_classes == (1, 3) and validation is None
    assert "without validation: the 1 images kept for it show none" in caplog.text
    with pytest.raises(ValueError, match=r"no class 'rosa'\. Did you mean 'rose'"):
        open_data(path, ("rosa",))


def test_what_is_trained_on_is_said(tmp_path, shapes_folder):
    training, validation = open_data(shapes_folder, "1")
    text = describe_parts(training, validation, "1")
    names = training.class_names
    seen = [name for number, name in enumerate(names) if number and number % 4 != 1]
    assert text.splitlines() == [
        f"Trained on {len(seen)} classes: {', '.join(seen)}",
        f"Left out for the test {len(names) - 1 - len(seen)} (as split 1 says; --split all leaves "
        f"out none): {', '.join(names[1::4])}",
        "Images: 27 to train on, 3 for validation",
    ]
    path = write_via(tmp_path, plan(11))
    text = describe_parts(*open_data(path, ("sea lily",)), ("sea lily",))
    assert text.splitlines() == [
        "Trained on 2 classes: rose, tulip",
        "Left out for the test 1 (as --novel says): sea lily",
        "Images: 10 to train on, 0 for validation",
    ]
    text = describe_parts(*open_data(path, "all"), "all")
    assert text.splitlines()[0] == "Trained on 3 classes: rose, sea lily, tulip"
    assert "Left out" not in text


def test_nothing_is_watched_without_validation_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("siamese_mrcnn.model.SiameseMaskRCNN", lambda *_: None)
    data = ("--data", write_via(tmp_path, plan(11)), "--novel", "sea lily")
    text = refused(capsys, "train", *data, "--config", "shapes", "--watch", 1)
    assert "--watch measures on validation images, but there are none" in text


def test_what_training_starts_from(capsys):
    class Model:
        config = SimpleNamespace(FITTED_START=False)

        def load_latest_checkpoint(self):
            return "the latest"

        def load_imagenet_weights(self, pretraining):
            return Report(f"ImageNet: {pretraining}")

        def load_weights(self, path, exclude, may_be_missing):
            assert exclude is None
            assert re.fullmatch(may_be_missing, "fpn_p2")
            assert not re.fullmatch(may_be_missing, "res2a_branch2a")
            return Report(f"file: {path}")

    for weights, split, start in (
        ("imagenet", "1", "ImageNet: imagenet-687"),
        ("imagenet", "all", "ImageNet: imagenet-1k"),
        ("imagenet-771", "2", "ImageNet: imagenet-771"),
        ("last", "1", "the latest"),
        ("imagenet_687.h5", "all", "file: imagenet_687.h5"),
    ):
        start_from(Model(), weights, split, training=None)
        assert capsys.readouterr().out == f"{start}\n"


def test_heads_on_an_imagenet_backbone_may_be_fitted_to_the_data(shapes_folder, tmp_path):
    training, _ = open_data(shapes_folder, "1")
    source = tiny_siamese_model("training", tmp_path)
    backbone = {
        name for name in arrays_of(source.keras_model) if name.startswith(("res", "bn", "c"))
    }
    started = {}
    for fitted in (False, True):
        model = tiny_siamese_model("training", tmp_path, FITTED_START=fitted)
        model.load_imagenet_weights = lambda _: SimpleNamespace(loaded=list(backbone), missing=[])
        before = arrays_of(model.keras_model)
        start_from(model, "imagenet-1k", "all", training)
        after = arrays_of(model.keras_model)
        started[fitted] = {n for n in after if not np.array_equal(before[n], after[n])}
    assert not started[False]
    assert "mrcnn_class_logits/kernel" in started[True] and not started[True] & backbone


def test_layers_of_another_shape_are_left_out(shapes_folder, tmp_path, capsys):
    file = tmp_path / "start.weights.h5"
    given = tiny_siamese_model("training", tmp_path)
    given.save_weights(file)
    model = tiny_siamese_model("training", tmp_path, COMPARISON="none")
    training, _ = open_data(shapes_folder, "1")
    with pytest.raises(WeightsError, match="wrong shape  fpn_distance_P2/kernel"):
        start_from(model, str(file), "1", training)
    start_from(model, str(file), "1", training, ["fpn_distance.*", "mrcnn.*"])
    assert "0 missing, 0 unexpected, 0 of wrong shape" in capsys.readouterr().out
    before, after = named_variables(given.keras_model), named_variables(model.keras_model)
    for name in ("conv1/kernel", "bn_conv1/moving_mean", "rpn_class_raw/kernel"):
        np.testing.assert_array_equal(before[name], after[name])
    # The others begin as a random start does: statistics measured, outputs near zero.
    assert np.abs(after["mrcnn_class_bn1/moving_mean"]).max() > 0.01
    kernels = (np.std(each["mrcnn_class_logits/kernel"]) for each in (before, after))
    assert next(kernels) > 5 * next(kernels)


def test_statistics_of_attention_are_measured_where_a_file_has_none(shapes_folder, tmp_path):
    given = tiny_siamese_model("training", tmp_path)
    given.save_weights(tmp_path / "paper.h5")
    model = tiny_siamese_model("training", tmp_path, CO_ATTENTION=True)
    training, _ = open_data(shapes_folder, "1")
    start_from(model, str(tmp_path / "paper.h5"), "1", training)
    before, after = arrays_of(given.keras_model), arrays_of(model.keras_model)
    assert_same_arrays({name: after[name] for name in before}, before)
    measured = {name for name in after if "attention" in name and "moving" in name}
    assert len(measured) == 16
    drawn = arrays_of(tiny_siamese_model("training", tmp_path, CO_ATTENTION=True).keras_model)
    changed = {name for name in after if not np.array_equal(after[name], drawn[name])}
    assert changed == measured


def test_layers_are_left_out_of_a_file_only(capsys):
    for weights in ("last", "none", "imagenet", "imagenet-771"):
        arguments = ("--data", "d", "--weights", weights, "--exclude", "mrcnn.*")
        assert f"names, but that is {weights}. Name a file" in refused(capsys, "train", *arguments)


def test_imagenet_weights_are_missing_with_a_sentence(shapes_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no checkpoints are here
    text = refused(capsys, "train", "--data", shapes_folder, "--config", "shapes", "--split", "1")
    assert "no weights checkpoints/imagenet_687.h5" in text
    assert f"put it into {tmp_path / 'checkpoints'}" in text
    assert not list(tmp_path.iterdir())
