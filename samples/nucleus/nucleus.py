"""Mask R-CNN on cell nuclei under the microscope: the Data Science Bowl 2018 of Kaggle.

    python samples/nucleus/nucleus.py train --dataset DIR --subset train --weights imagenet
    python samples/nucleus/nucleus.py train --dataset DIR --subset train --weights last    # go on
    python samples/nucleus/nucleus.py detect --dataset DIR --subset stage1_test --weights last

DIR holds what Kaggle's zip files hold: stage1_test, and stage1_train/<id>/images/<id>.png with
masks/*.png. The subset "train" is stage1_train without every tenth image, "val" are these; other
names are folders. Detection writes a picture of each image and the file to submit.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from rich.progress import track

import mrcnn.model as modellib
from mrcnn import utils, visualize
from mrcnn.config import Config
from mrcnn.data import augmentation as augmenters
from mrcnn.data.dataset import DatasetError
from mrcnn.data.mask_folder import find_masked_images, read_masks
from mrcnn.files import atomic_path
from mrcnn.training.starting_weights import WORDS, load_starting_weights
from siamese_mrcnn.evaluation.progress_log import EvaluationLog
from siamese_mrcnn.fingerprints import file_fingerprint, fingerprint

CLASS = "nucleus"
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
DIVIDED = "stage1_train"  # the folder whose images are divided into training and validation
VALIDATION = 10  # every so many-th image of it
STAGES = ((20, "heads"), (40, "all"))  # number of the last epoch, layers that train


class NucleusConfig(Config):
    """A ResNet-50 that sees random crops, scaled up, of images with hundreds of small things."""

    NAME = "nucleus"
    NUM_CLASSES = 1 + 1
    IMAGES_PER_GPU = 6
    STEPS_PER_EPOCH = 603 // 6  # a pass over Kaggle's 670 images without every tenth
    VALIDATION_STEPS = 67 // 6
    BACKBONE = "resnet50"
    IMAGE_RESIZE_MODE = "crop"
    IMAGE_MIN_DIM = 512
    IMAGE_MAX_DIM = 512
    IMAGE_MIN_SCALE = 2.0
    MEAN_PIXEL = np.array([43.53, 39.56, 48.22])
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    RPN_NMS_THRESHOLD = 0.9  # more proposals
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    POST_NMS_ROIS_TRAINING = 1000
    POST_NMS_ROIS_INFERENCE = 2000
    TRAIN_ROIS_PER_IMAGE = 128
    MAX_GT_INSTANCES = 200
    DETECTION_MAX_INSTANCES = 400
    DETECTION_MIN_CONFIDENCE = 0


class WholeImages:
    """What differs from training, where whole images are looked at in place of crops."""

    IMAGE_RESIZE_MODE = "pad64"
    RPN_NMS_THRESHOLD = 0.7


class NucleusInferenceConfig(WholeImages, NucleusConfig):
    """`NucleusConfig` to detect with."""


class NucleusDataset(utils.Dataset):
    """Images with a mask file for each nucleus."""

    def load_nucleus(self, dataset_dir, subset):
        """Add the images of a subset.

        Args:
            dataset_dir: folder with stage1_train and others.
            subset: "train" or "val", or the name of a folder.

        Raises:
            FileNotFoundError, mrcnn.data.mask_folder.MaskFileError: as `find_masked_images`.
        """
        self.add_class(CLASS, 1, CLASS)
        divided = subset in ("train", "val")
        images = find_masked_images(Path(dataset_dir) / (DIVIDED if divided else subset))
        for number, each in enumerate(images):
            if not divided or (number % VALIDATION == 0) == (subset == "val"):
                self.add_image(CLASS, each.name, each.image, masks=each.masks)

    def load_mask(self, image_id):
        """The pixels of each nucleus: bool [H, W, N], and class ids int32 [N]."""
        info = self.image_info[image_id]
        if info["source"] != CLASS:
            return super().load_mask(image_id)
        masks = read_masks(info["masks"], self.load_image(image_id).shape)
        return masks, np.ones(masks.shape[-1], np.int32)


def nuclei(dataset_dir, subset):
    """A prepared `NucleusDataset`."""
    dataset = NucleusDataset()
    dataset.load_nucleus(dataset_dir, subset)
    dataset.prepare()
    return dataset


# --- training -----------------------------------------------------------------------------------


def with_imgaug():
    """Up to two of: mirror, turn, light, blur; by the package imgaug.

    Raises:
        ImportError: it is not installed.
    """
    iaa = augmenters.import_imgaug().augmenters
    turns = [iaa.Affine(rotate=angle) for angle in (90, 180, 270)]
    changes = [
        iaa.Fliplr(0.5),
        iaa.Flipud(0.5),
        iaa.OneOf(turns),
        iaa.Multiply((0.8, 1.5)),
        iaa.GaussianBlur(sigma=(0.0, 5.0)),
    ]
    return iaa.SomeOf((0, 2), changes)


def without_imgaug():
    """Mirror, turn and light by the core's own augmentations."""
    return [
        augmenters.HorizontalFlip(),
        augmenters.Affine(rotate=180.0, translate=0.0),
        augmenters.ColorJitter(brightness=0.3),
    ]


AUGMENTATIONS = {"imgaug": with_imgaug, "own": without_imgaug}


