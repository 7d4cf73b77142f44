"""`siamese-mrcnn download` against a server on this machine."""

import collections
import fcntl
import os
import shutil
import zipfile

import pytest

from coco_server import ALL, CONTENT, fetch, packed, refused, serving_coco
from folders import full_disk, tree
from mrcnn import resumable_download
from siamese_mrcnn import cli
from siamese_mrcnn.commands.data_sets.download import PARTS
from siamese_mrcnn.data import archive_download
from siamese_mrcnn.data import coco_download as downloads
from siamese_mrcnn.data.coco import CocoDataset

VAL = "val2017/000000000001.jpg"


def spans(server):
    return [span for _, span in server.asked]


def test_the_published_archives():
    assert tuple(downloads.ARCHIVES) == PARTS
    archives = downloads.ARCHIVES.values()
    assert [each.size for each in archives] == [19336861798, 815585330, 252907541]
    assert [each.count for each in archives] == [118287, 5000, 6]
    assert all(len(each.sha256) == 64 and int(each.sha256, 16) for each in archives)


def test_everything(server, data, capsys):
    assert fetch(server, data) == 0
    assert tree(data) == ALL and sorted(os.listdir(data)) == ["annotations", "train2017", "val2017"]
    out, err = capsys.readouterr()
    assert out.count("is complete.") == 3 and "kB to transfer." in out
    for archive in downloads.ARCHIVES.values():
        for work in ("Fetching", "Checking", "Unpacking"):
            assert f"{work} {archive.path.rpartition('/')[2]}" in err


def test_the_second_call_only_looks(server, data):
    fetch(server, data, "--parts", "annotations", "val")
    assert tree(data) == CONTENT["annotations"] | CONTENT["val"]
    fetch(server, data, "--parts", "train", "train")
    assert tree(data) == ALL
    server.asked.clear()
    (data / "annotations" / "mine.json").write_text("{}")  # more files do no harm
    assert fetch(server, data) == 0 and not server.asked
    (data / VAL).unlink()
    assert fetch(server, data) == 0
    assert server.asked == [("/zips/val2017.zip", "bytes=0-")]
    assert tree(data) == ALL | {"annotations/mine.json": b"{}"}


def test_archives_are_kept_and_used(server, data, capsys):
    assert fetch(server, data, "--keep-archives", "--parts", "val") == 0
    archive = {"val2017.zip": packed(CONTENT["val"])}
    assert tree(data) == CONTENT["val"] | archive
    server.asked.clear()
    (data / VAL).unlink()
    assert fetch(server, data, "--parts", "val") == 0  # an archive that was there stays
    assert not server.asked and tree(data) == CONTENT["val"] | archive
    (data / VAL).unlink()
    (data / "val2017.zip").write_bytes(b"half")
    text = refused(capsys, server, data, "--parts", "val")
    assert "val2017.zip is not the archive that was published" in text and "Move it away" in text
    assert (data / "val2017.zip").read_bytes() == b"half"


@pytest.mark.parametrize(
    ("module", "name", "call", "again"),
    [
        (resumable_download.http.client.HTTPResponse, "read", 10, ["bytes=9000-", "bytes=0-"]),
        (resumable_download.hashlib, "file_digest", 1, ["bytes=0-"]),
        (zipfile.ZipExtFile, "read", 7, ["bytes=0-"]),
        (archive_download.os, "sync", 1, ["bytes=0-"]),
        (archive_download.os, "replace", 9, ["bytes=0-"]),
        (archive_download.shutil, "rmtree", 1, ["bytes=0-"]),
    ],
)
def test_ctrl_c_at_any_time(server, data, capsys, monkeypatch, module, name, call, again):
    calls, function = [], getattr(module, name)

    def interrupted(*arguments, **others):
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments, **others)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, interrupted)
        assert fetch(server, data, "--parts", "train", "annotations") == 130
    assert f"What has arrived stays in {data}: run the same" in capsys.readouterr().err
    assert name in ("replace", "rmtree") or not (data / "train2017").exists()
    server.asked.clear()
    assert fetch(server, data, "--parts", "train", "annotations") == 0
    assert spans(server) == again
    assert tree(data) == CONTENT["train"] | CONTENT["annotations"]


def test_only_what_is_missing_is_unpacked(server, data, capsys, monkeypatch):
    (data / ".download" / "val2017").mkdir(parents=True)
    (data / "val2017").mkdir()
    first, second, third = CONTENT["val"]
    (data / first).write_bytes(CONTENT["val"][first])
    (data / ".download" / second).write_bytes(CONTENT["val"][second])
    (data / ".download" / third).write_bytes(b"half")  # of a process that was killed
    unpacked, extract = [], zipfile.ZipFile.extract
    monkeypatch.setattr(
        zipfile.ZipFile,
        "extract",
        lambda self, member, path: unpacked.append(member.filename) or extract(self, member, path),
    )
    assert fetch(server, data, "--parts", "val") == 0
    assert unpacked == [third] and tree(data) == CONTENT["val"]
    size = downloads.ARCHIVES["val"].size
    need = size + round(1.05 * size) - 2000 - 2000 - len(b"half")
    assert f"takes up to {need / 1000:.1f} kB more" in capsys.readouterr().out


