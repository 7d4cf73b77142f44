"""A published archive on its way into a data folder: fetched, unpacked, cleared away."""

import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mrcnn.files import disk_explained
from mrcnn.progress import byte_bar
from mrcnn.resumable_download import arrived, fetch, is_right

WORK = ".download"  # what is not complete yet, in the data folder


@dataclass(frozen=True)
class Archive:
    """A published ZIP file."""

    path: str  # below the publisher's address
    files: str  # pattern of what it unpacks to, all in one folder
    count: int  # of these files
    size: int  # bytes
    sha256: str
    growth: float = 1.05  # bytes that a byte of it unpacks to, at most; an estimate


class Delivery:
    """Brings an archive into a data folder; a repeated delivery goes on where it stopped.

    One that is `kept` in the data folder from the start is used and stays. Else it is `fetched`,
    which goes when it is unpacked or, with `keep`, becomes one that is kept.
    """

    def __init__(self, archive, folder, base_url, keep):
        self.archive, self.folder, self.keep = archive, folder, keep
        self.url, name = f"{base_url}/{archive.path}", Path(archive.path).name
        self.kept, self.fetched = folder / name, folder / WORK / name
        self.target = folder / Path(archive.files).parent
        self.staging = folder / WORK / self.target.name  # what is unpacked, until all is

    def is_complete(self):
        """Whether the archive's files are in place."""
        count = len(list(self.folder.glob(self.archive.files)))
        return count >= self.archive.count and not self.staging.exists()

    def bytes_needed(self):
        """Bytes to transfer, bytes to unpack (an estimate), and bytes that are free again then."""
        size, kept = self.archive.size, self.kept.exists()
        files = [*self.target.glob("*"), *self.staging.glob("*")]
        to_unpack = round(self.archive.growth * size) - sum(each.lstat().st_size for each in files)
        to_fetch = 0 if kept or self.fetched.exists() else size - arrived(self.fetched)
        return max(to_fetch, 0), max(to_unpack, 0), 0 if kept or self.keep else size

    def run(self):
        """Bring the archive's files into the folder; an OSError says what prevents it."""
        with byte_bar() as bar, disk_explained(self.folder):
            if not self.kept.exists():
                fetch(self.url, self.fetched, self.archive.size, self.archive.sha256, bar)
                if self.keep:
                    os.replace(self.fetched, self.kept)
            elif not is_right(self.kept, self.archive.sha256, bar):
                raise OSError(
                    f"{self.kept} is not the archive that was published under this name: its "
                    "checksum is another. Move it away, then run the same command again."
                )
            with zipfile.ZipFile(self.kept if self.kept.exists() else self.fetched) as opened:
                self._unpack(opened, bar)

    def _unpack(self, opened, bar):
        """Unpack what is not there yet, and put it in place when all of it is unpacked."""
        absent = {}
        for member in (each for each in opened.infolist() if not each.is_dir()):
            path = self.folder / member.filename
            if not os.path.lexists(path):
                absent[path] = member
            elif not _has_size(path, member):
                raise OSError(
                    f"{path} is there already, but is not the file that {self.kept.name} holds. "
                    "Move it away, then run the same command again; nothing was unpacked."
                )
        size = sum(member.file_size for member in absent.values())
        task = bar.add_task(f"Unpacking {self.kept.name}", total=size)
        for path, member in absent.items():
            if not _has_size(self.staging / path.name, member):
                opened.extract(member, self.staging.parent)
            bar.advance(task, member.file_size)
        os.sync()  # in place means complete, even if the power fails now
        self.target.mkdir(exist_ok=True)
        for path in absent:
            os.replace(self.staging / path.name, path)
        shutil.rmtree(self.staging, ignore_errors=True)


def _has_size(path, member):
    return path.is_file() and path.stat().st_size == member.file_size
