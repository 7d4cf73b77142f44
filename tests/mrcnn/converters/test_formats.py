"""Files of four programs are known by their content, and hold the same tensors in each."""

import pickle

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
)
from mrcnn.converters.detectron import detectron_table
from mrcnn.converters.formats import format_for, format_of, read_tensors, write_tensors
from mrcnn.converters.pickled_arrays import read_arrays
from mrcnn.converters.pytorch import pytorch_table
from mrcnn.converters.restricted_pickle import UnsafePickleError
from mrcnn.converters.torch_files import read_state_dict, write_state_dict
from mrcnn.converters.translate import ConversionError, to_ours
from mrcnn.weights.hdf5 import WeightsError, read_weights
from tiny import tiny_model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/W.h5", "original"),
        ("W.weights.h5", "keras"),
        ("W.pth", "pytorch"),
        ("W.pkl", "detectron"),
    ],
)
def test_names_say_formats(name, expected):
    assert format_for(name) == expected


def test_other_names_say_none():
    with pytest.raises(ValueError, match=r"W\.npz says no format: expected it to end in \.h5, "):
        format_for("W.npz")


def test_content_says_the_format_whatever_the_name(tmp_path):
    model = tiny_model("inference", tmp_path)
    model.save_weights(tmp_path / "a.weights.h5")
    model.save_weights(tmp_path / "b.h5")
    write_state_dict(pytorch_blobs("resnet50"), tmp_path / "c.pkl")
    (tmp_path / "d.h5").write_bytes(torch_stream(pytorch_blobs("resnet50")))
    (tmp_path / "e.pth").write_bytes(python_2_pickle(detectron_blobs("resnet50", True)))
    for protocol in (0, 4):
        (tmp_path / f"f{protocol}").write_bytes(pickle.dumps({"conv1_w": 1}, protocol))
    found = [format_of(path) for path in sorted(tmp_path.iterdir()) if path.is_file()]
    kinds = ["keras", "original", "pytorch", "pytorch", "detectron", "detectron", "detectron"]
    assert found == kinds


@pytest.mark.parametrize("backbone", BLOCKS)
def test_pytorch_to_the_original_layout_and_back(backbone, tmp_path):
    blobs = pytorch_blobs(backbone)
    write_state_dict(blobs, tmp_path / "W.pth")
    tensors, report = read_tensors(tmp_path / "W.pth")
    assert set(report.loaded) == set(blobs)
    write_tensors(tensors, tmp_path / "W.h5", "original")
    assert_same_bits(read_weights(tmp_path / "W.h5"), tensors)
    write_tensors(read_tensors(tmp_path / "W.h5")[0], tmp_path / "again.pth", "pytorch")
    assert_same_bits(read_state_dict(tmp_path / "again.pth"), blobs)


@pytest.mark.parametrize(
    ("backbone", "pyramid"), [("resnet50", False), ("resnet50", True), ("resnet101", True)]
)
def test_detectron_to_the_original_layout_and_back(backbone, pyramid, tmp_path):
    blobs = detectron_blobs(backbone, pyramid)
    momentum = {f"{name}_momentum": array for name, array in blobs.items()}
    (tmp_path / "W.pkl").write_bytes(python_2_pickle(blobs | momentum))
    tensors, report = read_tensors(tmp_path / "W.pkl")
    assert set(report.loaded) == set(blobs) and set(report.unexpected) == set(momentum)
    write_tensors(tensors, tmp_path / "W.h5", "original")
    assert_same_bits(read_weights(tmp_path / "W.h5"), tensors)
    write_tensors(read_tensors(tmp_path / "W.h5")[0], tmp_path / "again.pkl", "detectron")
    assert_same_bits(read_arrays(tmp_path / "again.pkl")["blobs"], blobs)


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
    write_state_dict(pytorch_blobs("resnet50"), tmp_path / "W.pth")
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
    write_state_dict({"backbone.body.conv1.weight": np.zeros((4, 3, 7, 7), np.float32)}, path)
    with pytest.raises(ConversionError, match="no complete weights of pytorch-mask-rcnn"):
        read_tensors(path)


def test_nothing_is_written_where_a_tensor_has_no_place(tmp_path):
    tensors, _ = to_ours(pytorch_blobs("resnet50"), pytorch_table("resnet50"), "W")
    del tensors["mrcnn_mask/bias"]
    for name, kind in (("W.pth", "pytorch"), ("W.pkl", "detectron")):
        with pytest.raises(WeightsError):
            write_tensors(tensors, tmp_path / name, kind)
    assert not list(tmp_path.iterdir())
