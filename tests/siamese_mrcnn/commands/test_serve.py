"""`siamese-mrcnn serve` says early what cannot be."""

import socket
import sys

import pytest

from command_line import misunderstood, refused


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(capsys, taken_port):
    said = refused(capsys, "serve", "--port", taken_port, "--weights", "none")
    assert f"127.0.0.1 with port {taken_port} cannot be listened on" in said
    assert "--port" in said


def test_weights_and_photos_that_are_not_there_are_told(capsys, tmp_path):
    assert "no preset nothing" in refused(capsys, "serve", "--port", 0, "--weights", "nothing")
    said = refused(capsys, "serve", "--port", 0, "--photos", tmp_path)
    assert "holds no pictures" in said


def test_an_address_for_all_without_a_token_is_warned_of(capsys):
    said = refused(capsys, "serve", "--host", "0.0.0.0", "--port", 0, "--weights", "none")
    assert "can search and change the library, as there is no --token" in said
    said = refused(
        capsys, "serve", "--host", "0.0.0.0", "--port", 0, "--weights", "none", "--token", "x"
    )
    assert "--token" not in said


def test_what_is_missing_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'siamese-mask-rcnn[app]'" in refused(capsys, "serve")


def test_options_that_make_no_sense(capsys):
    assert "a whole number of at least 0" in misunderstood(capsys, "serve", "--port", "-1")
    assert "a whole number of at least 1" in misunderstood(capsys, "serve", "--queue", "0")
