"""Archives are looked through before anything is unpacked, and unpacked whole or not at all."""

import os
import stat
import zipfile
import zlib

import numpy as np
import pytest

from folders import tree
from siamese_mrcnn.data import archive_unpacking
from siamese_mrcnn.data.archive_unpacking import ArchiveError, DamagedArchiveError, Unpacking

FILES = {
    "train2017/a.jpg": np.random.default_rng(0).bytes(5000),
    "train2017/b.jpg": b"",
    "train2017/deep/c.json": b"text " * 1000,
}


@pytest.fixture
def places(tmp_path):
    """Archive, folder and staging folder; the folder holds a file that is nobody's business."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    return tmp_path / "x.zip", folder, folder / ".staging"


def write(path, files, method=zipfile.ZIP_DEFLATED):
    """Write an archive; files is {name or ZipInfo: content}."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def entry(name, mode=0, maker=3):
    """A member of any name and Unix mode."""
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    info.external_attr, info.create_system = mode << 16, maker
    return info


def unpacked():
    return {"mine.txt": b"mine", **FILES}


def damage(path, data, change):
    """Change a stored member's content inside the archive, behind the back of its checksum."""
    whole = path.read_bytes()
    assert whole.count(data) == 1
    path.write_bytes(whole.replace(data, change))


@pytest.mark.parametrize("method", archive_unpacking.METHODS)
def test_unpacks(places, method):
    archive, folder, staging = places
    write(archive, {"train2017/": b"", **FILES}, method)
    done = []
    unpacking = Unpacking(*places)
    assert unpacking.size == 10000
    assert unpacking.missing() == 8192 + 0 + 8192  # whole blocks
    unpacking.run(done.append)
    assert tree(folder) == unpacked() and not staging.exists()
    assert sum(done) == 10000 and unpacking.missing() == 0


def test_again_changes_nothing(places):
    archive, folder, _ = places
    write(archive, FILES)
    Unpacking(*places).run()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.j*")}
    done = []
    Unpacking(*places).run(done.append)
    assert sum(done) == 10000 and tree(folder) == unpacked()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.j*")} == before


@pytest.mark.parametrize(
    ("name", "mode", "fault"),
    [
        ("/etc/passwd", 0, "absolute path"),
        ("//host/x", 0, "absolute path"),
        ("C:/x", 0, "absolute path"),
        ("c:x", 0, "absolute path"),
        ("../x", 0, "leads elsewhere"),
        ("train2017/../../x", 0, "leads elsewhere"),
        ("train2017/..", 0, "leads elsewhere"),
        ("../", 0, "leads elsewhere"),
        ("./train2017/x", 0, "leads elsewhere"),
        ("train2017//x", 0, "leads elsewhere"),
        ("", 0, "leads elsewhere"),
        ("..\\x", 0, "backslash"),
        ("train2017\\x", 0, "backslash"),
        ("\\\\host\\x", 0, "backslash"),
        ("C:\\x", 0, "backslash"),
        ("train2017/x\n", 0, "control character"),
        ("train2017/x\x1b[2J", 0, "control character"),
        ("train2017/x.jpg\0.txt", 0, "control character"),
        ("train2017/x", stat.S_IFLNK | 0o777, "link or a device"),
        ("train2017/x/", stat.S_IFLNK | 0o777, "link or a device"),
        ("train2017/x", stat.S_IFIFO | 0o644, "link or a device"),
        ("train2017/x", stat.S_IFCHR | 0o644, "link or a device"),
        ("train2017/x", stat.S_IFDIR | 0o755, "link or a device"),
        ("train2017/x/", stat.S_IFREG | 0o644, "link or a device"),
        ("train2017/a.jpg", 0, "comes twice"),
        ("train2017/A.JPG", 0, "comes twice"),
        ("train2017/a.jpg/x", 0, "both a file and a folder"),
    ],
)
@pytest.mark.parametrize("maker", [0, 3])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_poisoned_archives_are_refused_whole(places, name, mode, maker, fault):
    archive, folder, _ = places
    write(archive, FILES)
    with zipfile.ZipFile(archive, "a") as opened:  # the good ones come first
        opened.writestr(entry(name, mode, maker), b"poison")
    with pytest.raises(ArchiveError, match=f"nothing of it was: its member .* {fault}"):
        Unpacking(*places)
    assert tree(folder) == {"mine.txt": b"mine"}
    assert sorted(os.listdir(folder.parent)) == ["data", "x.zip"]


def test_modes_of_files_and_folders_are_no_fault(places):
    archive, folder, _ = places
    folders = {entry("train2017/", stat.S_IFDIR | 0o755): b"", entry("val2017/", 0, 0): b""}
    write(archive, folders | {entry("train2017/x", stat.S_IFREG | 0o4755): b"x"})
    Unpacking(*places).run()
    assert not (folder / "train2017" / "x").stat().st_mode & 0o111  # modes are not taken over


