"""ZIP archives that came over a network: looked through before anything is unpacked.

Members are unpacked into a staging folder and moved to their places when all of them are there and
have the right checksums, so an interrupted unpacking goes on and leaves no half data set.
"""

import contextlib
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

CHUNK = 1 << 20  # bytes read at once
BLOCK = 4096  # files take whole blocks of the disk
ENCRYPTED = 1  # the bit in a member's flags
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
KINDS = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: the archive's maker did not say
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
)


class ArchiveError(ValueError):
    """An archive with members that must not be unpacked, or that would overwrite other files."""


class DamagedArchiveError(ArchiveError):
    """An archive that cannot be read, or a member without the content its checksum stands for."""


def checked_members(members, archive):
    """The files among the members of an archive, none of which leaves the folder it goes to.

    Args:
        members: list of `zipfile.ZipInfo`.
        archive: its path, for messages.

    Raises:
        ArchiveError: a member has a path that leaves the folder or that systems read differently,
            is a link or device, is encrypted or packed by a rare method, or comes twice.
    """
    paths, folders, files = set(), set(), []
    for member in members:
        fault = _fault(member)
        path = PurePosixPath(member.orig_filename.casefold())  # one file where case does not count
        if not fault and path in paths:
            fault = "comes twice"
        if fault:
            raise ArchiveError(
                f"{archive} is not unpacked, and nothing of it was: its member "
                f"{member.orig_filename!r} {fault}. Get the archive from its publisher."
            )
        paths.add(path)
        if not member.is_dir():
            files.append(member)
            folders.update(path.parents)
    for member in files:
        if PurePosixPath(member.orig_filename.casefold()) in folders:
            raise ArchiveError(
                f"{archive} is not unpacked, and nothing of it was: its member "
                f"{member.orig_filename!r} is both a file and a folder. Get the archive from its "
                "publisher."
            )
    return files


def _fault(member):
    """What forbids unpacking a member, None if nothing does."""
    name = member.orig_filename  # as the archive has it: `filename` ends at a null character
    kind = stat.S_IFMT(member.external_attr >> 16)  # Unix' mode, in the upper half
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() or "\\" in name:
        return "has a backslash or a control character in its name"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "has an absolute path"
    if any(part in ("", ".", "..") for part in parts):
        return "has a path that leads elsewhere"
    if kind not in KINDS or (kind and stat.S_ISDIR(kind) != name.endswith("/")):
        return "is neither a file nor a folder, but a link or a device"
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in METHODS:
        return f"is packed by method {member.compress_type}, neither stored nor deflated"
    return None


class Unpacking:
    """Unpacks an archive into a folder, or goes on unpacking it.

    Args:
        archive: path of a ZIP archive.
        folder: where its members belong.
        staging: folder on the same disk that holds them until all are complete; it is removed.

    Raises:
        ArchiveError: see `checked_members`.
        DamagedArchiveError: the archive cannot be read.
        OSError: there is no such file.
    """

    def __init__(self, archive, folder, staging):
        self.archive, self.folder, self.staging = Path(archive), Path(folder), Path(staging)
        with self._opened() as opened:
            self.members = checked_members(opened.infolist(), self.archive)

    @property
    def size(self):
        """Bytes of all members, unpacked."""
        return sum(member.file_size for member in self.members)

    def missing(self):
        """Bytes of disk that the members take which are not there yet, judged by their sizes."""
        return sum(
            -(-member.file_size // BLOCK) * BLOCK
            for member in self.members
            if not any(_has_size(path, member) for path in self._paths(member))
        )

    def run(self, advance=lambda count: None):
        """Unpack what is not there yet and put it in place.

        Args:
            advance: called with numbers of bytes done, whose sum becomes `size`.

        Raises:
            ArchiveError: a file stands in the way that is not the archive's; nothing is unpacked.
            DamagedArchiveError: a member is damaged; nothing is put in place.
            OSError: the disk is full, or a file cannot be written.
        """
        absent = [member for member in self.members if not self._in_place(member, advance)]
        with self._opened() as opened:
            for member in absent:
                self._stage(opened, member, advance)
        os.sync()  # in place means complete, even if the power fails now
        for member in absent:
            path, staged = self._paths(member)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged, path)
        if self.staging.exists():
            shutil.rmtree(self.staging)

    def _paths(self, member):
        return self.folder / member.filename, self.staging / member.filename

    def _in_place(self, member, advance):
        path, _ = self._paths(member)
        if not os.path.lexists(path):
            return False
        if _holds(path, member):
            advance(member.file_size)
            return True
        raise ArchiveError(
            f"{path} is there already, but is not the file that {self.archive} holds. Move it "
            "away, then run the same command again; nothing was unpacked."
        )

    def _stage(self, opened, member, advance):
        _, staged = self._paths(member)
        if _holds(staged, member):
            advance(member.file_size)
            return
        staged.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._damage_explained(member.filename),
            opened.open(member) as source,
            open(staged, "wb") as file,
        ):
            while data := source.read(CHUNK):  # raises at the end if the checksum is another
                file.write(data)
                advance(len(data))
            if file.tell() != member.file_size:
                raise EOFError(f"it has {file.tell()} of {member.file_size} bytes")

    @contextlib.contextmanager
    def _opened(self):
        with contextlib.ExitStack() as stack:
            with self._damage_explained("the list of its members"):
                opened = stack.enter_context(zipfile.ZipFile(self.archive))
            yield opened

    @contextlib.contextmanager
    def _damage_explained(self, what):
        try:
            yield
        except UNREADABLE as error:
            raise DamagedArchiveError(f"{self.archive} is damaged at {what} ({error}).") from error


def _has_size(path, member):
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == member.file_size


def _holds(path, member):
    """Whether a file has the content of a member, by its size and checksum."""
    if not _has_size(path, member):
        return False
    checksum = 0
    with open(path, "rb") as file:
        while data := file.read(CHUNK):
            checksum = zlib.crc32(data, checksum)
    return checksum == member.CRC
