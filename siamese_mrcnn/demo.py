"""The whole way in minutes on two cores: draw shapes, train on some kinds, find the others.

The model is the paper's, only narrow and for small images, and starts from random weights; so it
shows that everything works, not how well it can work.
"""

import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mrcnn.masks import boxes_of_masks
from mrcnn.random_start import start_at_random
from siamese_mrcnn.coco import CocoDataset
from siamese_mrcnn.config import Config
from siamese_mrcnn.evaluation import evaluate
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.references import draw_reference
from siamese_mrcnn.shapes import make_shapes
from siamese_mrcnn.splits import split_classes
from siamese_mrcnn.visualize import draw_panels, result_grid

SPLIT = 1
SHAPES = {"train_images": 600, "val_images": 40, "image_size": 128}
STAGES = ((4, 0.02), (5, 0.002))  # last epoch, learning rate
PICTURES = 8  # in the overview
PANELS = 3


class DemoConfig(Config):
    """Siamese Mask R-CNN for images of 128 pixels, made to train in minutes."""

    NAME = "demo"
    IMAGES_PER_GPU = 4
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    TARGET_MIN_DIM = 64
    TARGET_MAX_DIM = 64
    FPN_FEATUREMAPS = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 128
    RPN_ANCHOR_SCALES = (16, 24, 32, 48, 64)
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 24
    MASK_POOL_SIZE = 7
    MASK_SHAPE = [14, 14]
    MAX_GT_INSTANCES = 6
    DETECTION_MAX_INSTANCES = 10
    DETECTION_MIN_CONFIDENCE = 0.5
    DETECTION_NMS_THRESHOLD = 0.3
    GRADIENT_CLIP_NORM = 1.0  # larger first steps from random weights leave dead units


def open_shapes(folder):
    """Draw the data set if it is not there yet.

    Returns:
        training data limited to the seen kinds, test data, class ids of the novel kinds.
    """
    make_shapes(folder, **SHAPES)
    training = CocoDataset.from_folder(folder, "train")
    testing = CocoDataset.from_folder(folder, "test")
    training.active_classes, novel = split_classes(SPLIT, testing.class_ids[1:].tolist())
    return training, testing, novel


def train(training, steps, weights_file):
    """Train from random weights and keep the last checkpoint as `weights_file`."""
    weights_file = Path(weights_file)
    weights_file.parent.mkdir(parents=True, exist_ok=True)
    config = DemoConfig()
    config.STEPS_PER_EPOCH = max(1, steps // STAGES[-1][0])
    with tempfile.TemporaryDirectory(dir=weights_file.parent, prefix="logs-") as folder:
        model = SiameseMaskRCNN("training", folder, config)
        start_at_random(model, training)
        with ProgressBar(config.STEPS_PER_EPOCH * STAGES[-1][0]) as bar:
            for epochs, rate in STAGES:
                model.train(training, None, rate, epochs, "all", custom_callbacks=[bar.callback()])
        shutil.move(model.checkpoint, weights_file)


def draw_results(model, testing, novel, folder, seed=0, filled=True):
    """Search test images for novel kinds and draw what is found, taken as they come.

    `filled=False` draws the outlines of masks alone.

    Returns:
        paths of the two pictures.
    """
    rows = [
        _search(model, testing, image_id, class_id, np.random.default_rng([seed, number]))
        for number, (image_id, class_id) in enumerate(_choose(testing, novel))
    ]
    overview, panels = Path(folder) / "found.png", Path(folder) / "panels.png"
    result_grid(
        [(image, reference, found) for _, image, reference, found, _ in rows],
        overview,
        titles=[name for name, *_ in rows],
        filled=filled,
    )
    draw_panels(rows[:PANELS], panels, filled)
    return overview, panels


def measure(model, testing, novel, folder):
    """One-shot evaluation on the novel kinds, and on the same boxes at random places."""
    report = evaluate(model, testing, novel, output=Path(folder) / "evaluation")
    chance = evaluate(model, testing, novel, random_boxes=True, progress=False)
    return report, chance


def _choose(testing, novel):
    """(image, class) pairs, the classes in turn, every image once."""
    queues = [list(testing.images_with(class_id)) for class_id in novel]
    chosen, used = [], set()
    while len(chosen) < PICTURES and any(queues):
        for class_id, queue in zip(novel, queues, strict=True):
            while queue and queue[0] in used:
                queue.pop(0)
            if queue and len(chosen) < PICTURES:
                used.add(queue[0])
                chosen.append((queue.pop(0), class_id))
    return chosen


def _search(model, testing, image_id, class_id, rng):
    """(name, image, reference, detections, truth) of one query."""
    image = testing.load_image(image_id)
    reference = draw_reference(testing, class_id, model.config, rng, exclude_image=image_id)
    vectors = model.encode_references(reference.picture[None, None])
    (found,) = model.detect_encoded(model.encode_queries([image]), vectors)
    masks = testing.load_masks_of(image_id, class_id)
    truth = {"rois": boxes_of_masks(masks), "masks": masks}
    return testing.class_names[class_id], image, reference, found, truth


class ProgressBar:
    """One bar over several calls of `fit`, in place of Keras' own."""

    def __init__(self, steps):
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps, loss {task.fields[loss]},"),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._task = self._bar.add_task("Training", total=steps, loss="-")

    def __enter__(self):
        self._interactive = keras.config.is_interactive_logging_enabled()
        keras.config.disable_interactive_logging()
        self._bar.start()
        return self

    def __exit__(self, *error):
        self._bar.stop()
        if self._interactive:
            keras.config.enable_interactive_logging()

    def callback(self):
        """A Keras callback that moves the bar."""
        return keras.callbacks.LambdaCallback(on_train_batch_end=self._advance)

    def _advance(self, batch, logs):
        del batch
        self._bar.update(self._task, advance=1, loss=f"{float(logs['loss']):.2f}")
