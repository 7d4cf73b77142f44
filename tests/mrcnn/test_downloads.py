"""Fetching weights from a server on this machine that misbehaves as told."""

import pytest

from file_server import serving
from mrcnn import downloads, utils

CONTENT = downloads.HDF5_SIGNATURE + bytes(range(256)) * 40


@pytest.fixture
def server(monkeypatch):
    with serving({"/coco.h5": CONTENT, "/page.h5": b"<html>Log in first"}) as server:
        monkeypatch.setattr(downloads, "COCO_MODEL_URL", f"{server.url}/coco.h5")
        yield server


def test_the_file_arrives_whole(server, tmp_path, capsys):
    path = tmp_path / "new" / "mask_rcnn_coco.h5"
    utils.download_trained_weights(str(path), verbose=0)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert not capsys.readouterr().out
    utils.download_trained_weights(path)
    assert "mask_rcnn_coco.h5.part" in capsys.readouterr().out


def test_the_address_is_that_of_the_release():
    assert utils.COCO_MODEL_URL.endswith(
        "matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
    )


@pytest.mark.parametrize("whole", [False, True])
def test_a_broken_transfer_goes_on(server, tmp_path, whole):
    path = tmp_path / "coco.h5"
    path.write_bytes(b"an older file")
    server.script = [{"stop_after": 5000}, {"whole": whole}]
    with pytest.raises(OSError, match=r"broke off .*; what arrived is in .*coco\.h5\.part"):
        utils.download_trained_weights(path, verbose=0)
    assert path.read_bytes() == b"an older file"
    utils.download_trained_weights(path, verbose=0)
    assert path.read_bytes() == CONTENT
    assert server.gets() == [None, "bytes=5000-"]


def test_a_part_of_something_longer_is_fetched_anew(server, tmp_path):
    path = tmp_path / "coco.h5"
    path.with_name("coco.h5.part").write_bytes(bytes(len(CONTENT)))
    utils.download_trained_weights(path, verbose=0)
    assert path.read_bytes() == CONTENT


def test_refusals_are_told(server, tmp_path):
    path = tmp_path / "coco.h5"
    with pytest.raises(OSError, match=r"missing\.h5 cannot be fetched: the server answers 404"):
        downloads.fetch_hdf5(f"{server.url}/missing.h5", path, verbose=0)
    with pytest.raises(OSError, match=r"page\.h5 sent is no HDF5 file, and was deleted"):
        downloads.fetch_hdf5(f"{server.url}/page.h5", path, verbose=0)
    assert not list(tmp_path.iterdir())
