"""Watching a training: how well its model finds, on the same few queries every few epochs."""

import io
import json
import logging
import tempfile
from collections import Counter
from pathlib import Path

import keras
import numpy as np

from mrcnn.data.postprocessing import Detections
from mrcnn.images.masks import boxes_of_masks
from mrcnn.training.history import (
    TensorBoardFiles,
    add_to_history,
    complete_history,
    has_tensorboard,
    history_of,
)
from mrcnn.weights.checkpoints import steps_after
from siamese_mrcnn.evaluation.coco_metrics import decode_results
from siamese_mrcnn.evaluation.one_shot import PROFILES, evaluate
from siamese_mrcnn.evaluation.queries import QueryLoader
from siamese_mrcnn.figures.detections import draw_panels
from siamese_mrcnn.training.schedules import WATCHED_IMAGES

logger = logging.getLogger(__name__)

PROFILE = "clean"
RUN = "one_shot"  # of TensorBoard
MEASURED = {  # name in the logs: where the evaluation's report has it
    "one_shot_AP": ("bbox", "AP"),
    "one_shot_AP50": ("bbox", "AP50"),
    "one_shot_mask_AP": ("segm", "AP"),
    "one_shot_mask_AP50": ("segm", "AP50"),
}
PICTURE = "one_shot_found"
DOTS_PER_INCH = 72  # of the picture; more would fill the disk, one every few epochs


class OneShotAP(keras.callbacks.Callback):
    """Measures one-shot average precision while a `SiameseMaskRCNN` trains.

    After every N-th epoch the model in training is evaluated as `siamese_mrcnn.evaluation`
    does (profile "clean", one run) on the first images of a data set, always with the same
    references. AP and AP50 of boxes and masks, 0..1, are added to the epoch's `logs` as
    one_shot_AP, one_shot_AP50, one_shot_mask_AP and one_shot_mask_AP50, where the callbacks
    that come after this one find them, to history.csv, and, where tensorboard is installed, to its
    run "one_shot", with a picture of some queries: reference, image, what was found, the truth.

        watching = OneShotAP(model, validation, novel, every=5)
        model.train(training, validation, 0.02, 120, "all", custom_callbacks=[watching])

    Making it already goes through the whole evaluation, without the model: what cannot be
    measured is an error then, not after an epoch.
    """

    def __init__(
        self,
        model,
        dataset,
        classes=None,
        every=1,
        limit=WATCHED_IMAGES,
        shots=None,
        seed=0,
        pictures=4,
        workers=2,
        progress=True,
    ):
        """Prepare to watch.

        Args:
            model: `SiameseMaskRCNN` in mode "training".
            dataset: prepared data set, of queries and of references.
            classes: class ids to search for; all by default.
            every: epochs from one measurement to the next, counted from the very beginning.
            limit: look at the first `limit` images only; None for all.
            shots: references a query; as many as in training by default.
            seed: of the references.
            pictures: queries to draw, of different images; 0 for no picture.
            workers: threads that load images and references.
            progress: show a progress bar.

        Raises:
            EvaluationError: an argument makes no sense, or nothing could be evaluated.
            ValueError: `every` or `pictures` is no such number.
        """
        super().__init__()
        for name, value, least in (("every", every, 1), ("pictures", pictures, 0)):
            if not isinstance(value, int | np.integer) or value < least:
                raise ValueError(
                    f"{name} must be a whole number of at least {least}, but is {value!r}."
                )
        self.watched, self.every = model, every
        self._progress = progress
        self._arguments = {
            "dataset": dataset,
            "classes": classes,
            "shots": model.config.NUM_TARGETS if shots is None else shots,
            "profile": PROFILE,
            "limit": limit,
            "seed": seed,
            "workers": workers,
        }
        self._rehearse()
        self._drawn = self._choose_drawn(pictures)

    def catch_up(self):
        """Measure the epoch that a loaded checkpoint ends, if a kill came before its numbers.

        Call it before training goes on; it does nothing where history.csv has them, or has no line
        of that epoch.
        """
        run = self.watched
        epoch = run.epoch
        if not epoch or epoch % self.every or steps_after(epoch, run.checkpoint):
            return
        if run.checkpoint is not None:
            complete_history(run.log_dir, run.checkpoint)
        line = history_of(run.log_dir, epoch)
        if line and not any(line.get(name) for name in MEASURED):
            self.files = TensorBoardFiles(run.log_dir)
            self._record(epoch)
            self.files.close()

    def on_train_begin(self, logs=None):
        if self.model is not self.watched.keras_model:
            raise ValueError(
                "This OneShotAP was made for another model than the one that is to be trained. "
                "Make one with OneShotAP(model, ...) for each model."
            )
        self.files = TensorBoardFiles(self.watched.log_dir)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        values = self._record(epoch + 1)
        if logs is not None:
            logs.update(values)

    def on_train_end(self, logs=None):
        self.files.close()

    def measure(self, folder):
        """Evaluate the model as it is now: {name in the logs: value in 0..1}.

        Args:
            folder: takes the evaluation's files, see `siamese_mrcnn.evaluation.one_shot.evaluate`.
        """
        # Any model can detect, with the weights that it holds. On JAX, fit keeps them elsewhere
        # while an epoch lasts, but has put them back when it ends.
        report = evaluate(self.watched, output=folder, progress=self._progress, **self._arguments)
        return {
            name: report[kind][metric]["mean"]
            for name, (kind, metric) in MEASURED.items()
            if kind in report
        }

    def _rehearse(self):
        """Evaluate what finds nothing, so that every cause to fail but the model shows itself."""
        nobody = FindsNothing(self.watched.config)
        report = evaluate(nobody, progress=self._progress, **self._arguments)
        for reason, count in report["failures"].items():
            logger.warning(
                "One-shot AP is measured without %d of %d queries: %s.",
                count,
                report["queries"],
                reason,
            )

    def _choose_drawn(self, count):
        """The queries to draw, each of another image, of the classes in turn.

        Returns:
            [(name of the class, image, `Query`, truth as `draw_panels` wants it)].
        """
        dataset, classes = self._arguments["dataset"], self._arguments["classes"]
        loader = QueryLoader(
            dataset,
            dataset.class_ids[1:].tolist() if classes is None else classes,
            self.watched.config,
            runs=1,
            shots=self._arguments["shots"],
            seed=self._arguments["seed"],
            same_image=PROFILES[PROFILE]["same_image"],
        )
        chosen, shown = [], Counter()
        for image_id in dataset.image_ids[: self._arguments["limit"]].tolist():
            if len(chosen) == count:
                break
            image, queries = loader.load(image_id) if loader.classes_in(image_id) else (None, [])
            queries = [query for query in queries if not query.failure]
            if queries:
                query = min(queries, key=lambda each: shown[each.class_id])
                shown[query.class_id] += 1
                masks = dataset.load_masks_of(image_id, query.class_id)
                truth = {"rois": boxes_of_masks(masks), "masks": masks}
                chosen.append((dataset.class_names[query.class_id], image, query, truth))
        return chosen

    def _record(self, epoch):
        """Measure, and write the values of an epoch, which counts from 1."""
        with tempfile.TemporaryDirectory() as folder:
            values = self.measure(folder)
            add_to_history(self.watched.log_dir, epoch, values)
            if has_tensorboard():
                self._write(epoch, values, folder)
        return values

    def _write(self, epoch, values, folder):
        for name, value in values.items():
            self.files.scalar(RUN, name, value, epoch)
        if self._drawn:
            self.files.picture(RUN, PICTURE, self._draw(folder), epoch)
        self.files.flush()

    def _draw(self, folder):
        """PNG of the chosen queries with what `detect` would find: bytes."""
        with open(Path(folder) / "results_run0.json", encoding="utf-8") as file:
            results = json.load(file)
        least = self.watched.config.DETECTION_MIN_CONFIDENCE
        rows = []
        for name, image, query, truth in self._drawn:
            asked = (query.source_image_id, query.category_id)
            mine = [
                each
                for each in results
                if (each["image_id"], each["category_id"]) == asked and each["score"] >= least
            ]
            rows.append((name, image, list(query.references), decode_results(mine), truth))
        figure, buffer = draw_panels(rows), io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
        return buffer.getvalue()


class FindsNothing:
    """Takes the place of a `SiameseMaskRCNN` in an evaluation, and never finds anything."""

    def __init__(self, config):
        self.config = config

    def encode_queries(self, images):
        return images

    def encode_references(self, references):
        return [np.zeros((len(references), 1), np.float32)]

    def detect_encoded(self, queries, vectors):
        (image,) = queries
        nothing = Detections(
            rois=np.zeros((0, 4), np.int32),
            class_ids=np.zeros(0, np.int32),
            scores=np.zeros(0, np.float32),
            masks=np.zeros((*image.shape[:2], 0), bool),
        )
        return [nothing] * len(vectors[0])