def test_rare_methods_and_encryption(places):
    archive, folder, _ = places
    write(archive, FILES, zipfile.ZIP_LZMA)
    with pytest.raises(ArchiveError, match="packed by method 14"):
        Unpacking(*places)
    write(archive, {"x": b"x"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flags in the list of members
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="is encrypted"):
        Unpacking(*places)
    assert tree(folder) == {"mine.txt": b"mine"}


def test_a_damaged_member(places):
    archive, folder, staging = places
    write(archive, FILES, zipfile.ZIP_STORED)
    start = FILES["train2017/a.jpg"][:50]
    damage(archive, start, bytes(50))
    with pytest.raises(DamagedArchiveError, match=r"x\.zip is damaged at train2017/a\.jpg .*CRC"):
        Unpacking(*places).run()
    assert not (folder / "train2017").exists()
    damage(archive, bytes(50), start)  # a whole one goes on where the damaged one stopped
    Unpacking(*places).run()
    assert tree(folder) == unpacked() and not staging.exists()


def test_a_damaged_stream(places):
    archive, _, _ = places
    text = b"text " * 1000
    write(archive, {"a": text})
    packed = zlib.compressobj(wbits=-15)
    stream = packed.compress(text) + packed.flush()
    damage(archive, stream, b"\xff" * len(stream))
    with pytest.raises(DamagedArchiveError, match="damaged at a "):
        Unpacking(*places).run()


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\5\6" + bytes(10), None])
def test_no_archive_at_all(places, data):
    if data is None:
        write(places[0], FILES)
        data = places[0].read_bytes()[:-60]
    places[0].write_bytes(data)
    with pytest.raises(DamagedArchiveError, match=r"x\.zip is damaged at the list of its members"):
        Unpacking(*places)
    with pytest.raises(FileNotFoundError):
        Unpacking(places[0].with_name("y.zip"), *places[1:])


def test_a_member_that_is_shorter_than_the_list_says(places):
    archive, folder, _ = places
    write(archive, {"a": b"1234"}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    listed = data.index(b"PK\1\2")
    data[listed + 24] = 9  # the unpacked size; the content ends before
    archive.write_bytes(data)
    with pytest.raises(DamagedArchiveError, match="damaged at a "):
        Unpacking(*places).run()
    assert tree(folder).keys() == {"mine.txt", ".staging/a"}


class Interruption(Exception):
    pass


def interrupt_after(count):
    """An `advance` that stops the work when so many bytes are done."""
    done = []

    def advance(more):
        done.append(more)
        if sum(done) >= count:
            raise Interruption

    return advance


def test_an_interrupted_unpacking_goes_on(places, monkeypatch):
    archive, folder, staging = places
    monkeypatch.setattr(archive_unpacking, "CHUNK", 1000)
    write(archive, FILES)
    with pytest.raises(Interruption):
        Unpacking(*places).run(interrupt_after(7000))
    assert not (folder / "train2017").exists()  # nothing half is in place
    assert (staging / "train2017" / "a.jpg").stat().st_size == 5000
    assert (staging / "train2017" / "deep" / "c.json").stat().st_size < 5000
    unpacking, done, opened = Unpacking(*places), [], []
    assert unpacking.missing() == 8192

    def opening(archive, member):
        opened.append(member.filename)
        return open_member(archive, member)

    open_member = zipfile.ZipFile.open
    monkeypatch.setattr(zipfile.ZipFile, "open", opening)
    unpacking.run(done.append)
    assert sum(done) == 10000 and tree(folder) == unpacked()
    assert opened == ["train2017/deep/c.json"]  # the others are not done again


def test_staged_files_with_other_content_are_done_again(places):
    archive, folder, staging = places
    write(archive, FILES)
    (staging / "train2017").mkdir(parents=True)
    (staging / "train2017" / "a.jpg").write_bytes(bytes(5000))  # as after a power failure
    Unpacking(*places).run()
    assert tree(folder) == unpacked()


def test_interrupted_while_putting_in_place(places, monkeypatch):
    archive, folder, _ = places
    write(archive, FILES)
    moves = []

    def replace(source, target):
        moves.append(target)
        if len(moves) == 2:
            raise Interruption
        os.rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(Interruption):
        patch.setattr(archive_unpacking.os, "replace", replace)
        Unpacking(*places).run()
    assert (folder / "train2017" / "a.jpg").exists()
    Unpacking(*places).run()
    assert tree(folder) == unpacked()


def test_a_file_in_the_way_stays(places):
    archive, folder, staging = places
    write(archive, FILES)
    (folder / "train2017" / "deep").mkdir(parents=True)
    mine = folder / "train2017" / "deep" / "c.json"
    for content in (b"my own", bytes(5000)):  # of another size, of the same
        mine.write_bytes(content)
        with pytest.raises(ArchiveError, match=r"deep/c\.json is there already, but is not"):
            Unpacking(*places).run()
        assert mine.read_bytes() == content and not staging.exists()
        assert not (folder / "train2017" / "a.jpg").exists()
    mine.unlink()
    mine.symlink_to("nowhere")
    with pytest.raises(ArchiveError, match="is there already"):
        Unpacking(*places).run()


def test_a_full_disk_leaves_what_was_done(places, monkeypatch):
    archive, folder, staging = places
    write(archive, FILES)
    writes = []

    class Full:
        def __init__(self, path, mode):
            self.file = open(path, mode)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            writes.append(data)
            if len(writes) == 2:
                raise OSError(28, "No space left on device")
            self.file.write(data)

        def tell(self):
            return self.file.tell()

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(archive_unpacking, "open", Full, raising=False)
        Unpacking(*places).run()
    assert tree(staging) == {"train2017/a.jpg": FILES["train2017/a.jpg"]} | {
        "train2017/b.jpg": b"",
        "train2017/deep/c.json": b"",
    }
    Unpacking(*places).run()
    assert tree(folder) == unpacked()
