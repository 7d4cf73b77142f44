"""Which weights a program begins with, by one word of its user."""

from pathlib import Path

from mrcnn.training.random_start import start_at_random
from mrcnn.weights.coco import download_trained_weights

WORDS = "coco|imagenet|last|none|FILE"  # what a command line may offer
COCO_FILE = "mask_rcnn_coco.h5"
COCO_CLASSES = 81  # background included
# The layers whose size depends on the number of classes.
CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask")


def load_starting_weights(model, weights, dataset=None, folder="checkpoints"):
    """Load the weights that a word stands for.

    Args:
        model: `mrcnn.model.MaskRCNN`.
        weights: "coco", Matterport's Mask R-CNN of COCO, fetched where it is missing; a model of
            another number of classes than COCO's takes all but the layers that tell classes.
            "imagenet", a backbone alone. "last", the latest checkpoint of the model's NAME.
            "none", a random start. Else the path of a file.
        dataset: the training data, on which "none" measures statistics.
        folder: where the files of "coco" and "imagenet" are.

    Raises:
        ValueError: a model in mode "inference" would have random parts.
        FileNotFoundError, OSError, mrcnn.weights.hdf5.WeightsError: as `MaskRCNN.load_weights`.
    """
    if weights in ("imagenet", "none") and model.mode == "inference":
        raise ValueError(
            f"The weights {weights!r} are to start training from; they find nothing. Give the "
            'file of a trained model, or "last".'
        )
    if weights == "none":
        start_at_random(model, dataset)
    elif weights == "imagenet":
        model.load_imagenet_weights(folder=folder)
    elif weights == "last":
        model.load_latest_checkpoint()
    elif weights == "coco":
        _load_coco(model, folder)
    else:
        model.load_weights(weights, by_name=True)


def coco_weights(folder="checkpoints"):
    """Path of Matterport's Mask R-CNN of COCO, fetched into a folder where it is missing."""
    path = Path(folder) / COCO_FILE
    if not path.is_file():
        download_trained_weights(path)
    return path


def _load_coco(model, folder):
    same_classes = model.config.NUM_CLASSES == COCO_CLASSES
    if model.mode == "inference" and not same_classes:
        raise ValueError(
            f"A model of {model.config.NUM_CLASSES} classes cannot detect with the weights of "
            f'COCO, which has {COCO_CLASSES}: train it first ("coco" is where training starts).'
        )
    exclude = () if same_classes else CLASS_LAYERS
    model.load_weights(coco_weights(folder), by_name=True, exclude=exclude)
