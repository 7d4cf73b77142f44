"""COCO 2017 from its publisher, part by part, into a folder of COCO's own layout."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import urllib.parse
from pathlib import Path

from rich.filesize import decimal

from mrcnn import resumable_download
from mrcnn.files import written_whole
from siamese_mrcnn.data.archive_delivery import (
    WORK,
    Archive,
    Delivery,
    DownloadError,
    content,
    require_room,
)

BASE_URL = "http://images.cocodataset.org"  # without a certificate of its own: checksums protect
RECORD = "download.json"  # what is complete, in the data folder
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)

# Sizes and checksums are those that TensorFlow Datasets records for these addresses. The largest
# comes first: while it is unpacked, the disk holds nothing else.
ARCHIVES = {
    "train": Archive(
        "zips/train2017.zip",
        "train2017",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        1.05,
    ),
    "val": Archive(
        "zips/val2017.zip",
        "val2017",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        1.05,
    ),
    "annotations": Archive(
        "annotations/annotations_trainval2017.zip",
        "annotations",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        4,
    ),
}


def download(folder, parts=None, base_url=None, keep_archives=False, say=print):
    """Make a folder with annotations/, train2017/ and val2017/, or those parts of it.

    An interrupted call goes on when it is repeated. Archives that lie in the folder already, under
    their own names, are used and stay.

    Args:
        folder: where to; made if necessary.
        parts: names of `ARCHIVES`; all if None.
        base_url: http or https address that the archives' paths are relative to; COCO's own if
            None.
        keep_archives: whether archives stay in the folder when they are unpacked.
        say: called with sentences about what happens.

    Raises:
        ValueError: the address or a part makes no sense.
        DownloadError: the disk has too little space, or another download is at work there.
        transfer.TransferError: the server has no such file, or breaks off again and again.
        ArchiveError: an archive is damaged or dangerous, or a file stands in the way.
    """
    base_url, parts, folder = _checked_address(base_url), _checked_parts(parts), Path(folder)
    with _full_disk_explained(folder), _alone(folder):
        left = []
        for part in parts:
            delivery = Delivery(ARCHIVES[part], folder, base_url, keep_archives)
            if _is_complete(delivery):
                delivery.clear()
                say(f"{folder / delivery.archive.folder} is complete.")
            else:
                left.append(delivery)
        if left:
            _plan(folder, left, say)
        for delivery in left:
            _record(delivery, *delivery.run())
            delivery.clear()
            say(f"{folder / delivery.archive.folder} is complete.")


def _plan(folder, deliveries, say):
    """Say what will be transferred and what space that takes, and make sure that it is there."""
    total = need = highest = 0
    for delivery in deliveries:
        size = delivery.to_fetch()
        total += size
        need += size + delivery.to_unpack()
        highest = max(highest, need)
        need -= delivery.to_free()
        if size:
            resumable_download.require_file(delivery.url, delivery.archive.size)
            here = delivery.archive.size - size
            rest = f" ({decimal(here)} are here already)" if here else ""
            say(f"{delivery.url}: {decimal(size)} to transfer{rest}.")
    say(
        f"{decimal(total)} to transfer in all. {folder} takes up to {decimal(highest)} more of its "
        f"disk while unpacking and {decimal(max(need, 0))} more in the end; "
        f"{decimal(shutil.disk_usage(folder).free)} are free."
    )
    require_room(folder, highest, "to fetch and unpack one archive after the other")


def _checked_address(base_url):
    if base_url is None:
        return BASE_URL
    try:
        address = urllib.parse.urlsplit(base_url)
    except ValueError:  # brackets without a partner
        address = urllib.parse.SplitResult("", "", "", "", "")
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(
            f"--base-url must be an address that starts with http:// or https://, not {base_url!r}."
        )
    return base_url.rstrip("/")


def _checked_parts(parts):
    unknown = sorted(set(parts or ()) - set(ARCHIVES))
    if unknown:
        raise ValueError(
            f"There is no part {unknown[0]!r} to download. There are: {', '.join(ARCHIVES)}."
        )
    return [part for part in ARCHIVES if parts is None or part in parts]


@contextlib.contextmanager
def _alone(folder):
    """Keep a second download out of the folder; tidy up when nothing is left to go on with."""
    work = folder / WORK
    work.mkdir(parents=True, exist_ok=True)
    lock = work / "lock"
    with open(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadError(
                f"Another download to {folder} is at work. Wait until it ends, then run the same "
                "command again."
            ) from error
        try:
            yield
        finally:
            if os.listdir(work) == [lock.name]:
                shutil.rmtree(work)


@contextlib.contextmanager
def _full_disk_explained(folder):
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        free = shutil.disk_usage(folder).free
        raise DownloadError(
            f"The disk of {folder} is full ({decimal(free)} are left); what has arrived and what "
            "is unpacked stay. Free some space, then run the same command again to go on."
        ) from error


def _record(delivery, files, size):
    """Note that an archive's files are in place, so that it is not fetched again."""
    archive = delivery.archive
    entry = {"sha256": archive.sha256, "files": files, "bytes": size}
    with written_whole(delivery.folder / RECORD) as file:
        json.dump(_recorded(delivery.folder) | {archive.folder: entry}, file, indent=1)


def _is_complete(delivery):
    """Whether the archive's files were put in place, and none was taken away since."""
    archive = delivery.archive
    entry = _recorded(delivery.folder).get(archive.folder)
    if not isinstance(entry, dict) or entry.get("sha256") != archive.sha256:
        return False
    files, size = content(delivery.folder / archive.folder)
    return files >= entry["files"] and size >= entry["bytes"]


def _recorded(folder):
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged record only means to look again
        return {}
    return record if isinstance(record, dict) else {}
