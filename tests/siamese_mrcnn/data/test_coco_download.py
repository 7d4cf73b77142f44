"""`siamese-mrcnn download` against a server on this machine."""

import fcntl
import json
import os

import pytest

from coco_server import ALL, CONTENT, fetch, packed, refused, size_of, without_record
from folders import tree
from mrcnn import resumable_download
from siamese_mrcnn import cli
from siamese_mrcnn.commands.download import PARTS
from siamese_mrcnn.data import archive_delivery, archive_unpacking
from siamese_mrcnn.data import coco_download as downloads
from siamese_mrcnn.data.coco import CocoDataset


def test_the_published_archives():
    assert tuple(downloads.ARCHIVES) == PARTS
    sizes = [archive.size for archive in downloads.ARCHIVES.values()]
    assert sizes == [19336861798, 815585330, 252907541]
    for archive in downloads.ARCHIVES.values():
        assert len(archive.sha256) == 64 and set(archive.sha256) <= set("0123456789abcdef")
        assert archive.path.split("/")[0] in ("zips", "annotations")
    assert len({archive.sha256 for archive in downloads.ARCHIVES.values()}) == 3


def test_everything(server, data, capsys):
    assert fetch(server, data) == 0
    assert without_record(data) == ALL  # no archive, nothing unfinished
    out, err = capsys.readouterr()
    for part in PARTS:
        assert f"/{downloads.ARCHIVES[part].name}: " in out
        for work in ("Fetching", "Checking", "Unpacking"):
            assert f"{work} {downloads.ARCHIVES[part].name}" in err
    assert out.count("is complete.") == 3 and "to transfer in all." in out


def test_the_second_call_only_looks(server, data, capsys):
    fetch(server, data)
    server.asked.clear()
    assert fetch(server, data) == 0 and not server.asked
    (data / "annotations" / "mine.json").write_text("{}")  # more files do no harm
    assert fetch(server, data) == 0 and not server.asked
    (data / "val2017" / "000000000001.jpg").unlink()
    assert fetch(server, data) == 0
    assert [path for method, path, *_ in server.asked if method == "GET"] == ["/zips/val2017.zip"]
    assert without_record(data) == ALL | {"annotations/mine.json": b"{}"}
    record = (data / "download.json").read_text()
    old = downloads.ARCHIVES["val"].sha256
    (data / "download.json").write_text(record.replace(old, "another"))
    server.asked.clear()
    assert fetch(server, data) == 0 and len(server.gets()) == 1
    assert (data / "download.json").read_text() == record
    (data / "download.json").write_text("{damaged")
    assert fetch(server, data, "--parts", "val") == 0
    assert json.loads((data / "download.json").read_text()).keys() == {"val2017"}


def test_parts(server, data):
    assert fetch(server, data, "--parts", "annotations", "val") == 0
    assert without_record(data) == CONTENT["val"] | CONTENT["annotations"]
    assert fetch(server, data, "--parts", "train", "train") == 0
    assert without_record(data) == ALL


def test_archives_are_kept_and_used(server, data):
    assert fetch(server, data, "--keep-archives", "--parts", "val") == 0
    archive = data / "val2017.zip"
    assert without_record(data) == CONTENT["val"] | {"val2017.zip": packed(CONTENT["val"])}
    server.asked.clear()
    (data / "val2017" / "000000000001.jpg").unlink()
    assert fetch(server, data, "--parts", "val") == 0  # an archive that was there stays
    assert not server.asked and archive.exists() and (data / "val2017/000000000001.jpg").exists()


def test_an_archive_that_is_another_is_not_touched(server, data, capsys):
    data.mkdir()
    (data / "val2017.zip").write_bytes(packed(CONTENT["train"] | CONTENT["val"]))
    text = refused(capsys, server, data, "--parts", "val")
    assert "val2017.zip is not the archive that was published" in text and "Move it away" in text
    (data / "val2017.zip").write_bytes(b"half")
    assert "val2017.zip is damaged at the list of its members" in refused(
        capsys, server, data, "--parts", "val"
    )
    assert tree(data) == {"val2017.zip": b"half"}


def test_a_broken_transfer_goes_on(server, data, capsys):
    server.script = [{"stop_after": 30000}, {"status": 500}]
    text = refused(capsys, server, data)
    assert "broke off" in text and "Try again to go on" in text
    part = data / ".download" / "train2017.zip.part"
    assert part.stat().st_size == 30000 and not (data / "train2017").exists()
    server.asked.clear()
    assert fetch(server, data) == 0
    assert server.gets() == ["bytes=30000-", None, None]
    assert "(30.0 kB are here already)" in capsys.readouterr().out
    assert without_record(data) == ALL


def test_a_hiccup_is_told(server, data, capsys):
    server.script = [{"stop_after": 30000}]
    assert fetch(server, data, "--parts", "train") == 0
    assert "it goes on in 0 s" in capsys.readouterr().err
    assert without_record(data) == CONTENT["train"]


