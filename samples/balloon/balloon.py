"""Mask R-CNN on balloons that were outlined in the VGG Image Annotator, and the color splash.

    python samples/balloon/balloon.py train --dataset data/balloon --weights coco
    python samples/balloon/balloon.py train --dataset data/balloon --weights last     # go on
    python samples/balloon/balloon.py splash --weights last --image photo.jpg
    python samples/balloon/balloon.py splash --weights W.h5 --video party.mp4 --out splash.mp4

The folder has train/ and val/, each with its pictures and one JSON file as VIA exports it. Your own
things in place of balloons: outline them in VIA, and change NAME and CLASS.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2gray

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.config import Config
from mrcnn.data.dataset import DatasetError
from mrcnn.data.via import draw_masks, read_via
from mrcnn.files import atomic_path
from mrcnn.images.image import read_image
from mrcnn.images.videos import change_video
from mrcnn.training.starting_weights import WORDS, load_starting_weights

CLASS = "balloon"
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
EPOCHS = 30
MARGIN = 10  # pixels that an outline may lie outside of its image


class BalloonConfig(Config):
    """A ResNet-101 for large photos, in 12 GB; COCO's weights leave little to learn."""

    NAME = "balloon"
    NUM_CLASSES = 1 + 1
    IMAGES_PER_GPU = 2
    STEPS_PER_EPOCH = 100
    DETECTION_MIN_CONFIDENCE = 0.9


class BalloonDataset(utils.Dataset):
    """Pictures with one class of things, outlined in VIA."""

    def load_balloon(self, dataset_dir, subset):
        """Add the pictures of a subset that have outlines; says how many have none.

        Args:
            dataset_dir: folder of the subsets' folders.
            subset: name of the folder, "train" or "val".

        Raises:
            FileNotFoundError: the folder, its JSON file or a picture is missing.
            DatasetError: there is more than one JSON file, or an outline outside of its picture.
            mrcnn.data.via.ViaError: the file is not VIA's.
        """
        self.add_class(CLASS, 1, CLASS)
        folder = Path(dataset_dir) / subset
        images = read_via(_annotation_file(folder))
        annotated = [image for image in images if image.regions]
        _require_files([folder / image.filename for image in annotated])
        for image in annotated:
            path = folder / image.filename
            height, width = _size(path)
            _require_inside(image.regions, height, width)
            self.add_image(
                CLASS, image.filename, path, height=height, width=width, regions=image.regions
            )
        if len(annotated) < len(images):
            count = len(images) - len(annotated)
            print(f"{folder}: {count} of {len(images)} pictures have no outlines and are left out.")

    def load_mask(self, image_id):
        """The pixels of each balloon: bool [H, W, N], and class ids int32 [N]."""
        info = self.image_info[image_id]
        if info["source"] != CLASS:
            return super().load_mask(image_id)
        masks = draw_masks(info["regions"], (info["height"], info["width"]))
        return masks, np.ones(masks.shape[-1], np.int32)


def _annotation_file(folder):
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. The data set needs train/ and val/, each with its "
            "pictures and one JSON file of VIA."
        )
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError(
            f"{folder} has no JSON file: export the annotations of its pictures from VIA as JSON, "
            "and put the file there."
        )
    if len(files) > 1:
        raise DatasetError(
            f"{folder} has {len(files)} JSON files ({', '.join(file.name for file in files)}), but "
            "one is expected: take the others away."
        )
    return files[0]


def _require_files(paths):
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} annotated pictures are missing, the first is "
            f"{missing[0]}. Put them beside the JSON file, or delete them in VIA."
        )


