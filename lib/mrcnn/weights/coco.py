"""Published weights over HTTP: a transfer that broke off goes on where it did."""

import os
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from mrcnn import resumable_download

COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
COCO_MODEL_SIZE = 257_557_808  # bytes
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
    path = Path(coco_model_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not verbose) as bar:
        task = bar.add_task(path.name, total=COCO_MODEL_SIZE)
        resumable_download.fetch(
            COCO_MODEL_URL,
            part,
            COCO_MODEL_SIZE,
            lambda count: bar.update(task, completed=count),
            lambda text: bar.console.print(text, markup=False, highlight=False, soft_wrap=True),
        )
    with open(part, "rb") as file:
        start = file.read(len(HDF5_SIGNATURE))
    if start != HDF5_SIGNATURE:
        resumable_download.forget(part)
        raise OSError(
            f"What {COCO_MODEL_URL} sent is no HDF5 file, and was deleted. Check whether the "
            f"network asks to log in first, or fetch it by other means and put it to {path}."
        )
    os.replace(part, path)
    resumable_download.forget(part)
