"""Mask R-CNN on a toy data set: squares, circles and triangles, drawn when they are asked for.

    python samples/shapes/shapes.py train        # some minutes on two cores, then the mAP
    python samples/shapes/shapes.py evaluate     # the mAP of the last checkpoint

Nothing is downloaded. Training starts from random weights, unless --weights names a file.
"""

import argparse
import math
import time

import keras
import numpy as np
from rich.progress import track

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.config import Config, Narrow
from mrcnn.training.starting_weights import load_starting_weights

KINDS = ("square", "circle", "triangle")
MOST_SHAPES = 4  # in an image
TRAINING_IMAGES, FRESH_IMAGES = 2000, 100
TRAINING_SEED, FRESH_SEED = 1, 2  # so that nothing is evaluated that was trained on
EPOCHS = 20
MINUTES = 13  # of training, at most


class ShapesConfig(Narrow, Config):
    """Three kinds of things in small images; `mrcnn.config` has the sizes of the network."""

    NAME = "shapes"
    NUM_CLASSES = 1 + len(KINDS)
    IMAGES_PER_GPU = 8
    STEPS_PER_EPOCH = 100
    LEARNING_RATE = 0.02  # falls to nothing
    MAX_GT_INSTANCES = MOST_SHAPES
    DETECTION_MAX_INSTANCES = 2 * MOST_SHAPES
    DETECTION_MIN_CONFIDENCE = 0.5


class ShapesDataset(utils.Dataset):
    """Images of one to four coloured shapes on a plain ground, later ones over earlier ones."""

    def load_shapes(self, count, seed, side=ShapesConfig.IMAGE_MAX_DIM):
        """Plan `count` images of `side` pixels; the same seed plans the same images."""
        for class_id, kind in enumerate(KINDS, start=1):
            self.add_class("shapes", class_id, kind)
        for number in range(count):
            ground, shapes = plan_scene(np.random.default_rng([seed, number]), side)
            self.add_image("shapes", number, None, side=side, ground=ground, shapes=shapes)

    def load_image(self, image_id):
        """The picture: uint8 [side, side, 3]."""
        info = self.image_info[image_id]
        image = np.full((info["side"], info["side"], 3), info["ground"], np.uint8)
        for kind, color, place in info["shapes"]:
            image[filled(kind, place, info["side"])] = color
        return image

    def load_mask(self, image_id):
        """What is seen of each shape: bool [side, side, N], and class ids int32 [N]."""
        info = self.image_info[image_id]
        whole = [filled(kind, place, info["side"]) for kind, _, place in info["shapes"]]
        masks = np.stack(whole, axis=-1)
        for index in range(len(whole) - 1):
            masks[..., index] &= ~masks[..., index + 1 :].any(axis=-1)
        class_ids = [self.class_names.index(kind) for kind, _, _ in info["shapes"]]
        return masks, np.array(class_ids, np.int32)

    def image_reference(self, image_id):
        """The plan of the image, since there is no file to show."""
        return str(self.image_info[image_id]["shapes"])


