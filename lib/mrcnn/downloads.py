"""Published weights over HTTP: a transfer that broke off goes on where it did."""

import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
CHUNK = 1 << 20  # bytes received at once
TIMEOUT = 60  # seconds without a byte
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def download_trained_weights(coco_model_path, verbose=1):
    """Fetch the Mask R-CNN that Matterport trained on COCO (release 2.0, ResNet-101, 81 classes).

    What has arrived lies in a file ending in .part beside the path; called again, the transfer
    goes on there. A file that is at the path already is replaced only when all has arrived.

    Args:
        coco_model_path: where to put it.
        verbose: 1 shows the progress.

    Raises:
        OSError: it could not be fetched whole, or what came is no HDF5 file.
    """
    fetch_hdf5(COCO_MODEL_URL, coco_model_path, verbose)


def fetch_hdf5(url, path, verbose=1):
    """Fetch an HDF5 file of any address, as `download_trained_weights` does."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        _receive(url, part, verbose)
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(
            f"{url} cannot be fetched: the server answers {error.code} {error.reason}. Fetch it "
            f"by other means and put it to {path}."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise OSError(
            f"The transfer of {url} broke off ({error}); what arrived is in {part}. Try again to "
            "go on from there."
        ) from error
    with open(part, "rb") as file:
        start = file.read(len(HDF5_SIGNATURE))
    if start != HDF5_SIGNATURE:
        part.unlink()
        raise OSError(
            f"What {url} sent is no HDF5 file, and was deleted. Check whether the network asks to "
            f"log in first, or fetch it by other means and put it to {path}."
        )
    os.replace(part, path)


def _receive(url, part, verbose):
    """Append to `part` what it lacks; a server that sends the whole file makes it anew."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if not have or error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()  # nothing lies beyond what is there; the server may have another file now
        part.unlink()
        _receive(url, part, verbose)
        return
    with response:
        goes_on = response.status == http.client.PARTIAL_CONTENT
        have = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with open(part, "ab" if goes_on else "wb") as file, _progress(verbose) as progress:
            task = progress.add_task(part.name, total=total, completed=have)
            while data := response.read(CHUNK):
                file.write(data)
                progress.update(task, advance=len(data))
            arrived = file.tell()
    if total is not None and arrived < total:
        raise OSError(f"the server stopped after {arrived:,} of {total:,} bytes")


def _progress(verbose):
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, disable=not verbose)
