"""Weights of Mask R-CNN trained on COCO, as Matterport published them."""

from pathlib import Path

from mrcnn.progress import byte_bar
from mrcnn.resumable_download import fetch

COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
COCO_MODEL_SIZE = 257_557_808  # bytes
COCO_MODEL_MD5 = "e98aaff6f99e307b5e2a8a3ff741a518"  # which NVIDIA's TensorRT sample records


def download_trained_weights(coco_model_path, verbose=1):
    """Fetch the Mask R-CNN that Matterport trained on COCO (release 2.0, ResNet-101, 81 classes).

    What has arrived lies in a file ending in .part beside the path; called again, the transfer
    goes on there. Another file at the path is replaced only when all has arrived.

    Args:
        coco_model_path: where to put it, unless it is there.
        verbose: 1 shows the progress.

    Raises:
        OSError: it could not be fetched whole, or not be written.
    """
    with byte_bar(verbose) as bar:
        fetch(COCO_MODEL_URL, Path(coco_model_path), COCO_MODEL_SIZE, COCO_MODEL_MD5, bar)
