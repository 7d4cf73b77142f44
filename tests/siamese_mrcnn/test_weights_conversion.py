"""Weights in, weights out: whole models through the command line, with a report of each tensor."""

import json

import numpy as np
import pytest

from detectron_weights import model_blobs
from foreign_weights import (
    assert_same_bits,
    detectron_blobs,
    python_2_pickle,
    pytorch_blobs,
    write_torch_file,
)
from mrcnn.config import Config
from mrcnn.converters.torch_files import read_state_dict
from mrcnn.model import MaskRCNN
from mrcnn.weights.hdf5 import WeightsError, read_weights
from siamese_mrcnn import cli
from siamese_mrcnn.weights_conversion import convert
from small import random_weights
from tiny import tiny_siamese_model


class SmallConfig(Config):
    NAME = "small"
    BACKBONE = "resnet50"
    NUM_CLASSES = 3
    TOP_DOWN_PYRAMID_SIZE = 8
    FPN_CLASSIF_FC_LAYERS_SIZE = 8


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A Mask R-CNN of two classes, as .weights.h5."""
    model = MaskRCNN("inference", SmallConfig(), ".")
    random_weights(model.keras_model)
    path = tmp_path_factory.mktemp("weights") / "W.weights.h5"
    model.save_weights(path)
    return path


@pytest.fixture
def pth(tmp_path):
    write_torch_file(pytorch_blobs("resnet50"), tmp_path / "W.pth")
    return tmp_path / "W.pth"


def run(*arguments):
    return cli.main(["weights", "convert", *map(str, arguments)])


def test_a_model_to_pytorch_and_back_bit_by_bit(saved, tmp_path):
    pytest.importorskip("torch")
    foreign, again = tmp_path / "W.pth", tmp_path / "again.weights.h5"
    assert convert(saved, foreign).source_format == "keras"
    done = convert(foreign, again, backbone="resnet50", num_classes=3)
    assert (done.source_format, done.target_format) == ("pytorch", "keras")
    assert (done.info.kind, done.info.hidden_size) == ("mask_rcnn", 8)
    assert_same_bits(read_weights(again), read_weights(saved))
    # Our RoI head's kernel [7, 7, in, out] is theirs [out, in, 7, 7].
    kernel = read_weights(saved)["mrcnn_class_conv1/kernel"]
    theirs = read_state_dict(foreign)["classifier.conv1.weight"]
    np.testing.assert_array_equal(theirs, np.moveaxis(kernel, (3, 2), (0, 1)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["W.pth", "again.weights.h5"]


def test_the_command_and_its_report(tmp_path, capsys):
    blobs = detectron_blobs("resnet50", True)
    source, report = tmp_path / "model.pkl", tmp_path / "report.json"
    source.write_bytes(python_2_pickle(blobs | {"conv1_w_momentum": blobs["conv1_w"]}))
    target = tmp_path / "W.h5"
    assert run(source, target, "--from", "detectron", "--classes", 5, "--report", report) == 0
    text = capsys.readouterr().out
    assert f"{target}: Mask R-CNN, resnet50" in text
    assert f"{len(blobs)} tensors fit, 0 missing, 1 unexpected" in text
    assert "conv1_w_momentum" in text
    entries = json.loads(report.read_text())
    assert set(entries.pop("used")) == set(blobs)
    assert entries == {
        "source": str(source),
        "target": str(target),
        "source_format": "detectron",
        "target_format": "original",
        "left_over": ["conv1_w_momentum"],
        "missing": [],
        "wrong_shape": [],
    }
    assert cli.main(["weights", "inspect", str(source)]) == 0
    text = capsys.readouterr().out
    assert "format            detectron" in text and "5, background included" in text


def test_a_report_of_what_is_missing(tmp_path, capsys):
    blobs = pytorch_blobs("resnet50")
    del blobs["mask.conv5.bias"]
    write_torch_file(blobs, tmp_path / "W.pth")
    target, report = tmp_path / "W.h5", tmp_path / "report.json"
    assert run(tmp_path / "W.pth", target, "--report", report) == 1
    assert "mask.conv5.bias" in capsys.readouterr().err
    entries = json.loads(report.read_text())
    assert entries["missing"] == ["mask.conv5.bias"] and entries["target"] is None
    assert not target.exists()


def test_formats_may_be_named(pth, tmp_path, capsys):
    assert run(pth, tmp_path / "W.bin", "--to", "original") == 0
    assert len(read_weights(tmp_path / "W.bin")) == len(pytorch_blobs("resnet50"))
    assert run(pth, tmp_path / "W.txt") == 1
    assert "says no format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--from", "original"], "is a file of the format pytorch, not original"),
        (["--backbone", "resnet101"], "is resnet50, not resnet101"),
        (["--classes", "81"], "is 5, not 81"),
    ],
)
def test_expectations_that_a_file_does_not_meet(pth, tmp_path, capsys, options, sentence):
    assert run(pth, tmp_path / "W.h5", *options) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "W.h5").exists()


def test_poison_ends_in_a_sentence(tmp_path, capsys):
    (tmp_path / "W.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert run(tmp_path / "W.pkl", tmp_path / "W.h5") == 1
    assert "asks for os.system" in capsys.readouterr().err


def test_a_siamese_model_has_no_form_elsewhere(tmp_path):
    tiny_siamese_model("inference", tmp_path).save_weights(tmp_path / "W.h5")
    with pytest.raises(WeightsError, match=r"no form (in pytorch-mask-rcnn|there)"):
        convert(tmp_path / "W.h5", tmp_path / "W.pth")
    assert [path.name for path in tmp_path.glob("W.*")] == ["W.h5"]


def test_only_whole_models_of_ours_become_keras_files(tmp_path):
    backbone = {n: a for n, a in pytorch_blobs("resnet50").items() if n.startswith("fpn.C")}
    write_torch_file(backbone, tmp_path / "W.pth")
    with pytest.raises(WeightsError, match=r"not those of a whole Mask R-CNN, .* \.h5 file"):
        convert(tmp_path / "W.pth", tmp_path / "W.weights.h5")
    convert(tmp_path / "W.pth", tmp_path / "W.h5")
    assert len(read_weights(tmp_path / "W.h5")) == len(backbone)
    assert not (tmp_path / "W.weights.h5").exists()


def test_a_model_of_detectron_becomes_a_keras_file(tmp_path, capsys):
    """Without a pyramid, so that the model is one on stage 4."""
    blobs = model_blobs("resnet50", pyramid=False)
    (tmp_path / "W.pkl").write_bytes(python_2_pickle(blobs))
    assert run(tmp_path / "W.pkl", tmp_path / "W.weights.h5") == 0
    assert cli.main(["weights", "inspect", str(tmp_path / "W.weights.h5")]) == 0
    text = capsys.readouterr().out
    assert "conventions       detectron" in text and "pyramid" not in text
