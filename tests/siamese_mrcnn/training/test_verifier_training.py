"""The verifier learns: crops and their category, the loss against loops, likeness at the end."""

import keras
import numpy as np
import pytest

from coloured_squares import COLOURS, ColouredSquares
from command_line import call, refused
from mrcnn.modeling.conv_norm import normalized_convolutions
from mrcnn.weights.presets import read_facts
from siamese_mrcnn.data.references import prepare_reference
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.training import verifier_training
from siamese_mrcnn.training.resumable_fit import PretrainingError
from siamese_mrcnn.training.verifier_training import (
    EncodedCrops,
    InstanceCrops,
    MarginLoss,
    NearestProxy,
    ProxyCosines,
    begin_as_backbone,
    features_model,
    jittered,
    train_verifier,
    turned,
)
from tiny import TinySiameseConfig, arrays_of, few_weights

RNG = np.random.default_rng(0)


class VerifiedConfig(TinySiameseConfig):
    VERIFIED_FINDS = 4


def test_crops_show_their_category_in_inexact_boxes(monkeypatch):
    monkeypatch.setattr(verifier_training, "BATCH", 8)
    dataset = ColouredSquares()
    dataset.active_classes = [1, 2, 4]
    crops = InstanceCrops(dataset, VerifiedConfig(), steps=3, seed=4, workers=0)
    pictures, labels = crops[1]
    assert pictures.shape == (8, 32, 32, 3) and labels.shape == (8, 1)
    middle = pictures[:, 16, 16]
    expected = np.array(COLOURS)[[0, 1, 3]][labels.ravel()]
    np.testing.assert_allclose(middle, expected, atol=1)  # scaling cuts decimals off
    assert any(np.any(picture == 128) for picture in pictures)  # the ground around a square
    again = InstanceCrops(dataset, VerifiedConfig(), steps=3, seed=4, workers=2)
    np.testing.assert_array_equal(again[1][0], pictures)
    again.close()


def test_boxes_are_moved_by_an_eighth_at_most_and_stay_inside():
    box = np.array([10, 0, 60, 100])
    for _ in range(50):
        moved = jittered(box, (64, 100, 3), RNG)
        assert np.all(np.abs(moved - box) <= [6, 12, 6, 12])
        assert np.all(moved[:2] >= 0) and moved[2] <= 64 and moved[3] <= 100
    assert jittered([5, 5, 6, 6], (64, 64, 3), RNG).tolist() == [5, 5, 6, 6]


def test_turns_are_all_different_and_of_categories_of_their_own(monkeypatch):
    monkeypatch.setattr(verifier_training, "BATCH", 64)
    picture = RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    turns = [turned(picture, turn) for turn in range(8)]
    assert len({each.tobytes() for each in turns}) == 8
    np.testing.assert_array_equal(turns[1], np.rot90(picture))
    np.testing.assert_array_equal(turns[4], picture[:, ::-1])
    crops = InstanceCrops(ColouredSquares(), VerifiedConfig(), 1, turned=True, workers=0)
    pictures, labels = crops[0]
    expected = np.array(COLOURS)[labels.ravel() // 8]
    np.testing.assert_allclose(pictures[:, 16, 16], expected, atol=1)  # scaling cuts decimals off
    assert len(set((labels % 8).ravel().tolist())) == 8


def test_things_are_mirrored_and_stay_what_they_are(monkeypatch):
    monkeypatch.setattr(verifier_training, "BATCH", 16)

    class Halves(ColouredSquares):
        def load_image(self, image_id):
            picture = super().load_image(image_id)
            picture[:, : picture.shape[1] // 2] //= 2  # the left half is darker
            return picture

    pictures, labels = InstanceCrops(Halves(), VerifiedConfig(), 1, workers=0)[0]
    darker = np.array([each[16, 8].sum() < each[16, 24].sum() for each in pictures])
    assert 0 < darker.sum() < len(darker)
    brightest = pictures[:, 16, [8, 24]].max(axis=1)
    np.testing.assert_allclose(brightest, np.array(COLOURS)[labels.ravel()], atol=1)


def test_what_cannot_be_learned_from_is_told():
    dataset = ColouredSquares()
    dataset.active_classes = [3]
    with pytest.raises(PretrainingError, match="has 1 categories to learn from"):
        InstanceCrops(dataset, VerifiedConfig(), 3)

    class Broken(ColouredSquares):
        def load_image(self, image_id):
            raise OSError("gone")

    crops = InstanceCrops(Broken(), VerifiedConfig(), 1, workers=0)
    with pytest.raises(PretrainingError, match="1000 images in a row gave 0 crops"):
        crops[0]


@pytest.mark.backends
def test_loss_and_accuracy_against_loops():
    cosines = RNG.uniform(-1, 1, (5, 6)).astype(np.float32)
    labels = np.array([[0], [3], [5], [2], [2]], np.int32)
    losses = []
    for row, (label,) in zip(cosines.astype(float), labels, strict=True):
        logits = 20 * row
        logits[label] -= 20 * 0.25
        siblings = [n for n in range(6) if n // 2 == label // 2 and n != label]  # turns of it
        logits = np.delete(logits, siblings)
        right = 20 * (row[label] - 0.25)
        losses.append(np.log(np.exp(logits).sum()) - right)
    assert float(MarginLoss(turns=2)(labels, cosines)) == pytest.approx(np.mean(losses), rel=1e-5)
    accuracy = NearestProxy()
    accuracy.update_state(labels, cosines)
    expected = np.mean(cosines.argmax(axis=1) == labels[:, 0])
    assert float(accuracy.result()) == pytest.approx(expected)


@pytest.mark.backends
def test_cosines_are_those_of_proxies_of_any_length():
    layer = ProxyCosines(3)
    vectors = keras.ops.normalize(RNG.normal(0, 1, (2, 4)).astype(np.float32))
    layer.build((2, 4))
    layer.kernel.assign(RNG.normal(0, 9, (4, 3)))
    proxies = np.array(keras.ops.convert_to_numpy(layer.kernel))
    for row, vector in zip(keras.ops.convert_to_numpy(layer(vectors)), vectors, strict=True):
        vector = keras.ops.convert_to_numpy(vector)
        expected = [vector @ proxy / np.linalg.norm(proxy) for proxy in proxies.T]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model before and after, and the history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier_training, "BATCH", 16)
        patch.setattr(verifier_training, "LEARNING_RATE", 0.01)
        keras.utils.set_random_seed(0)
        with few_weights():
            config = type("Compiled", (VerifiedConfig,), {"RUN_EAGERLY": False})()
            model = SiameseMaskRCNN("inference", tmp_path_factory.mktemp("logs"), config)
        before = arrays_of(model.keras_model)
        history = train_verifier(model, ColouredSquares(), epochs=3, steps=16, verbose=0)
    return model, before, history


def test_features_of_the_backbone_are_weighed_and_nothing_else_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(verifier_training, "BATCH", 8)
    with few_weights():
        config = type("Changed", (VerifiedConfig,), {"VERIFIED_BY": "features"})()
        model = SiameseMaskRCNN("inference", tmp_path, config)
    before = arrays_of(model.keras_model)
    train_verifier(model, ColouredSquares(), epochs=1, steps=2, verbose=0)
    after = arrays_of(model.keras_model)
    assert {name for name in after if not np.array_equal(before[name], after[name])} == {
        *(f"verify_embedding/{each}" for each in ("kernel", "bias")),
        *(f"verify_norm/{each}" for each in ("gamma", "beta", "moving_mean", "moving_variance")),
    }


@pytest.mark.backends
def test_what_begins_as_the_backbone_leaves_it_its_own_weights():
    backbone, embedding = (
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name=name)])
        for name in ("res3a", "res3a_verify")
    )
    begin_as_backbone(embedding, backbone)
    before = arrays_of(backbone)
    assert np.array_equal(arrays_of(embedding)["res3a_verify/kernel"], before["res3a/kernel"])
    embedding.compile("sgd", "mse")
    embedding.fit(np.ones((4, 2)), np.full((4, 2), 9.0), verbose=0)  # JAX gives arrays away here
    assert not np.array_equal(arrays_of(embedding)["res3a_verify/kernel"], before["res3a/kernel"])
    for name, array in arrays_of(backbone).items():
        np.testing.assert_array_equal(array, before[name])


def test_likeness_is_learned_and_nothing_else_changes(trained):
    model, before, history = trained
    assert history.history["loss"][-1] < history.history["loss"][0]
    after = arrays_of(model.keras_model)
    changed = {name for name in after if not np.array_equal(before[name], after[name])}
    assert changed and all("verify" in name for name in changed)
    assert {"verify_embedding/kernel", "bn_verify3a_basic1/moving_mean"} <= changed
    assert not any(layer.train_norm for layer in normalized_convolutions(model.keras_model))
    squares = ColouredSquares()
    crops = [squares.load_image(n)[35:95, 25:85] for n in range(8)]
    prepared = np.stack([[prepare_reference(crop, model.config)] for crop in crops])
    vectors = keras.ops.convert_to_numpy(model.encode_references(prepared)[-1])
    cosines = vectors @ vectors.T
    same = np.equal.outer(np.arange(8) % 4, np.arange(8) % 4)
    assert cosines[same].min() > cosines[~same].max()


