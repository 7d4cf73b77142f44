"""The trained model of the box at work: glyphs that it never saw, measured and drawn."""

import contextlib
import tempfile
from pathlib import Path

import keras

from mrcnn.progress import progress_bar
from mrcnn.training.learning_rates import LearningRate
from mrcnn.training.random_start import start_at_random
from mrcnn.weights.presets import read_facts
from siamese_mrcnn.config import GlyphConfig
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.splits import split_classes
from siamese_mrcnn.experiments.benchmark import Row
from siamese_mrcnn.figures.judged_queries import choose_queries, load_judged_queries
from siamese_mrcnn.figures.query_grids import query_grid
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.synthetic.glyphs import make_glyphs
from siamese_mrcnn.training.schedules import SCHEDULES

WEIGHTS = "checkpoints/glyphs_split1.weights.h5"
SPLIT = 1  # whose novel categories the weights have never seen
TRAINING_SCENES = 64
COLUMNS, PICTURES = 4, 12
SHEETS = {"by_class": "found", "best": "best", "worst": "worst", "absent": "absent"}  # files' names
ABSENT = 1  # categories that every scene is asked for and does not show


def shipped_weights(path=None):
    """The weights to show: those given, or those of the repository.

    Raises:
        FileNotFoundError: they are not there.
    """
    path = Path(path or WEIGHTS)
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no weights {path}. Call the demo from the repository's own folder, which "
            f"holds {WEIGHTS}, or name other weights of the glyphs' configuration (--weights)."
        )
    return path


def draw_scenes(folder, scenes, seed):
    """Draw scenes to search, and a few to train on: training data and test data."""
    make_glyphs(folder, train_images=TRAINING_SCENES, val_images=scenes, seed=seed)
    training = CocoDataset.from_folder(folder, "train")
    testing = CocoDataset.from_folder(folder, "test")
    training.active_classes, _ = split_classes(SPLIT, testing.class_ids[1:].tolist())
    return training, testing


def load_model(weights, folder):
    """The model for detection with its weights, by the configuration that they carry, if any."""
    if read_facts(weights):
        return SiameseMaskRCNN.from_preset(weights, model_dir=str(folder))
    model = SiameseMaskRCNN("inference", str(folder), GlyphConfig())
    model.load_weights(weights)
    return model


def draw_sheets(model, testing, benchmark, folder, filled=True):
    """Contact sheets of novel categories: taken in turn, best and worst, and where they are not.

    Args:
        model, testing: what searched, and the data set that was searched.
        benchmark: folder of `benchmark.run_benchmark`.
        folder: where to write.
        filled: False draws the outlines of masks alone.

    Returns:
        paths of the pictures.
    """
    queries = load_judged_queries(Row("novel", 1).folder(benchmark, model, SPLIT), testing)
    paths = []
    least = 0.5 if model.threshold is None else model.threshold
    for how, name in SHEETS.items():
        chosen = choose_queries(queries, how, PICTURES)
        query_grid(chosen, COLUMNS, min_score=least, path=Path(folder) / name, filled=filled)
        paths.append(Path(folder) / f"{name}.png")
    return paths


def train(training, steps, folder):
    """Train some steps from random weights, the same in every call.

    Returns:
        the loss of each step.
    """
    config = GlyphConfig()
    config.STEPS_PER_EPOCH = steps
    # Adam's first steps are as long as the rate: from random weights, a full one makes losses jump.
    whole = SCHEDULES["glyphs"][1].learning_rate
    rate = LearningRate(whole, warm_up_steps=steps // 3, warm_up_factor=0.1)
    keras.utils.set_random_seed(config.SEED)
    with tempfile.TemporaryDirectory(dir=folder, prefix="logs-") as logs:
        model = SiameseMaskRCNN("training", logs, config)
        start_at_random(model, training)
        with _no_bar_of_keras(), progress_bar("steps") as bar:
            losses = StepLosses(bar, steps)
            model.train(training, None, rate, 1, "all", custom_callbacks=[losses])
    return losses.losses


class StepLosses(keras.callbacks.Callback):
    """Keeps the loss of every step, where Keras tells the mean of the epoch so far; moves a bar."""

    def __init__(self, bar, steps):
        super().__init__()
        self.losses, self._sum = [], 0.0
        self._bar, self._task = bar, bar.add_task("Training", total=steps)

    def on_train_batch_end(self, batch, logs=None):
        mean, before = float(logs["loss"]), self._sum
        self._sum = (batch + 1) * mean
        self.losses.append(self._sum - before)
        self._bar.update(self._task, advance=1, description=f"Training, loss {mean:.2f}")


@contextlib.contextmanager
def _no_bar_of_keras():
    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if interactive:
            keras.config.enable_interactive_logging()
