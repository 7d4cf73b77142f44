"""`from lib import utils`, as notebooks of the original Siamese Mask R-CNN begin: its old names."""

import contextlib
import copy
import io
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn.data.augmentation import HorizontalFlip
from mrcnn.data.training_batches import Batches
from mrcnn.drawing.canvas import grid_axes, new_axes, present, user_picture
from mrcnn.images.image import plan_resize
from mrcnn.matterport.detection_targets import global_generator
from mrcnn.matterport.molding import mold_image
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.references import sample_reference
from siamese_mrcnn.data.training_samples import load_sample
from siamese_mrcnn.evaluation import evaluate
from siamese_mrcnn.figures.detections import draw_result

PORTIONS = {None: "test", "train": "train", "val": "validation"}  # by `subsubset`: ours


class IndexedCocoDataset(CocoDataset):
    """A COCO folder that is made empty and loaded later."""

    _wanted = None

    def load_coco(
        self, dataset_dir, subset, subsubset=None, year="2017", return_coco=False, class_ids=None
    ):
        """Load annotations/instances_<subset><year>.json, all of it or its part `subsubset`.

        Returns its pycocotools object if asked for. Of `class_ids`, the ids of the file's
        categories, references and queries are drawn.
        """
        name, folder = f"{subset}{year}", Path(dataset_dir)
        file = folder / "annotations" / f"instances_{name}.json"
        loaded = CocoDataset.from_json(file, folder / name, PORTIONS[subsubset])
        vars(self).update(vars(loaded))
        if class_ids is not None:
            self._wanted = [self.map_source_class_id(f"coco.{each}") for each in class_ids]
        self.set_active_classes(self._wanted)
        return self.coco if return_coco else None

    def set_active_classes(self, classes):
        """Limit the classes that are asked for, before or after loading.

        Class ids that the file lacks do not count: notebooks name all 80 of COCO.
        """
        self._wanted = classes
        if self._is_prepared and classes is not None:
            known = range(1, self.num_classes)
            self.active_classes = [each for each in classes if each in known] or classes

    @property
    def ACTIVE_CLASSES(self):
        return np.array(self.active_classes)

    @ACTIVE_CLASSES.setter
    def ACTIVE_CLASSES(self, classes):
        self.set_active_classes(classes)

    def build_indices(self):
        """Make `image_category_index` [image] and `category_image_index` [class id]."""
        self.image_category_index = [list(self.classes_in(each)) for each in self.image_ids]
        images = (self.images_with(each) for each in range(self.num_classes))
        self.category_image_index = [np.array(each, int) for each in images]


def get_one_target(
    category,
    dataset,
    config,
    augmentation=None,
    target_size_limit=0,
    max_attempts=10,
    return_all=False,
    return_original_size=False,
):
    """Draw a reference of a class by numpy's global generator: uint8 [h, w, 3], prepared.

    One that is smaller than `target_size_limit` pixels is drawn again, `max_attempts` times.
    """
    if augmentation is not None:
        raise ValueError("References are not augmented: leave out `augmentation`.")
    for _ in range(max_attempts):
        drawn = sample_reference(dataset, category, config, global_generator())
        size = (drawn.box[2] - drawn.box[0], drawn.box[3] - drawn.box[1], 3)
        if min(size[:2]) >= target_size_limit:
            break
    if return_all:
        sides = config.TARGET_MIN_DIM, config.TARGET_MAX_DIM
        plan = plan_resize(size, *sides, config.IMAGE_MIN_SCALE)
        return drawn.picture, plan.window, plan.scale, [*plan.padding, (0, 0)], plan.crop
    return (drawn.picture, size) if return_original_size else drawn.picture


def siamese_data_generator(dataset, config, shuffle=True, augmentation=None, batch_size=1):
    """Endless ([images, metas, references, rpn match, rpn deltas, class ids, boxes, masks], []).

    As training is fed here: images and references minus the mean, images mirrored by
    `augmentation=True`.
    """
    steps = [HorizontalFlip()] if augmentation is True else augmentation
    sized = copy.copy(config)
    sized.BATCH_SIZE = batch_size
    seed = int(global_generator().integers(2**31))
    batches = Batches(
        dataset, sized, 1000, seed, steps, shuffle=shuffle, workers=0, sample_loader=load_sample
    )
    for number in itertools.count():
        batches.start_at(*divmod(number, 1000))
        x, y = batches[0]
        yield (
            [
                mold_image(x["images"], config).astype(np.float32),
                x["image_metas"],
                mold_image(x["references"], config).astype(np.float32),
                y["rpn_match"][..., None],
                y["rpn_deltas"],
                *(x[name] for name in ("gt_class_ids", "gt_boxes", "gt_masks")),
            ],
            [],
        )