def _size(path):
    """(height, width), read without decoding the whole picture if possible."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError):
        return read_image(path).shape[:2]  # which finds the words for what is wrong


def _require_inside(regions, height, width):
    for region in regions:
        low, high = region.polygon.min(axis=0), region.polygon.max(axis=0)
        if (low < -MARGIN).any() or (high > np.array([height, width]) + MARGIN).any():
            raise DatasetError(
                f"{region.place} reaches from (y, x) = {_rounded(low)} to {_rounded(high)}, but "
                f"the picture has {height} x {width} pixels. Was another picture annotated, or one "
                "that the browser turns upright (EXIF)? Turn such pictures before annotating."
            )


def _rounded(point):
    return tuple(np.rint(point).astype(int).tolist())


def balloons(dataset_dir, subset):
    """A prepared `BalloonDataset`."""
    dataset = BalloonDataset()
    dataset.load_balloon(dataset_dir, subset)
    dataset.prepare()
    return dataset


def train(config, dataset_dir, logs, weights="coco", epochs=EPOCHS):
    """Train the heads, or all layers where the backbone starts at random.

    Args:
        config: `BalloonConfig`.
        dataset_dir: folder with train/ and val/.
        logs: folder for checkpoints.
        weights: as of `mrcnn.training.starting_weights.load_starting_weights`.
        epochs: number of the last epoch.

    Returns:
        path of the latest checkpoint.
    """
    training, validation = (balloons(dataset_dir, subset) for subset in ("train", "val"))
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    load_starting_weights(model, weights, training, CHECKPOINTS)
    model.train(
        training,
        validation,
        learning_rate=config.LEARNING_RATE,
        epochs=epochs,
        layers="all" if weights == "none" else "heads",
    )
    return model.find_last()


def load_trained(config, logs, weights="last"):
    """A model that detects, with the weights of a file or those that were saved last."""
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    load_starting_weights(model, weights, folder=CHECKPOINTS)
    return model


def color_splash(image, masks):
    """Grey where no instance is, colour where one is.

    Args:
        image: uint8 [H, W, 3] RGB.
        masks: bool [H, W, N].

    Returns:
        uint8 [H, W, 3].
    """
    grey = np.rint(rgb2gray(image) * 255).astype(np.uint8)
    return np.where(masks.any(axis=-1)[..., None], image, grey[..., None])


def splash_picture(model, path, out):
    """Write the color splash of a picture file, as PNG, JPEG or what else the ending of `out` says.

    Returns:
        the splash, and how many instances were found.

    Raises:
        mrcnn.images.image.ImageError: the picture cannot be read.
        ValueError: the ending is of no picture format.
        OSError: it could not be written.
    """
    out = Path(out)
    if Image.registered_extensions().get(out.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"The name of a picture must end in .png, .jpg or the like, not {out}.")
    image = read_image(path, upright=True)
    masks = model.detect([image])[0]["masks"]
    splash = color_splash(image, masks)
    with atomic_path(out, suffix=out.suffix) as temporary:
        Image.fromarray(splash).save(temporary)
    return splash, masks.shape[-1]


def splash_video(model, path, out):
    """Write the color splash of a video; returns the number of frames."""
    return change_video(
        path,
        out,
        lambda frame: color_splash(frame, model.detect([frame])[0]["masks"]),
        title="Splashing",
    )


def main(arguments=None):
    """Run one command; an error ends the program with its sentence."""
    arguments = _parser().parse_args(arguments)
    try:
        if arguments.command == "train":
            given = (arguments.dataset, arguments.logs, arguments.weights, arguments.epochs)
            print(f"Saved: {train(BalloonConfig(), *given)}")
        else:
            _splash(arguments)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"balloon.py: {error}")


def _splash(arguments):
    model = load_trained(BalloonConfig(), arguments.logs, arguments.weights)
    source = Path(arguments.image or arguments.video)
    out = arguments.out or f"{source.stem}_splash{'.png' if arguments.image else '.mp4'}"
    if arguments.image:
        print(f"{splash_picture(model, source, out)[1]} instances found. Saved: {out}")
    else:
        print(f"{splash_video(model, source, out)} frames. Saved: {out}")


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train on pictures annotated in VIA")
    training.add_argument("--dataset", required=True, metavar="DIR", help="with train/ and val/")
    training.add_argument("--weights", required=True, metavar=WORDS, help="to begin with")
    training.add_argument("--epochs", type=int, default=EPOCHS, help="(default: %(default)s)")
    splash = commands.add_parser("splash", help="colour what is found, and nothing else")
    splash.add_argument("--weights", required=True, metavar="last|FILE", help="of a trained model")
    what = splash.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", metavar="FILE", help="picture to splash")
    what.add_argument("--video", metavar="FILE", help="video to splash")
    splash.add_argument("--out", metavar="FILE", help="(default: NAME_splash.png, NAME_splash.mp4)")
    for command in (training, splash):
        command.add_argument("--logs", default="logs", metavar="DIR", help="folder of checkpoints")
    return parser


if __name__ == "__main__":
    main()
