"""COCO 2017 from its publisher, part by part, into a folder of COCO's own layout."""

import fcntl
import os
import shutil
from pathlib import Path

from rich.filesize import decimal

from mrcnn.files import require_room
from siamese_mrcnn.data.archive_download import WORK, Archive, Delivery

BASE_URL = "http://images.cocodataset.org"  # without a certificate of its own: checksums protect

# Sizes and SHA-256 are those that TensorFlow Datasets records for these addresses. The largest
# archive comes first: while it is unpacked, the disk holds nothing else.
TRAIN = "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"
VAL = "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"
ANNOTATIONS = "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"
ARCHIVES = {
    "train": Archive("zips/train2017.zip", "train2017/*.jpg", 118_287, 19_336_861_798, TRAIN),
    "val": Archive("zips/val2017.zip", "val2017/*.jpg", 5000, 815_585_330, VAL),
    "annotations": Archive(
        path="annotations/annotations_trainval2017.zip",
        files="annotations/*_*2017.json",
        count=6,
        size=252_907_541,
        sha256=ANNOTATIONS,
        growth=4,
    ),
}


def download(folder, parts=tuple(ARCHIVES), base_url=None, keep_archives=False, say=print):
    """Make a folder with annotations/, train2017/ and val2017/, or those parts of it.

    An interrupted call goes on when it is repeated.

    Args:
        folder: where to; made if necessary.
        parts: names of `ARCHIVES`.
        base_url: address that the archives' paths are relative to; COCO's own if None.
        keep_archives: whether fetched archives stay in the folder; those that lay there do.
        say: called with sentences about what happens.

    Raises:
        ValueError: the address or a part makes no sense.
        OSError: another download is at work there, a file stands in the way, the disk is full, or
            the server has another file or breaks off again and again.
    """
    folder, base_url = Path(folder), BASE_URL if base_url is None else base_url.rstrip("/")
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"--base-url must start with http:// or https://, but is {base_url!r}.")
    if unknown := set(parts) - set(ARCHIVES):
        raise ValueError(f"There is no part {min(unknown)!r}, but {', '.join(ARCHIVES)}.")
    archives = [ARCHIVES[part] for part in ARCHIVES if part in parts]
    deliveries = [Delivery(each, folder, base_url, keep_archives) for each in archives]
    with _locked(folder):
        left = [each for each in deliveries if not each.is_complete()]
        if left:
            _plan(folder, left, say)
        for delivery in deliveries:
            if delivery in left:
                delivery.run()
            for path in (folder / WORK).glob(f"{delivery.fetched.name}*"):
                path.unlink()
            say(f"{delivery.target} is complete.")
        if os.listdir(folder / WORK) == ["lock"]:
            shutil.rmtree(folder / WORK)


def _plan(folder, deliveries, say):
    """Say what will be transferred and what space that takes, and make sure that it is there."""
    total = need = highest = 0
    for to_fetch, to_unpack, to_free in [each.bytes_needed() for each in deliveries]:
        total, need = total + to_fetch, need + to_fetch + to_unpack
        highest, need = max(highest, need), need - to_free
    say(
        f"{decimal(total)} to transfer. {folder} takes up to {decimal(highest)} more of its disk "
        f"while unpacking and {decimal(max(need, 0))} more in the end; "
        f"{decimal(shutil.disk_usage(folder).free)} are free."
    )
    require_room(folder, highest)


def _locked(folder):
    """An open file that keeps a second download out of a folder until it is closed."""
    (folder / WORK).mkdir(parents=True, exist_ok=True)
    lock = open(folder / WORK / "lock", "ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(lock.fileno()).st_nlink:  # the other one is tidying up
            raise BlockingIOError
    except BlockingIOError as error:
        raise OSError(
            f"Another download to {folder} is at work. Wait until it ends, then run the same "
            "command again."
        ) from error
    return lock