class customCOCOeval(COCOeval):
    """COCO's metrics, over some of the categories if asked for."""

    def summarize(self, class_index=None, verbose=1):
        """Set `stats`, and print them; `class_index` are places in `params.catIds`."""
        whole, index = self.eval, np.arange(len(self.params.catIds))
        index = index if class_index is None else np.atleast_1d(class_index)
        parts = {"precision": whole["precision"][:, :, index], "recall": whole["recall"][:, index]}
        self.eval = {**whole, **parts}
        with contextlib.nullcontext() if verbose else contextlib.redirect_stdout(io.StringIO()):
            super().summarize()
        self.eval = whole


def evaluate_dataset(
    model,
    dataset,
    dataset_object,
    eval_type="bbox",
    dataset_type="coco",
    limit=0,
    image_ids=None,
    class_index=None,
    verbose=1,
    random_detections=False,
    return_results=False,
):
    """Search every image for every active class that it shows, as the published results were made.

    Prints COCO's metrics of each of `eval_type` ("bbox", "segm" or a list), over `class_index`.
    Returns the last `customCOCOeval` if asked for.
    """
    part = copy.copy(dataset)
    if image_ids is not None:
        part._image_ids = np.asarray(image_ids)
    part._image_ids = part.image_ids[: limit or None]
    seed = int(global_generator().integers(2**31))
    with tempfile.TemporaryDirectory() as folder:
        options = {"shots": model.config.NUM_TARGETS, "profile": "official", "seed": seed}
        evaluate(
            model,
            part,
            part.active_classes,
            output=folder,
            random_boxes=random_detections,
            progress=verbose > 0,
            **options,
        )
        results = json.loads(Path(folder, "results_run0.json").read_text())
    for kind in [eval_type] if isinstance(eval_type, str) else eval_type:
        with contextlib.redirect_stdout(io.StringIO()):
            measured = customCOCOeval(dataset_object, _loaded(dataset_object, results), kind)
            measured.params.imgIds = [part.image_info[each]["id"] for each in part.image_ids]
            measured.evaluate()
            measured.accumulate()
        measured.summarize(class_index, verbose)
    return measured if return_results else None


def evaluate_coco(model, dataset, coco_object, eval_type="bbox", **options):
    """`evaluate_dataset` by its older name."""
    return evaluate_dataset(model, dataset, coco_object, eval_type, **options)


def display_results(target, image, boxes, masks, class_ids, scores=None, title="", ax=None, **_):
    """Draw what was found, with the reference in a corner; options of looks change nothing."""
    own = ax is None
    ax = new_axes(image.shape, make=user_picture) if own else ax
    scores = np.ones(len(boxes)) if scores is None else scores
    found = {"rois": boxes, "masks": masks, "class_ids": class_ids, "scores": scores}
    figure = draw_result(image, target, found, ax=ax, title=title)
    return present(figure) if own else figure


display_siamese_instances = display_results


def display_grid(
    target_list,
    image_list,
    boxes_list,
    masks_list,
    class_ids_list,
    scores_list=None,
    category_names_list=None,
    **_,
):
    """Draw results side by side, each as `display_results`; options of looks change nothing."""
    count = len(image_list)
    axes = grid_axes([image.shape for image in image_list], min(count, 4), make=user_picture)
    names = category_names_list or [""] * count
    scores = scores_list or [None] * count
    lists = (target_list, image_list, boxes_list, masks_list, class_ids_list, scores, names, axes)
    for each in zip(*lists, strict=True):
        display_results(*each)
    return present(axes[0].figure)


def _loaded(truth, results):
    """COCO results as an object of pycocotools, which refuses to load none."""
    if results:
        return truth.loadRes(results)
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty
