"""One published archive on its way into a data folder: fetched, checked, unpacked, cleared away."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mrcnn import resumable_download
from siamese_mrcnn.data.archive_unpacking import ArchiveError, DamagedArchiveError, Unpacking

WORK = ".download"  # what is not complete yet, in the data folder


class DownloadError(OSError):
    """A download that cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Archive:
    """A published ZIP file.

    Args:
        path: below the publisher's address.
        folder: what it unpacks to; its files lie directly in it.
        size: bytes.
        sha256: checksum as hexadecimal digits.
        growth: bytes of disk that a byte of it unpacks to, at most; an estimate for the plan, the
            exact number is looked up before unpacking.
    """

    path: str
    folder: str
    size: int
    sha256: str
    growth: float

    @property
    def name(self):
        """The file's own name."""
        return self.path.rpartition("/")[2]


class Delivery:
    """Brings one archive into a data folder; a repeated delivery goes on where it stopped.

    It is `part` until all of it has arrived, `fetched` when its checksum is right, and `kept`,
    beside the data folders, if it is to stay. A file that is `kept` from the start is used.

    Args:
        archive: `Archive`.
        folder: the data folder.
        base_url: address that the archive's path is relative to.
        keep: whether the archive stays.
    """

    def __init__(self, archive, folder, base_url, keep):
        self.archive, self.folder, self.keep = archive, Path(folder), keep
        self.url = f"{base_url}/{archive.path}"
        self.kept = self.folder / archive.name
        self.fetched = self.folder / WORK / archive.name
        self.part = self.folder / WORK / f"{archive.name}.part"
        self.staging = self.folder / WORK / archive.folder

    def to_fetch(self):
        """Bytes that are still to be transferred."""
        if self._source():
            return 0
        return max(self.archive.size - resumable_download.arrived(self.part), 0)

    def to_unpack(self):
        """Bytes of disk that unpacking takes; an estimate while the archive is not there."""
        if source := self._source():
            return self._unpacking(source).missing()
        _, there = content(self.folder / self.archive.folder)
        return max(round(self.archive.growth * self.archive.size) - there, 0)

    def to_free(self):
        """Bytes of disk that `clear` frees."""
        return 0 if self.keep or self.kept.exists() else self.archive.size

    def run(self):
        """Bring the archive's files into the folder.

        Returns:
            number of files, and their bytes.

        Raises:
            ArchiveError: the archive is another, damaged or dangerous, or a file stands in the way.
            DownloadError: the disk has too little space to unpack.
            transfer.TransferError: it cannot be fetched.
            OSError: something cannot be written.
        """
        with _bar() as bar:
            source = self._checked_source(bar)
            unpacking = self._unpacking(source)
            require_room(self.folder, unpacking.missing(), f"to unpack {source.name}")
            task = bar.add_task(f"Unpacking {source.name}", total=unpacking.size)
            try:
                unpacking.run(lambda count: bar.advance(task, count))
            except DamagedArchiveError as error:
                raise self._damage(source, error) from error
        sizes = [member.file_size for member in self._own(unpacking)]
        return len(sizes), sum(sizes)

    def clear(self):
        """Keep the archive, or delete it, if this program fetched it."""
        if self.fetched.exists():
            if self.keep:
                os.replace(self.fetched, self.kept)
            else:
                self.fetched.unlink()

    def _source(self):
        """Path of the whole archive, None if it is not there."""
        return next((path for path in (self.kept, self.fetched) if path.exists()), None)

    def _checked_source(self, bar):
        """The path of the archive, whose checksum is right; it is fetched if it is not there."""
        if self.kept.exists():
            if self._checksum(self.kept, bar) != self.archive.sha256:
                raise ArchiveError(
                    f"{self.kept} is not the archive that was published under this name: its "
                    "sha256 is another. Move it away, then run the same command again to fetch it."
                )
            return self.kept
        if not self.fetched.exists():
            self._fetch(bar)
            if self._checksum(self.part, bar) != self.archive.sha256:
                resumable_download.forget(self.part)
                raise ArchiveError(
                    f"What came from {self.url} is not the archive that was published under this "
                    "name: its sha256 is another. It was deleted; run the same command again to "
                    "fetch it anew, or name another server with --base-url."
                )
            os.replace(self.part, self.fetched)
            resumable_download.forget(self.part)
        return self.fetched

    def _fetch(self, bar):
        size = self.archive.size
        task = bar.add_task(
            f"Fetching {self.archive.name}",
            total=size,
            completed=resumable_download.arrived(self.part),
        )
        resumable_download.fetch(
            self.url,
            self.part,
            size,
            lambda count: bar.update(task, completed=count),
            lambda text: bar.console.print(text, markup=False, highlight=False, soft_wrap=True),
        )

    def _checksum(self, path, bar):
        task = bar.add_task(f"Checking {self.archive.name}", total=path.stat().st_size)
        with bar.open(path, "rb", task_id=task) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _unpacking(self, source):
        try:
            unpacking = Unpacking(source, self.folder, self.staging)
        except DamagedArchiveError as error:
            raise self._damage(source, error) from error
        if not self._own(unpacking):
            raise ArchiveError(
                f"{source} holds no files of {self.archive.folder}/, so it is not COCO's archive "
                "of this name. Move it away, then run the same command again."
            )
        return unpacking

    def _own(self, unpacking):
        folder = PurePosixPath(self.archive.folder)
        return [item for item in unpacking.members if PurePosixPath(item.filename).parent == folder]

    def _damage(self, source, error):
        """The error to raise; an archive that this program fetched is deleted, others stay."""
        if source == self.kept:
            return ArchiveError(f"{error} Move it away, then run the same command again.")
        source.unlink()
        return ArchiveError(f"{error} It was deleted; run the same command again to fetch it anew.")


def content(folder):
    """Number of files directly in a folder, and their bytes; none if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            sizes = [entry.stat().st_size for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return 0, 0
    return len(sizes), sum(sizes)


def require_room(folder, need, purpose):
    """Make sure that a disk has so many bytes left.

    Raises:
        DownloadError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"The disk of {folder} has {decimal(free)} left, but {decimal(need)} are needed "
            f"{purpose}. Free {decimal(need - free)}, or choose another folder or fewer parts."
        )


def _bar():
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
    )