def train(
    config, dataset_dir, logs, subset="train", weights="imagenet", stages=STAGES, augmentation="own"
):
    """Train the heads, then all layers; all from the start where the backbone starts at random.

    Args:
        config: `NucleusConfig`.
        dataset_dir: as of `NucleusDataset.load_nucleus`.
        logs: folder for checkpoints.
        subset: images to train on; those of "val" validate.
        weights: as of `mrcnn.training.starting_weights.load_starting_weights`.
        stages: ((last epoch, layers), ...).
        augmentation: "imgaug" or "own".

    Returns:
        path of the latest checkpoint.

    Raises:
        DatasetError: the images of the subset have no masks.
    """
    changes = AUGMENTATIONS[augmentation]()
    training, validation = nuclei(dataset_dir, subset), nuclei(dataset_dir, "val")
    if not any(info["masks"] for info in training.image_info):
        raise DatasetError(
            f"No image of the subset {subset} in {dataset_dir} has masks, which training needs: "
            'use "train", or a folder whose images have a folder masks.'
        )
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    load_starting_weights(model, weights, training, CHECKPOINTS)
    left = [stage for stage in stages if stage[0] > model.epoch] or stages[-1:]
    for epochs, layers in left:
        model.train(
            training,
            validation,
            learning_rate=config.LEARNING_RATE,
            epochs=epochs,
            layers="all" if weights == "none" else layers,
            augmentation=changes,
        )
    return model.find_last()


# --- detection ----------------------------------------------------------------------------------


def run_lengths(mask):
    """A mask bool [H, W] as Kaggle wants it: "start length start length ...".

    Pixels count from 1, down the columns.
    """
    pixels = np.concatenate([[0], mask.ravel(order="F"), [0]]).astype(np.int8)
    changes = np.flatnonzero(np.diff(pixels)) + 1
    starts, ends = changes[::2], changes[1::2]
    return " ".join(f"{start} {end - start}" for start, end in zip(starts, ends, strict=True))


def disjoint(masks, scores):
    """Masks [H, W, N] as a list, best first; a pixel goes to the best that claims it.

    What keeps no pixel is left out.
    """
    free = np.ones(masks.shape[:2], bool)
    kept = []
    for index in np.argsort(-np.asarray(scores), kind="stable"):
        mask = masks[..., index] & free
        free &= ~mask
        if mask.any():
            kept.append(mask)
    return kept


def detect(config, dataset_dir, logs, subset, weights="last", out=None):
    """Find the nuclei of each image: a picture of each, and submission.csv.

    Called again after an interruption, it goes on with the images that are left.

    Args:
        config: `NucleusInferenceConfig`.
        dataset_dir, subset: as of `NucleusDataset.load_nucleus`.
        logs: folder of checkpoints.
        weights: "last", or a file.
        out: folder to write to; nucleus_<subset> by default.

    Returns:
        path of the CSV file.
    """
    dataset, out = nuclei(dataset_dir, subset), Path(out or f"nucleus_{subset}")
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    path = model.find_last() if weights == "last" else weights
    load_starting_weights(model, path)
    names = [info["id"] for info in dataset.image_info]
    same = (file_fingerprint(path), names, config.items())
    log = EvaluationLog(out / f"progress-{fingerprint(same)}.jsonl")
    for image_id in track(dataset.image_ids.tolist(), "Detecting"):
        if image_id not in log.done:
            encoded = _detect_one(model, dataset, image_id, out / f"{names[image_id]}.png")
            log.append(image_id, {"runs": encoded})
    found = {names[entry["image_id"]]: entry["runs"] for entry in log}
    return write_submission(found, out / "submission.csv")


def _detect_one(model, dataset, image_id, path):
    """Save the picture of what is found; returns the run lengths of each nucleus."""
    image = dataset.load_image(image_id)
    found = model.detect([image])[0]
    figure = visualize.display_instances(
        image,
        found["rois"],
        found["masks"],
        found["class_ids"],
        dataset.class_names,
        captions=[""] * len(found),
        show_bbox=False,
        filled=False,
        ax=visualize.new_axes(image.shape),  # or a notebook would show every one of them
    )
    with atomic_path(path, suffix=".png") as temporary:
        figure.savefig(temporary)
    return [run_lengths(mask) for mask in disjoint(found["masks"], found["scores"])]


def write_submission(found, path):
    """Write {image: run lengths of each nucleus} as Kaggle wants it; returns the path.

    A line for each nucleus, and one without run lengths for an image that has none.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["ImageId", "EncodedPixels"])
        for name, encoded in found.items():
            lines.writerows([name, each] for each in encoded or [""])
    return path


def main(arguments=None):
    """Run one command; an error ends the program with its sentence."""
    arguments = _parser().parse_args(arguments)
    given = (arguments.dataset, arguments.logs, arguments.subset, arguments.weights)
    try:
        if arguments.command == "train":
            path = train(NucleusConfig(), *given, STAGES, arguments.augmentation)
        else:
            path = detect(NucleusInferenceConfig(), *given, arguments.out)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"nucleus.py: {error}")
    print(f"Saved: {path}")


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train on images with mask files")
    training.add_argument("--weights", required=True, metavar=WORDS, help="to begin with")
    training.add_argument(
        "--augmentation",
        choices=tuple(AUGMENTATIONS),
        default="own",
        help="by the core's own (default), or as Matterport's by the package imgaug",
    )
    detection = commands.add_parser("detect", help="write pictures and the file to submit")
    detection.add_argument("--weights", required=True, metavar="last|FILE", help="of a model")
    detection.add_argument("--out", metavar="DIR", help="(default: nucleus_SUBSET)")
    for command in (training, detection):
        command.add_argument("--dataset", required=True, metavar="DIR", help="with stage1_train")
        command.add_argument(
            "--subset", required=True, help='"train" or "val" of stage1_train, or a folder'
        )
        command.add_argument("--logs", default="logs", metavar="DIR", help="folder of checkpoints")
    return parser


if __name__ == "__main__":
    main()
