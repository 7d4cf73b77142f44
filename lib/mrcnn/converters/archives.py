"""Zip archives of strangers: what they declare is looked at before memory is taken for it."""

import contextlib
import zipfile

ENCRYPTED = 0x1  # of a member's flags


@contextlib.contextmanager
def open_archive(path, packings, most):
    """Open a zip archive to read, once its table of contents can be believed.

    Args:
        path: file.
        packings: how its members may be packed, say `(zipfile.ZIP_STORED,)`.
        most: bytes that they may have together when they are unpacked.

    Raises:
        ValueError: it is a trap or damaged. (What else `zipfile` raises for damaged files has no
            common class.)
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(each.flag_bits & ENCRYPTED for each in members):
            raise ValueError("it is encrypted: pack it again without a password")
        if not {each.compress_type for each in members} <= set(packings):
            raise ValueError("it is compressed as such files are not")
        declared = sum(each.file_size for each in members)
        if declared > most:
            raise ValueError(f"it declares {declared:,} bytes, more than it can hold")
        if any(each.header_offset < 0 for each in members):
            raise ValueError("its table of contents points outside of it")
        yield archive