def plan_scene(rng, side):
    """A ground colour, and (kind, colour, (y, x, radius)) of shapes that hardly overlap."""
    ground = rng.integers(0, 256, 3)
    shapes = []
    for _ in range(rng.integers(1, MOST_SHAPES + 1)):
        radius = int(rng.integers(side // 10, side // 4 + 1))
        y, x = (int(place) for place in rng.integers(radius, side - radius + 1, 2))
        shapes.append((KINDS[rng.integers(len(KINDS))], color_on(ground, rng), (y, x, radius)))
    boxes = np.array([(y - r, x - r, y + r, x + r) for _, _, (y, x, r) in shapes])
    kept = utils.non_max_suppression(boxes, np.arange(len(boxes)), 0.3)
    return tuple(ground.tolist()), [shapes[index] for index in sorted(kept)]


def color_on(ground, rng):
    """A colour that can be told from the ground."""
    while True:
        color = rng.integers(0, 256, 3)
        if np.abs(color - ground).max() > 64:
            return tuple(color.tolist())


def filled(kind, place, side):
    """The pixels of a shape: bool [side, side]."""
    y, x, radius = place
    down, right = np.mgrid[:side, :side] + 0.5 - np.array([y, x]).reshape(2, 1, 1)
    if kind == "circle":
        return down**2 + right**2 <= radius**2
    half_width = radius if kind == "square" else (down + radius) / 2  # a point above
    return (np.abs(down) <= radius) & (np.abs(right) <= half_width)


class FallingRate(keras.callbacks.LearningRateScheduler):
    """Lets the learning rate fall along a cosine to the last epoch, or to the end of the time.

    What comes first counts: so a slow machine ends with small steps, too. When the time is over
    training stops, wherever it is; what is learnt by then is kept.

    Args:
        rate: learning rate at the start.
        epochs: number of the last epoch.
        minutes: time from now on.
    """

    def __init__(self, rate, epochs, minutes):
        super().__init__(self.rate_of)
        self.rate, self.epochs, self.seconds = rate, epochs, 60 * minutes
        self.start = time.monotonic()

    def rate_of(self, epoch, current=None):
        """Learning rate of an epoch, counted from 0, that begins now."""
        gone = max(epoch / self.epochs, self._time_gone())
        return self.rate * (1 + math.cos(math.pi * min(gone, 1))) / 2

    def on_train_batch_end(self, batch, logs=None):
        if self._time_gone() >= 1:
            self.model.stop_training = True

    def _time_gone(self):
        return (time.monotonic() - self.start) / self.seconds


def shapes(count, seed):
    """A prepared `ShapesDataset`."""
    dataset = ShapesDataset()
    dataset.load_shapes(count, seed)
    dataset.prepare()
    return dataset


def train(config, logs, weights="none", minutes=MINUTES):
    """Train on drawn shapes.

    Args:
        config: `ShapesConfig`.
        logs: folder for checkpoints.
        weights: as of `mrcnn.training.starting_weights.load_starting_weights`.
        minutes: training stops then.

    Returns:
        path of the latest checkpoint.
    """
    dataset = shapes(TRAINING_IMAGES, TRAINING_SEED)
    falling = FallingRate(config.LEARNING_RATE, EPOCHS, minutes)
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    load_starting_weights(model, weights, dataset)
    model.train(
        dataset,
        None,
        learning_rate=config.LEARNING_RATE,
        epochs=EPOCHS,
        layers="all",
        custom_callbacks=[falling],
    )
    return model.find_last()


def mean_average_precision(model, dataset):
    """mAP at an overlap of .5: the mean of the images' average precisions."""
    precisions = []
    for image_id in track(dataset.image_ids, "Evaluating"):
        image, _, class_ids, boxes, masks = modellib.load_image_gt(dataset, model.config, image_id)
        r = model.detect([image])[0]
        found = (r["rois"], r["class_ids"], r["scores"], r["masks"])
        precisions.append(utils.compute_ap(boxes, class_ids, masks, *found)[0])
    return float(np.mean(precisions))


def evaluate(config, logs, weights="last", count=FRESH_IMAGES):
    """Print and return the mAP of saved weights on images that training never draws."""
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    load_starting_weights(model, weights)
    precision = mean_average_precision(model, shapes(count, FRESH_SEED))
    print(f"mAP at IoU .5 on {count} fresh images of shapes: {precision:.3f}")
    return precision


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["train", "evaluate"])
    parser.add_argument("--logs", default="logs", help="folder of checkpoints")
    parser.add_argument("--weights", help='"none" (to train from random ones), "last", or a file')
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training, at most")
    parser.add_argument("--images", type=int, default=FRESH_IMAGES, help="to evaluate on")
    arguments = parser.parse_args(arguments)
    config, weights = ShapesConfig(), arguments.weights
    if arguments.command == "train":
        weights = train(config, arguments.logs, weights or "none", arguments.minutes)
    return evaluate(config, arguments.logs, weights or "last", arguments.images)


if __name__ == "__main__":
    main()
