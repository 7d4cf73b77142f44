"""Transfers from a server that breaks off, changes its mind, or has something else."""

import json
import socket

import numpy as np
import pytest

from file_server import serving
from mrcnn import resumable_download
from mrcnn.resumable_download import TransferError, arrived, fetch, forget, require_file

SIZE = 5000


def content(seed=0):
    return np.random.default_rng(seed).bytes(SIZE)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(resumable_download, "WAITS", (0, 0))
    monkeypatch.setattr(resumable_download, "CHUNK", 512)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with serving({"/data.zip": content()}) as running:
        yield running


@pytest.fixture
def part(tmp_path):
    return tmp_path / "data.zip.part"


def bring(server, part, **others):
    fetch(f"{server.url}/data.zip", part, SIZE, **others)
    return part.read_bytes()


def break_off(server, part, after=2000):
    """One call that gives up with the first bytes of the file."""
    server.script = [{"stop_after": after}, {"status": 503}, {"status": 503}]
    with pytest.raises(TransferError):
        bring(server, part)
    server.asked.clear()
    assert arrived(part) == after


def test_a_whole_file(server, part):
    seen = []
    assert bring(server, part, moved=seen.append) == content()
    assert seen[0] == 0 and seen[-1] == SIZE and seen == sorted(seen) and len(seen) > 5
    assert server.gets() == [None]
    assert bring(server, part) == content()
    assert server.gets() == [None]  # nothing is asked for twice


def test_a_transfer_goes_on_at_once(server, part):
    server.script = [{"stop_after": 700}, {"stop_after": 300}]
    said = []
    assert bring(server, part, say=said.append) == content()
    assert server.gets() == [None, "bytes=700-", "bytes=1000-"]
    assert server.asked[1][3] == '"first"'
    assert len(said) == 2 and "stopped after 700 of 5,000 bytes" in said[0]


def test_a_transfer_goes_on_in_the_next_call(server, part):
    break_off(server, part)
    seen = []
    assert bring(server, part, moved=seen.append) == content()
    assert server.gets() == ["bytes=2000-"] and seen[0] == 2000


def test_it_gives_up_with_a_sentence(server, part):
    server.script = [{"stop_after": 600}, {"status": 503}, {"status": 503}]
    with pytest.raises(TransferError) as failure:
        bring(server, part)
    text = str(failure.value)
    assert "broke off (the server answers 503" in text and "600 of 5,000 bytes are in" in text
    assert text.endswith("Try again to go on from there.")
    assert len(server.gets()) == 3 and part.read_bytes() == content()[:600]


def test_new_bytes_give_new_tries(server, part):
    server.script = [{"stop_after": 600}, {"status": 503}, {"stop_after": 600}, {"status": 503}]
    assert bring(server, part) == content()
    assert server.gets()[-1] == "bytes=1200-"


def test_range_ignored_starts_anew(server, part):
    break_off(server, part)
    server.script = [{"whole": True}]
    assert bring(server, part) == content()
    assert server.gets() == ["bytes=2000-"]


def test_range_ignored_and_always_broken_off_comes_to_an_end(server, part):
    server.script = [{"whole": True, "stop_after": 900}] * 50
    with pytest.raises(TransferError, match="900 of 5,000"):
        bring(server, part)
    assert len(server.gets()) == 3


@pytest.mark.parametrize("by", ["tag", "date"])
def test_a_changed_file_starts_anew(server, part, by):
    if by == "date":
        server.tag, server.date = 'W/"weak"', "Sat, 01 Jan 2022 00:00:00 GMT"
    break_off(server, part)
    server.files["/data.zip"] = content(1)
    setattr(server, by, '"second"' if by == "tag" else "Sun, 02 Jan 2022 00:00:00 GMT")
    assert bring(server, part) == content(1)
    assert server.asked[-1][2:] == (
        "bytes=2000-",
        '"first"' if by == "tag" else "Sat, 01 Jan 2022 00:00:00 GMT",
    )


def test_a_new_version_that_breaks_off_is_gone_on_with(server, part):
    break_off(server, part)
    server.files["/data.zip"], server.tag = content(1), '"second"'
    break_off(server, part, 900)
    assert bring(server, part) == content(1)
    assert server.gets() == ["bytes=900-"]


def test_without_a_version_only_the_size_is_compared(server, part):
    server.tag = None
    break_off(server, part)
    assert bring(server, part) == content()
    assert server.asked[-1][2:] == ("bytes=2000-", None)


