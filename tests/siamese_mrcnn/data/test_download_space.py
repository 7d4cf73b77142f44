"""How much of the disk `siamese-mrcnn download` needs: planned, told, kept to, and run out of."""

import collections
import io
import zipfile

from coco_server import ALL, CONTENT, fetch, refused, size_of, without_record
from mrcnn import resumable_download
from siamese_mrcnn.commands.download import PARTS
from siamese_mrcnn.data import archive_unpacking

BLOCK = 4096

Disk = collections.namedtuple("Disk", "total used free")


def free(monkeypatch, *amounts):
    """Let the disk say in turn how much is free; the last number for ever."""
    left = list(amounts)

    def usage(path):
        return Disk(10**12, 0, left.pop(0) if len(left) > 1 else left[0])

    monkeypatch.setattr("shutil.disk_usage", usage)


def test_the_plan_says_what_is_needed(server, data, capsys, monkeypatch):
    train, val, labels = (size_of(part) for part in PARTS)
    # the largest archive and what it unpacks to, while the others are not there yet
    need = train + round(1.05 * train)
    end = round(1.05 * train) + round(1.05 * val) + 4 * labels
    free(monkeypatch, need - 1)
    text = refused(capsys, server, data)
    assert text.startswith(f"The disk of {data} has {(need - 1) / 1000:.1f} kB left, but ")
    assert "Free 1 byte, or choose another folder or fewer parts." in text
    assert server.gets() == []
    free(monkeypatch, need)
    assert fetch(server, data) == 0
    out = capsys.readouterr().out
    assert f"{(train + val + labels) / 1000:.1f} kB to transfer in all." in out
    assert f"up to {need / 1000:.1f} kB more of its disk while unpacking" in out
    assert f"and {end / 1000:.1f} kB more in the end" in out
    assert f"{need / 1000:.1f} kB are free" in out


def test_the_disk_never_holds_more_than_twice_the_data(server, data, monkeypatch):
    sizes, read = [], zipfile.ZipExtFile.read

    def measured(*arguments):
        sizes.append(sum(path.stat().st_size for path in data.rglob("*")))
        return read(*arguments)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", measured)
    assert fetch(server, data) == 0
    assert len(sizes) > 25 and max(sizes) < 2 * sum(map(len, ALL.values()))


def test_kept_archives_need_more(server, data, capsys, monkeypatch):
    train, val, labels = (size_of(part) for part in PARTS)
    need = train + val + labels + round(1.05 * train) + round(1.05 * val) + 4 * labels
    free(monkeypatch, need - 1)
    assert "Free 1 byte" in refused(capsys, server, data, "--keep-archives")
    free(monkeypatch, need)
    assert fetch(server, data, "--keep-archives") == 0


def test_what_has_arrived_needs_no_space_again(server, data, capsys, monkeypatch):
    server.script = [{"stop_after": 30000}, {"status": 500}]
    refused(capsys, server, data, "--parts", "train")
    need = size_of("train") - 30000 + round(1.05 * size_of("train"))
    free(monkeypatch, need - 1)
    assert "Free 1 byte" in refused(capsys, server, data, "--parts", "train")
    free(monkeypatch, need, need, 20 * BLOCK - 1)
    text = refused(capsys, server, data, "--parts", "train")  # the exact number of whole blocks
    assert "to unpack train2017.zip. Free 1 byte" in text
    free(monkeypatch, 20 * BLOCK)
    assert fetch(server, data, "--parts", "train") == 0


def test_what_is_in_place_needs_no_space_again(server, data, capsys, monkeypatch):
    fetch(server, data, "--parts", "val")
    (data / "val2017" / "000000000001.jpg").unlink()
    need = size_of("val") + round(1.05 * size_of("val")) - 2 * 2000
    free(monkeypatch, need - 1)
    assert "Free 1 byte" in refused(capsys, server, data, "--parts", "val")
    free(monkeypatch, need)
    assert fetch(server, data, "--parts", "val") == 0


def test_a_disk_that_fills_up(server, data, capsys, monkeypatch):
    class Full(io.FileIO):
        def write(self, content):
            raise OSError(28, "No space left on device")

    for module in (resumable_download, archive_unpacking):
        with monkeypatch.context() as patch:
            patch.setattr(
                module,
                "open",
                lambda path, mode="r": open(path, mode) if mode == "rb" else Full(path, mode),
                raising=False,
            )
            text = refused(capsys, server, data, "--parts", "train")
        assert text.startswith(f"The disk of {data} is full (") and "run the same command" in text
    server.asked.clear()
    assert fetch(server, data, "--parts", "train") == 0
    assert server.asked == []  # all had arrived before the second time
    assert without_record(data) == CONTENT["train"]