def interrupt(monkeypatch, module, name, call):
    """Press Ctrl-C at the given call of a function."""
    calls, function = [], getattr(module, name)

    def wrapped(*arguments, **others):
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments, **others)

    monkeypatch.setattr(module, name, wrapped)


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (resumable_download.http.client.HTTPResponse, "read", 10),
        (archive_unpacking.zipfile.ZipExtFile, "read", 7),
        (archive_unpacking.os, "replace", 9),
        (archive_delivery.hashlib, "file_digest", 1),
        (downloads, "_record", 1),
        (archive_delivery.Delivery, "clear", 1),
    ],
)
def test_ctrl_c_at_any_time(server, data, capsys, monkeypatch, module, name, call):
    with monkeypatch.context() as patch:
        interrupt(patch, module, name, call)
        assert fetch(server, data, "--parts", "train", "annotations") == 130
    text = capsys.readouterr().err
    assert f"What has arrived stays in {data}: run the same command again" in text
    assert "Traceback" not in text
    before = len(server.gets())
    assert fetch(server, data, "--parts", "train", "annotations") == 0
    again = server.gets()[before:]
    assert again == (["bytes=9000-", None] if name == "read" and call == 10 else [None])
    assert without_record(data) == CONTENT["train"] | CONTENT["annotations"]


def test_what_comes_is_another_file(server, data, capsys):
    path = "/zips/val2017.zip"
    good, server.files[path] = server.files[path], bytes(size_of("val"))
    text = refused(capsys, server, data, "--parts", "val")
    assert "its sha256 is another" in text and "It was deleted" in text
    assert not data.exists() or tree(data) == {}
    server.files[path] = good
    assert fetch(server, data, "--parts", "val") == 0


def test_another_size_is_refused_before_anything_is_fetched(server, data, capsys):
    server.files["/annotations/annotations_trainval2017.zip"] += b"more"
    text = refused(capsys, server, data)
    assert "should be a file of" in text and "Check the address" in text
    assert server.gets() == []


def test_nothing_there(server, data, capsys):
    server.files.clear()
    assert "answers 404" in refused(capsys, server, data)
    assert server.gets() == []


def test_a_poisoned_archive(server, data, capsys, tmp_path):
    server.publish("val", packed(CONTENT["val"] | {"../../evil.txt": b"evil"}))
    text = refused(capsys, server, data, "--parts", "val")
    assert "its member '../../evil.txt' has a path that leads elsewhere" in text
    assert not (data / "val2017").exists()
    assert not list(tmp_path.rglob("evil.txt")) and not list(tmp_path.parent.glob("evil.txt"))


def test_a_damaged_member(server, data, capsys):
    good = packed(CONTENT["val"])
    picture = CONTENT["val"]["val2017/000000000001.jpg"]
    server.publish("val", good.replace(picture, bytes(len(picture))))
    text = refused(capsys, server, data, "--parts", "val")
    assert "is damaged at val2017/000000000001.jpg" in text and "It was deleted" in text
    assert not (data / "val2017").exists() and not list(data.rglob("*.zip"))
    server.publish("val", good)
    assert fetch(server, data, "--parts", "val") == 0
    assert without_record(data) == CONTENT["val"]


def test_an_archive_of_something_else(server, data, capsys):
    server.publish("val", packed(CONTENT["train"]))
    assert "holds no files of val2017/" in refused(capsys, server, data, "--parts", "val")
    assert not (data / "train2017").exists()


def test_own_files_are_not_overwritten(server, data, capsys):
    (data / "annotations").mkdir(parents=True)
    mine = data / "annotations" / "instances_val2017.json"
    mine.write_text("my own")
    text = refused(capsys, server, data, "--parts", "annotations")
    assert "instances_val2017.json is there already" in text
    assert mine.read_text() == "my own" and len(list(mine.parent.iterdir())) == 1
    mine.unlink()
    server.asked.clear()
    assert fetch(server, data, "--parts", "annotations") == 0
    assert server.asked == []  # the archive had stayed


def test_one_download_at_a_time(server, data, capsys):
    (data / ".download").mkdir(parents=True)
    with open(data / ".download" / "lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "Another download to" in refused(capsys, server, data)
    assert fetch(server, data) == 0


@pytest.mark.parametrize(
    "address", ["ftp://x/", "file:///etc", "images.cocodataset.org", "http://", "http://[x", ""]
)
def test_addresses_that_make_no_sense(address, data, capsys):
    assert cli.main(["download", "--data", str(data), "--base-url", address]) == 1
    assert "--base-url must be an address that starts with http" in capsys.readouterr().err
    assert not data.exists()


def test_parts_that_make_no_sense(data, capsys):
    with pytest.raises(SystemExit):
        cli.main(["download", "--data", str(data), "--parts", "test"])
    assert "invalid choice: 'test'" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"no part .test. to download\. There are: train, val"):
        downloads.download(data, ["val", "test"])


def test_publisher_and_folder_by_default(monkeypatch, tmp_path, capsys):
    asked = []

    def require_file(url, size):
        asked.append(url)
        if len(asked) == 3:
            raise resumable_download.TransferError("The test goes no further.")

    monkeypatch.setattr(resumable_download, "require_file", require_file)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["download"]) == 1
    assert asked == [
        "http://images.cocodataset.org/zips/train2017.zip",
        "http://images.cocodataset.org/zips/val2017.zip",
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    ]
    out, err = capsys.readouterr()
    assert "train2017.zip: 19.3 GB to transfer." in out and "goes no further" in err
    assert os.listdir(tmp_path / "data" / "coco") == []


def test_the_folder_can_be_trained_on(server, data, shapes_folder):
    drawn = tree(shapes_folder)
    for part, archive in downloads.ARCHIVES.items():
        files = {
            name: content for name, content in drawn.items() if name.startswith(archive.folder)
        }
        server.publish(part, packed(files))
    assert fetch(server, data) == 0
    assert CocoDataset.from_folder(data, "test").num_images == 8