def test_another_address_goes_on_too(server, part):
    break_off(server, part)
    with serving({"/data.zip": content()}) as mirror:
        mirror.tag = '"of the mirror"'
        assert bring(mirror, part) == content()
        assert mirror.asked[-1][2:] == ("bytes=2000-", None)


@pytest.mark.parametrize("note", ["{", "[]", "{}", None])
def test_a_damaged_note_is_done_without(server, part, note):
    break_off(server, part)
    path = part.with_name("data.zip.part.json")
    assert json.loads(path.read_text())["version"] == '"first"'
    path.write_text(note) if note else path.unlink()
    assert bring(server, part) == content()
    assert server.asked[-1][2:] == ("bytes=2000-", None)


@pytest.mark.parametrize("piece", ["bytes 1999-4999/5000", "bytes 2000-4999/6000", "nonsense"])
def test_another_piece_than_asked_for_is_not_used(server, part, piece):
    break_off(server, part)
    server.script = [{"headers": {"Content-Range": piece}}]
    assert bring(server, part) == content()
    assert server.gets() == ["bytes=2000-", None]


def test_a_file_that_became_shorter(server, part):
    server.tag = None
    break_off(server, part)
    server.script = [{"body": content()[:1500]}]  # answered by 416: it ends before
    assert bring(server, part) == content()
    assert server.gets() == ["bytes=2000-", None]


def test_too_many_bytes_are_thrown_away(server, part):
    part.write_bytes(bytes(SIZE + 1))
    assert bring(server, part) == content()
    assert server.gets() == [None]


def test_a_login_page_does_not_cost_what_has_arrived(server, part):
    break_off(server, part)
    for length in ({}, {"Content-Length": None}):
        page = {"body": b"<html>", "whole": True, "headers": {"Content-Type": "text/html"} | length}
        server.script = [page]
        with pytest.raises(TransferError, match=r"server sends text/html of (6|unknown) bytes"):
            bring(server, part)
        assert part.read_bytes() == content()[:2000]


def test_a_wrong_length(server, part):
    server.script = [{"headers": {"Content-Length": SIZE + 7}}]
    with pytest.raises(TransferError, match="should be a file of 5,000 bytes"):
        bring(server, part)
    server.script = [{"headers": {"Content-Length": None}, "body": bytes(SIZE + 7)}]
    with pytest.raises(TransferError, match="sent more than the 5,000 bytes"):
        bring(server, part)
    assert arrived(part) == 0


def test_missing_files_are_not_asked_for_twice(server, part):
    with pytest.raises(TransferError, match=r"nothing\.zip cannot be fetched: .* answers 404"):
        fetch(f"{server.url}/nothing.zip", part, SIZE)
    with pytest.raises(TransferError, match="answers 404"):
        require_file(f"{server.url}/nothing.zip", SIZE)
    assert [method for method, *_ in server.asked] == ["GET", "HEAD"]


def test_a_server_that_goes_silent(server, part, monkeypatch):
    monkeypatch.setattr(resumable_download, "TIMEOUT", 0.2)
    server.script = [{"stop_after": 1024, "hang": True}]
    assert bring(server, part) == content()
    assert server.gets() == [None, "bytes=1024-"]


def test_looking_first(server):
    url = f"{server.url}/data.zip"
    require_file(url, SIZE)
    server.knows_head = False
    require_file(url, SIZE)
    with pytest.raises(TransferError, match=r"of 4,999 bytes, but the server sends application"):
        require_file(url, SIZE - 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        port = unused.getsockname()[1]
        with pytest.raises(TransferError, match=r"cannot be reached .*refused.*Check the connec"):
            require_file(f"http://127.0.0.1:{port}/data.zip", SIZE)


def test_a_full_disk_is_no_broken_transfer(server, part, monkeypatch):
    full = OSError(28, "No space left on device")

    def chunks(response):
        yield response.read(100)
        raise full

    monkeypatch.setattr(resumable_download, "_chunks", chunks)
    with pytest.raises(OSError) as failure:
        bring(server, part)
    assert failure.value is full and arrived(part) == 100 and server.gets() == [None]


def test_forgetting(server, part, tmp_path):
    break_off(server, part)
    forget(part)
    assert list(tmp_path.iterdir()) == []
    forget(part)