def test_own_files_are_not_overwritten(server, data, capsys):
    mine = data / "annotations" / "instances_val2017.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own")
    text = refused(capsys, server, data, "--parts", "annotations")
    assert "instances_val2017.json is there already" in text
    assert mine.read_text() == "my own" and len(os.listdir(mine.parent)) == 1
    mine.unlink()
    mine.symlink_to("nowhere")
    assert "is there already" in refused(capsys, server, data, "--parts", "annotations")
    mine.unlink()
    assert fetch(server, data, "--parts", "annotations") == 0
    assert spans(server) == ["bytes=0-"]  # the archive had stayed
    assert "0 bytes to transfer" in capsys.readouterr().out


def test_one_download_at_a_time(server, data, capsys, monkeypatch):
    (data / ".download").mkdir(parents=True)
    with open(data / ".download" / "lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "Another download to" in refused(capsys, server, data)
    flock, work = fcntl.flock, data / ".download"
    with monkeypatch.context() as patch:  # the other one tidies up between opening and locking
        patch.setattr(fcntl, "flock", lambda *args: shutil.rmtree(work) or flock(*args))
        assert "Another download to" in refused(capsys, server, data)
    assert fetch(server, data) == 0


def test_what_makes_no_sense(data, capsys):
    for address in ("ftp://x/", "images.cocodataset.org", ""):
        assert cli.main(["download", "--data", str(data), "--base-url", address]) == 1
        assert "--base-url must start with http" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no part 'test', but train, val, annotations"):
        downloads.download(data, ["val", "test"])
    assert not data.exists()


def test_publisher_and_folder_by_default(monkeypatch, tmp_path, capsys):
    def nothing(url, path, *others):
        raise OSError(f"{url} to {path}")

    monkeypatch.setattr(archive_download, "fetch", nothing)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Disk(10**12, 0, 10**12))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["download"]) == 1
    out, err = capsys.readouterr()
    assert "http://images.cocodataset.org/zips/train2017.zip to data/coco/.download/train" in err
    assert "20.4 GB to transfer. data/coco takes up to 39.6 GB more" in out


Disk = collections.namedtuple("Disk", "total used free")


@pytest.mark.parametrize("keep", [False, True])
def test_the_room_that_is_needed(server, data, capsys, monkeypatch, keep):
    train, val, labels = (each.size for each in downloads.ARCHIVES.values())
    server.script = [{"stop_after": 30000}, {"status": 500}]
    assert "30,000 of" in refused(capsys, server, data)
    unpacked = [round(1.05 * train), round(1.05 * val), 4 * labels]
    need = sum(unpacked) + train + val + labels if keep else train + unpacked[0]
    options = ["--keep-archives"] if keep else []
    free = [need - 30000 - 1]
    monkeypatch.setattr("shutil.disk_usage", lambda path: Disk(10**12, 0, free[0]))
    text = refused(capsys, server, data, *options)
    assert f"The disk of {data} has" in text and "Free 1 byte, or" in text
    free[0] += 1
    assert fetch(server, data, *options) == 0
    end = sum(unpacked) - 30000 + (train + val + labels) * keep
    assert f" while unpacking and {end / 1000:.1f} kB more in the end; " in capsys.readouterr().out


def test_a_full_disk(server, data, capsys):
    with full_disk(30000):
        text = refused(capsys, server, data, "--parts", "train")
    assert f"{data}/.download/train2017.zip.part: " in text and "free some space" in text
    (data / "val2017.zip").write_bytes(packed(CONTENT["val"]))
    with full_disk(1000):
        text = refused(capsys, server, data, "--parts", "val")
    assert text.startswith(f"{data}: ") and "What is there stays; free some space" in text
    assert fetch(server, data, "--parts", "train", "val") == 0
    assert spans(server) == ["bytes=0-", "bytes=30000-"]


def test_the_folder_can_be_trained_on(data, shapes_folder, monkeypatch):
    drawn, content = tree(shapes_folder), collections.defaultdict(dict)
    for part, archive in downloads.ARCHIVES.items():
        folder = archive.files.partition("/")[0]
        content[part] = {name: drawn[name] for name in drawn if name.startswith(folder)}
    with serving_coco(monkeypatch, content) as server:
        assert fetch(server, data) == 0
    assert CocoDataset.from_folder(data, "test").num_images == 8
