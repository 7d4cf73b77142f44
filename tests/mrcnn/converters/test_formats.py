"""Files of four programs are known by their content, and hold the same tensors in each."""

import pickle
import sys

import h5py
import numpy as np
import pytest

from foreign_weights import (
    BLOCKS,
    assert_same_bits,
    detectron_blobs,
    python_2_pickle,
    pytorch_blobs,
    torch_stream,
    write_torch_file,
)
from mrcnn.converters.detectron import detectron_table
from mrcnn.converters.formats import format_for, format_of, read_tensors, write_tensors
from mrcnn.converters.pickles import UnsafePickleError
from mrcnn.converters.pytorch import pytorch_table
from mrcnn.converters.torch_files import read_state_dict
from mrcnn.converters.translate import ConversionError, to_ours
from mrcnn.weights.hdf5 import WeightsError, read_weights
from tiny import tiny_model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/W.h5", "original"),
        ("W.weights.h5", "keras"),
        ("W.pth", "pytorch"),
    ],
)
def test_names_say_formats(name, expected):
    assert format_for(name) == expected


@pytest.mark.parametrize("name", ["W.npz", "W.pkl"])
def test_other_names_say_none(name):
    with pytest.raises(ValueError, match=r"says no format to write: expected it to end in \.h5, "):
        format_for(name)


def test_content_says_the_format_whatever_the_name(tmp_path):
    model = tiny_model("inference", tmp_path)
    model.save_weights(tmp_path / "a.weights.h5")
    model.save_weights(tmp_path / "b.h5")
    write_torch_file(pytorch_blobs("resnet50"), tmp_path / "c.pkl")
    (tmp_path / "d.h5").write_bytes(torch_stream(pytorch_blobs("resnet50")))
    (tmp_path / "e.pth").write_bytes(python_2_pickle(detectron_blobs("resnet50", True)))
    for protocol in (0, 4):
        (tmp_path / f"f{protocol}").write_bytes(pickle.dumps({"conv1_w": 1}, protocol))
    found = [format_of(path) for path in sorted(tmp_path.iterdir()) if path.is_file()]
    kinds = ["keras", "original", "pytorch", "pytorch", "detectron", "detectron", "detectron"]
    assert found == kinds


@pytest.mark.parametrize("backbone", BLOCKS)
def test_pytorch_to_the_original_layout(backbone, tmp_path):
    blobs = pytorch_blobs(backbone)
    write_torch_file(blobs, tmp_path / "W.pth")
    tensors, report = read_tensors(tmp_path / "W.pth")
    assert set(report.loaded) == set(blobs)
    write_tensors(tensors, tmp_path / "W.h5", "original")
    assert_same_bits(read_weights(tmp_path / "W.h5"), tensors)


@pytest.mark.parametrize(
    ("backbone", "pyramid"), [("resnet50", False), ("resnet50", True), ("resnet101", True)]
)
def test_detectron_to_the_original_layout(backbone, pyramid, tmp_path):
    blobs = detectron_blobs(backbone, pyramid)
    momentum = {f"{name}_momentum": array for name, array in blobs.items()}
    (tmp_path / "W.pkl").write_bytes(python_2_pickle(blobs | momentum))
    tensors, report = read_tensors(tmp_path / "W.pkl")
    assert set(report.loaded) == set(blobs) and set(report.unexpected) == set(momentum)
    write_tensors(tensors, tmp_path / "W.h5", "original")
    assert_same_bits(read_weights(tmp_path / "W.h5"), tensors)


def test_old_detectron_files_hold_the_blobs_alone(tmp_path):
    blobs = detectron_blobs("resnet50", True)
    (tmp_path / "W.pkl").write_bytes(pickle.dumps(blobs, 2))
    expected, _ = to_ours(blobs, detectron_table("resnet50", True), "W")
    assert_same_bits(read_tensors(tmp_path / "W.pkl")[0], expected)


def test_the_original_layout_groups_what_is_there(tmp_path):
    tensors, _ = to_ours(
        detectron_blobs("resnet50", False), detectron_table("resnet50", False), "W"
    )
    write_tensors(tensors, tmp_path / "W.h5", "original")
    with h5py.File(tmp_path / "W.h5") as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        assert set(names) == set(file) and "rpn_model" in names and "fpn_p2" not in names
        assert all(len(file[name].attrs["weight_names"]) for name in names)


# --- files to refuse ------------------------------------------------------------------------------


def test_a_format_that_was_not_expected(tmp_path):
    write_torch_file(pytorch_blobs("resnet50"), tmp_path / "W.pth")
    with pytest.raises(WeightsError, match="is a file of the format pytorch, not detectron"):
        read_tensors(tmp_path / "W.pth", "detectron")
    assert len(read_tensors(tmp_path / "W.pth", "pytorch")[0]) > 300


def test_files_of_no_format(tmp_path):
    path = tmp_path / "W.pth"
    with pytest.raises(FileNotFoundError, match=r"no weights file .*W\.pth"):
        read_tensors(path)
    for content in (b"", b"GIF89a and more"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="neither an HDF5 file, nor a file of PyTorch, nor"):
            read_tensors(path)
    path.write_bytes(pickle.dumps({"weights": [1, 2]}))
    with pytest.raises(WeightsError, match="is a pickle, but not of Detectron"):
        read_tensors(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(WeightsError, match="not a complete HDF5 file"):
        read_tensors(path)


def test_poison_is_refused(tmp_path):
    path = tmp_path / "W.pkl"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UnsafePickleError, match=r"W\.pkl asks for os\.system"):
        read_tensors(path)


def test_weights_of_another_network_are_no_mask_rcnn(tmp_path):
    path = tmp_path / "W.pth"
    write_torch_file({"backbone.body.conv1.weight": np.zeros((4, 3, 7, 7), np.float32)}, path)
    with pytest.raises(ConversionError, match="no complete weights of pytorch-mask-rcnn"):
        read_tensors(path)


def test_nothing_is_written_where_a_tensor_has_no_place(tmp_path):
    tensors, _ = to_ours(pytorch_blobs("resnet50"), pytorch_table("resnet50"), "W")
    del tensors["mrcnn_mask/bias"]
    with pytest.raises(WeightsError, match="mrcnn_mask/bias"):
        write_tensors(tensors, tmp_path / "W.pth", "pytorch")
    with pytest.raises(ValueError, match="no way to write the format detectron"):
        write_tensors(tensors, tmp_path / "W.pkl", "detectron")
    assert not list(tmp_path.iterdir())


def test_pytorch_writes_what_comes_back_bit_by_bit(tmp_path):
    pytest.importorskip("torch")
    blobs = pytorch_blobs("resnet101")
    tensors, _ = to_ours(blobs, pytorch_table("resnet101"), "W")
    write_tensors(tensors, tmp_path / "W.pth", "pytorch")
    assert_same_bits(read_state_dict(tmp_path / "W.pth"), blobs)


def test_without_pytorch_its_files_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    tensors, _ = to_ours(pytorch_blobs("resnet50"), pytorch_table("resnet50"), "W")
    with pytest.raises(ImportError, match=r"only be written by PyTorch.*pip install '.*\[torch\]'"):
        write_tensors(tensors, tmp_path / "W.pth", "pytorch")
    assert not list(tmp_path.iterdir())
