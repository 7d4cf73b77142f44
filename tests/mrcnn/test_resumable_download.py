"""Transfers from a server that breaks off, changes its mind, or has something else."""

import hashlib
import socket
from types import SimpleNamespace

import numpy as np
import pytest

from file_server import serving
from folders import full_disk, tree
from mrcnn import resumable_download
from mrcnn.progress import byte_bar
from mrcnn.resumable_download import arrived, fetch

SIZE = 5000
CONTENT = np.random.default_rng(0).bytes(SIZE)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(resumable_download, "WAITS", (0, 0))
    monkeypatch.setattr(resumable_download, "CHUNK", 512)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with serving({"/data.zip": CONTENT}) as running:
        yield running


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "data.zip"


def bring(server, path, algorithm="sha256", name="data.zip"):
    """Fetch the file; what the server was asked for."""
    server.asked.clear()
    with byte_bar() as bar:
        fetch(f"{server.url}/{name}", path, SIZE, hashlib.new(algorithm, CONTENT).hexdigest(), bar)
    assert tree(path.parent) == {path.name: CONTENT}
    return [span for _, span in server.asked]


def break_off(server, path, after=2000):
    """One call that gives up with the first bytes of the file."""
    server.script = [{"stop_after": after}, {"status": 503}, {"status": 503}]
    with pytest.raises(OSError, match=rf"503.* {after:,} of 5,000 bytes are in .*zip\.part\. Try"):
        bring(server, path)
    assert arrived(path) == after and len(server.asked) == 3


def test_a_whole_file(server, path, capsys):
    assert bring(server, path) == ["bytes=0-"]
    assert "Fetching data.zip" in capsys.readouterr().err
    assert bring(server, path, "md5") == []  # it is there
    path.write_bytes(bytes(SIZE))
    assert bring(server, path) == ["bytes=0-"]  # another was there


def test_a_transfer_goes_on(server, path, capsys):
    break_off(server, path)
    assert bring(server, path) == ["bytes=2000-"]
    path.unlink()
    server.script = [{"stop_after": 600}, {"status": 503}, {"stop_after": 600}, {"status": 503}]
    assert bring(server, path) == [f"bytes={start}-" for start in (0, 600, 600, 1200, 1200)]
    assert "data.zip broke off. It goes on in 0 s." in capsys.readouterr().err


def test_a_server_that_only_sends_all(server, path):
    break_off(server, path)
    server.script = [{"whole": True}]
    assert bring(server, path) == ["bytes=2000-"]
    path.unlink()
    server.script = [{"whole": True, "stop_after": 900}] * 50
    with pytest.raises(OSError, match=r"broke off\. 900 of 5,000"):  # and not for ever
        bring(server, path)
    assert len(server.asked) == 3


@pytest.mark.parametrize("whole", [True, False])
def test_another_size_does_not_cost_what_has_arrived(server, path, whole):
    break_off(server, path)
    server.script = [{"body": b"<html>" * 400, "whole": whole}]
    with pytest.raises(
        OSError, match=r"a file of 5,000 bytes, but the server sends .*2400\. Check"
    ):
        bring(server, path)
    assert bring(server, path) == ["bytes=2000-"]


def test_another_content_is_deleted(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    server.script = [{"body": bytes(SIZE)}]
    with pytest.raises(OSError, match=r"its checksum is another\. It was deleted"):
        bring(server, path)
    assert tree(path.parent) == {"data.zip": b"mine"}
    assert bring(server, path) == ["bytes=0-"]


def test_a_missing_file_is_asked_for_once(server, path):
    with pytest.raises(OSError, match=r"nothing\.zip: the server answers 404"):
        bring(server, path, name="nothing.zip")
    assert len(server.asked) == 1 and tree(path.parent) == {}


def test_a_server_that_goes_silent(server, path, monkeypatch):
    monkeypatch.setattr(resumable_download, "TIMEOUT", 0.2)
    server.script = [{"stop_after": 1024, "hang": True}]
    assert bring(server, path) == ["bytes=0-", "bytes=1024-"]


def test_nobody_listens(server, path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(OSError, match=r"data\.zip cannot be reached \(.*refused"):
            bring(server, path)


def test_a_full_disk(server, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=SIZE - 1))
        with pytest.raises(OSError, match=r"has 5\.0 kB left, .*Free 1 byte, or choose another"):
            bring(server, path)
    assert not server.asked
    with full_disk(2000), pytest.raises(OSError, match=r"data\.zip\.part: .* free some space"):
        bring(server, path)
    assert len(server.asked) == 1 and arrived(path) == 2000
    assert bring(server, path) == ["bytes=2000-"]
