"""Fetching weights from a server on this machine that misbehaves as told."""

import hashlib

import pytest

from file_server import serving
from mrcnn import resumable_download, utils
from mrcnn.weights import coco as downloads

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(resumable_download, "WAITS", ())
    monkeypatch.setenv("no_proxy", "*")
    with serving({"/coco.h5": CONTENT}) as server:
        monkeypatch.setattr(downloads, "COCO_MODEL_URL", f"{server.url}/coco.h5")
        monkeypatch.setattr(downloads, "COCO_MODEL_SIZE", len(CONTENT))
        monkeypatch.setattr(downloads, "COCO_MODEL_MD5", hashlib.md5(CONTENT).hexdigest())
        yield server


def test_the_file_arrives_whole(server, tmp_path, capsys):
    path = tmp_path / "new" / "mask_rcnn_coco.h5"
    utils.download_trained_weights(str(path), verbose=0)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert capsys.readouterr() == ("", "")
    utils.download_trained_weights(path)
    assert "mask_rcnn_coco.h5" in capsys.readouterr().err
    assert server.asked == [("/coco.h5", "bytes=0-")]  # it was there


def test_the_address_is_that_of_the_release():
    assert utils.COCO_MODEL_URL.endswith(
        "matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
    )
    assert round(downloads.COCO_MODEL_SIZE / 2**20) == 246


def test_a_broken_transfer_goes_on(server, tmp_path):
    path = tmp_path / "coco.h5"
    path.write_bytes(b"an older file")
    server.script = [{"stop_after": 5000}]
    with pytest.raises(OSError, match=r"broke off.*5,000 of 10,240 bytes are in .*coco\.h5\.part"):
        utils.download_trained_weights(path, verbose=0)
    assert path.read_bytes() == b"an older file"
    utils.download_trained_weights(path, verbose=0)
    assert path.read_bytes() == CONTENT and server.asked[-1] == ("/coco.h5", "bytes=5000-")
    assert list(tmp_path.iterdir()) == [path]
