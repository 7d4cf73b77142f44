"""Fetching weights from a server on this machine that misbehaves as told."""

import pytest

from file_server import serving
from mrcnn import resumable_download, utils
from mrcnn.weights import coco as downloads

CONTENT = downloads.HDF5_SIGNATURE + bytes(range(256)) * 40


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(resumable_download, "WAITS", ())
    monkeypatch.setenv("no_proxy", "*")
    with serving({"/coco.h5": CONTENT}) as server:
        monkeypatch.setattr(downloads, "COCO_MODEL_URL", f"{server.url}/coco.h5")
        monkeypatch.setattr(downloads, "COCO_MODEL_SIZE", len(CONTENT))
        yield server


def test_the_file_arrives_whole(server, tmp_path, capsys):
    path = tmp_path / "new" / "mask_rcnn_coco.h5"
    utils.download_trained_weights(str(path), verbose=0)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert not capsys.readouterr().out
    utils.download_trained_weights(path)
    assert "mask_rcnn_coco.h5" in capsys.readouterr().out


def test_the_address_is_that_of_the_release():
    assert utils.COCO_MODEL_URL.endswith(
        "matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
    )
    assert round(downloads.COCO_MODEL_SIZE / 2**20) == 246


def test_a_broken_transfer_goes_on(server, tmp_path):
    path = tmp_path / "coco.h5"
    path.write_bytes(b"an older file")
    server.script = [{"stop_after": 5000}]
    with pytest.raises(OSError, match=r"broke off .*5,000 of 10,248 bytes are in .*coco\.h5\.part"):
        utils.download_trained_weights(path, verbose=0)
    assert path.read_bytes() == b"an older file"
    utils.download_trained_weights(path, verbose=0)
    assert path.read_bytes() == CONTENT and server.gets() == [None, "bytes=5000-"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_weights_file_is_refused(server, tmp_path):
    path = tmp_path / "coco.h5"
    server.files["/coco.h5"] = bytes(len(CONTENT))
    with pytest.raises(OSError, match=r"coco\.h5 sent is no HDF5 file, and was deleted"):
        utils.download_trained_weights(path, verbose=0)
    server.files.clear()
    with pytest.raises(OSError, match=r"coco\.h5 cannot be fetched: the server answers 404"):
        utils.download_trained_weights(path, verbose=0)
    assert not list(tmp_path.iterdir())
