"""One experiment, ready to run: its data, its model, its training and its evaluation.

`siamese_mrcnn.experiments.paper.setting` makes it; notebooks call it.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import keras

from mrcnn.config import Config
from mrcnn.model import MaskRCNN
from mrcnn.training.fit import run_schedule
from mrcnn.training.random_start import start_at_random
from mrcnn.weights.checkpoints import find_last
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.splits import split_classes
from siamese_mrcnn.evaluation import plain_mask_rcnn
from siamese_mrcnn.evaluation.one_shot import evaluate
from siamese_mrcnn.evaluation.saved_reports import run_name
from siamese_mrcnn.experiments import trial
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.own_data.load import open_data
from siamese_mrcnn.synthetic.shapes import make_shapes
from siamese_mrcnn.training.one_shot_ap import OneShotAP
from siamese_mrcnn.training.starting_weights import IMAGENET

WATCHED = {"every": 10, "limit": 100}  # how often and on how many images AP is watched


class ExperimentError(ValueError):
    """An experiment that does not exist, or that cannot do what is asked."""


@dataclass(frozen=True)
class Experiment:
    """Everything that a notebook needs to know of an experiment.

    Attributes:
        label: what reports call the model.
        split: 1, 2, 3, 4 or "all".
        is_plain: whether the model is a Mask R-CNN that takes no references.
        is_trial: whether this is the short version of the real thing.
        config: `Config` of the training model.
        schedule: phases, see `siamese_mrcnn.training.schedules`.
        runs: how often to evaluate.
        limit: how many of the test images to evaluate on; None for all.
        trained: names of the trainings whose weights serve, the first that is there.
        published: file of the published weights; None if there are none.
        data, checkpoints, logs, evaluations, quick_look, figures: folders.
    """

    label: str
    split: int | str
    is_plain: bool
    is_trial: bool
    config: Config
    schedule: tuple
    runs: int
    limit: int | None
    trained: tuple
    published: Path | None
    data: Path
    checkpoints: Path
    logs: Path
    evaluations: Path
    quick_look: Path
    figures: Path

    def __str__(self):
        config = self.config
        kind = "A trial with drawn shapes" if self.is_trial else "As in the paper"
        return (
            f"{kind}: the model {self.label}, split {self.split}\n"
            f"data         {self.data}\n"
            f"training     {self.schedule[-1].epochs} epochs of {config.STEPS_PER_EPOCH} steps of "
            f"{config.BATCH_SIZE} images, {config.IMAGE_MAX_DIM} pixels, {config.GPU_COUNT} "
            f"device(s)\n"
            f"checkpoints  {self.logs}/{config.NAME}*\n"
            f"evaluations  {self.evaluations}"
        )

    # --- data -------------------------------------------------------------------------------------

    def training_data(self):
        """Training and validation part, limited to the classes that the split trains on."""
        return open_data(self._data(), self.split)

    def test_data(self):
        """The test images with all their classes."""
        return CocoDataset.from_folder(self._data(), "test")

    def subsets(self, dataset):
        """The groups of classes to evaluate: {"seen": ids, "novel": ids}, or {"all": ids}."""
        seen, novel = split_classes(self.split, dataset.class_ids[1:].tolist())
        return {"seen": seen, "novel": novel} if novel else {"all": seen}

    def _data(self):
        if self.is_trial:
            make_shapes(self.data, **trial.SHAPES)
        return self.data

    # --- training ---------------------------------------------------------------------------------

    def start_training(self):
        """Open the data and make the model, as its latest run left it or as the paper starts.

        Returns:
            model, training data, validation data.
        """
        training, validation = self.training_data()
        keras.utils.set_random_seed(self.config.SEED)
        model = self._model("training", self.config)
        latest = self._latest(self.config.NAME)
        if latest is not None:
            model.load_weights(latest)
            print(f"Going on after epoch {model.epoch}: {latest}")
        elif self.is_trial:
            start_at_random(model, training)
        else:
            pretraining = IMAGENET["all" if self.split == "all" else "split"]
            print(model.load_imagenet_weights(pretraining, folder=self.checkpoints))
        return model, training, validation

    def watch(self, model, validation):
        """A callback that measures one-shot AP on validation images every few epochs."""
        often = trial.WATCHED if self.is_trial else WATCHED
        return OneShotAP(model, validation, validation.active_classes, **often)

    def train(self, model, training, validation, callbacks=(), workers=2):
        """Train by the schedule. Interrupted, the same calls go on where it stopped.

        Args:
            model, training, validation: from `start_training`.
            callbacks: more Keras callbacks.
            workers: threads that prepare batches.

        Returns:
            path of the last checkpoint.
        """
        run_schedule(
            model,
            self.schedule,
            training,
            validation,
            custom_callbacks=list(callbacks),
            workers=workers,
        )
        return model.checkpoint

    def _latest(self, name):
        """The latest checkpoint of the trainings of this name, or None."""
        with contextlib.suppress(FileNotFoundError):
            return find_last(self.logs, name)
        return None

    def _model(self, mode, config):
        if self.is_plain:
            return MaskRCNN(mode, config, str(self.logs))
        return SiameseMaskRCNN(mode, str(self.logs), config)

    # --- evaluation -------------------------------------------------------------------------------

    def detection_model(self, weights="last"):
        """A model to search with, one image at a time on one device.

        Args:
            weights: "last" (of the own training), "published" (in checkpoints/), or a path.
        """
        one_image = {"GPU_COUNT": 1, "IMAGES_PER_GPU": 1}
        model = self._model("inference", type("Detection", (type(self.config),), one_image)())
        self.load_trained(model, weights)
        return model

    def load_trained(self, model, weights="last"):
        """Load weights of this experiment into a detection model, and print which."""
        path = self.trained_weights(weights)
        model.load_weights(path)
        print(f"{self.label}, split {self.split}: {path}")

    def trained_weights(self, weights="last"):
        """Path of trained weights, see `detection_model`.

        Raises:
            FileNotFoundError: they are not there; says what to do.
            ExperimentError: there are no published ones.
        """
        if weights == "last":
            found = filter(None, map(self._latest, self.trained))
            return next(found, None) or find_last(self.logs, self.config.NAME)
        if weights == "published" and self.published is None:
            raise ExperimentError(
                f"No weights of the model {self.label} were published. Set WEIGHTS to "
                '"last", or to the path of a file.'
            )
        path = self.published if weights == "published" else Path(weights)
        if not path.is_file():
            raise FileNotFoundError(
                f"There are no weights {path}. {self.checkpoints}/README.md says where published "
                'ones come from; "last" takes those of your own training.'
            )
        return path

    def evaluate(self, model, testing, shots=1, profile="official", random_boxes=False, only=None):
        """Evaluate on the groups of classes; an interrupted evaluation goes on.

        Args:
            model: from `detection_model`.
            testing: from `test_data`.
            shots: references a query.
            profile: "official" or "clean", see `siamese_mrcnn.evaluation.one_shot`.
            random_boxes: measure chance.
            only: one of the groups, "seen" or "novel"; all if None.

        Returns:
            {"seen": report, "novel": report}, or {"all": report} without a split.
        """
        return {
            subset: evaluate(
                model,
                testing,
                classes,
                runs=self.runs,
                shots=shots,
                profile=profile,
                limit=self.limit,
                output=self.evaluation_folder(subset, shots, profile, random_boxes),
                random_boxes=random_boxes,
            )
            for subset, classes in self.subsets(testing).items()
            if only in (None, subset)
        }

    def evaluate_plain(self, model, testing):
        """Evaluate the plain model on all its classes with COCO's own metrics: a report."""
        folder = self.quick_look / self.config.NAME
        return plain_mask_rcnn.evaluate_plain(model, testing, self.limit, folder)

    def evaluation_folder(self, subset, shots=1, profile="official", random_boxes=False):
        """Where the evaluation of a group of classes is kept."""
        name = run_name(self.label, self.split, subset, shots, profile, random_boxes)
        return self.evaluations / name