def test_crops_encoded_once_are_learned_from_in_another_order_each_pass(tmp_path, monkeypatch):
    monkeypatch.setattr(verifier_training, "BATCH", 8)
    with few_weights():
        config = type("Features", (VerifiedConfig,), {"VERIFIED_BY": "features"})()
        model = SiameseMaskRCNN("inference", tmp_path, config)
    crops = InstanceCrops(ColouredSquares(), config, 3, workers=0)
    once = EncodedCrops(crops, model.network, 3, steps=2, progress=False)
    drawn = [crops[number] for number in range(3)]
    features = np.concatenate(
        [features_model(model.network).predict(each, verbose=0) for each, _ in drawn]
    )
    labels = np.concatenate([each for _, each in drawn])
    np.testing.assert_allclose(once.features, features, rtol=1e-4, atol=1e-5)
    passes = []  # 3 batches are a pass, and 2 an epoch, so three epochs are two passes
    for epoch in range(3):
        once.start_at(epoch)
        passes += [once[0], once[1]]
    rows = [
        np.argmin(np.abs(features[None] - found[:, None]).sum(axis=2), axis=1)
        for found, _ in passes
    ]
    for found, (_, wanted) in zip(rows, passes, strict=True):
        np.testing.assert_array_equal(labels[found], wanted)
    first, second = np.concatenate(rows[:3]), np.concatenate(rows[3:])
    assert sorted(first) == sorted(second) == list(range(24))
    assert not np.array_equal(first, second)


def test_it_learns_the_same_from_crops_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(verifier_training, "BATCH", 16)
    monkeypatch.setattr(verifier_training, "LEARNING_RATE", 0.01)
    with few_weights():
        config = type("Features", (VerifiedConfig,), {"VERIFIED_BY": "features"})()
        model = SiameseMaskRCNN("inference", tmp_path, config)
    before = arrays_of(model.keras_model)
    history = train_verifier(
        model, ColouredSquares(), epochs=3, steps=8, verbose=0, encoded=4
    ).history
    assert history["loss"][-1] < history["loss"][0]
    after = arrays_of(model.keras_model)
    changed = {name for name in after if not np.array_equal(before[name], after[name])}
    assert changed and all(name.startswith("verify_") for name in changed)


def test_a_model_without_a_verifier_is_refused(tmp_path):
    with few_weights():
        model = SiameseMaskRCNN("inference", tmp_path, TinySiameseConfig())
    with pytest.raises(PretrainingError, match="set VERIFIED_FINDS"):
        train_verifier(model, ColouredSquares(), 1, 1)


def test_the_commands_from_weights_to_an_answer(shapes_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verifier_training, "BATCH", 4)
    monkeypatch.chdir(tmp_path)
    sizes = ("--set", "BACKBONE_WIDTH=8", "--set", "RUN_EAGERLY=True", "--config", "glyphs")
    data, split = ("--data", shapes_folder), ("--split", "1")
    assert call("pretrain", *data, *split, *sizes, "--epochs", 1, "--steps", 1,
                "--out", "start.weights.h5") == 0  # fmt: skip
    training = ("train-verifier", *data, *split, "--weights", "start.weights.h5")
    assert "must end in .weights.h5" in refused(capsys, *training, "--out", "verified.h5")
    assert call(*training, *sizes, "--epochs", 1, "--steps", 1, "--turned",
                "--out", "verified.weights.h5") == 0  # fmt: skip
    assert "Weights with a verifier: verified.weights.h5" in capsys.readouterr().out
    # from here on the weights say which configuration they belong to, and how many finds to verify
    fewer = ("--set", "VERIFIED_FINDS=5", "--out", "fewer.weights.h5")
    again = (*training[:-1], "fewer.weights.h5", "--out", "again.weights.h5")
    assert call(*training, *sizes, "--epochs", 1, "--steps", 1, *fewer) == 0
    assert call(*again, "--epochs", 1, "--steps", 1) == 0
    assert read_facts("again.weights.h5")["settings"]["VERIFIED_FINDS"] == 5
    assert read_facts("verified.weights.h5")["settings"]["VERIFIED_FINDS"] == 12
    capsys.readouterr()
    calibrating = ("calibrate", *data, "--weights", "verified.weights.h5", "--classes", "all")
    status = call(*calibrating, "--out", "calibrated.weights.h5")
    said = capsys.readouterr()
    weights = "calibrated.weights.h5" if status == 0 else "verified.weights.h5"
    assert "90% are" in said.out or "are right, and a calibration needs" in said.err
    assert call("evaluate", *data, "--weights", weights, "--classes", "all", "--absent", 2,
                "--limit", 3, "--out", "evaluation") == 0  # fmt: skip
    assert "is it there? AUROC of the best score" in capsys.readouterr().out
    assert (tmp_path / "evaluation" / "presence.png").stat().st_size > 10_000
