"""What training is fed with: samples drawn from a data set, stacked to batches.

A batch is (x, y), two dicts of arrays, B = BATCH_SIZE, G = MAX_GT_INSTANCES, A anchors:

x: images uint8 [B, H, W, 3], prepared, the mean not subtracted; image_metas float32
   [B, IMAGE_META_SIZE]; gt_class_ids int32 [B, G], zero padded; gt_boxes float32 [B, G, 4],
   pixels; gt_masks uint8 [B, h, w, G] of 0 and 1; roi_priorities float32
   [B, POST_NMS_ROIS_TRAINING], which decide the RoIs that are sampled.
y: rpn_match int32 [B, A]; rpn_deltas float32 [B, RPN_TRAIN_ANCHORS_PER_IMAGE, 4].

Sample n of epoch e depends on (seed, e, n) alone, whoever computes it.
"""

import functools
import logging
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mrcnn.data.anchor_targets import anchor_targets
from mrcnn.data.augmentation import augment
from mrcnn.data.prefetch import Prefetcher
from mrcnn.data.preprocessing import plan_input
from mrcnn.images.image import compose_image_meta, prepare_image
from mrcnn.images.masks import prepare_masks

logger = logging.getLogger(__name__)

TARGETS = ("rpn_match", "rpn_deltas")  # the entries of a sample that go to y
MAX_TRIES = 100  # of images in a row that cannot be used


class SkipSample(Exception):
    """This image has nothing to learn from; draw another one without a word."""


class BrokenSample(ValueError):
    """This image or its annotation is damaged; draw another one and report it."""


def load_sample(dataset, image_id, config, rng, augmentation=None):
    """Load one image with all its instances and make it a training sample, a dict of arrays.

    Crowds keep their negative class ids, so that no target is made of them.

    Raises:
        SkipSample: if no instance is annotated.
    """
    masks, class_ids = dataset.load_mask(image_id)
    if not np.any(np.asarray(class_ids) > 0):
        raise SkipSample
    image = dataset.load_image(image_id)
    active = dataset.active_classes_of(image_id)
    return prepare_sample(image_id, image, masks, class_ids, active, config, rng, augmentation)


def prepare_sample(
    image_id, image, masks, class_ids, active_class_ids, config, rng, augmentation=None
):
    """Make an image and its instances a training sample.

    Args:
        image_id: number that goes into the image meta.
        image: uint8 [H, W, 3].
        masks: bool [H, W, N], or a list of N masks [H, W].
        class_ids: int [N], negative for crowds.
        active_class_ids: [NUM_CLASSES] of 0 and 1, for the image meta.
        config: `Config`.
        rng: `numpy.random.Generator`, the only source of chance.
        augmentation: see `mrcnn.data.augmentation.augment`.

    Returns:
        dict of the arrays of a batch, without the batch axis.

    Raises:
        BrokenSample: if no instance is left in the prepared image.
    """
    if isinstance(masks, np.ndarray):
        masks = [masks[..., index] for index in range(masks.shape[-1])]
    if augmentation is not None:
        image, masks = _augment(image, masks, augmentation, rng)
    geometry = plan_input(image.shape, config, rng)
    mini_shape = config.MINI_MASK_SHAPE if config.USE_MINI_MASK else None
    boxes, masks, kept = prepare_masks(masks, geometry, mini_shape)
    class_ids = np.asarray(class_ids, np.int32)[kept]
    if not np.any(class_ids > 0):
        raise BrokenSample("no pixel of any instance is left after preparing the image")
    rpn_match, rpn_deltas = anchor_targets(geometry.prepared_shape, class_ids, boxes, config, rng)
    return {
        "images": prepare_image(image, geometry),
        "image_metas": compose_image_meta(image_id, geometry, active_class_ids),
        **_pad_instances(class_ids, boxes, masks, config.MAX_GT_INSTANCES, rng),
        "roi_priorities": rng.random(config.POST_NMS_ROIS_TRAINING, dtype=np.float32),
        "rpn_match": rpn_match,
        "rpn_deltas": rpn_deltas,
    }


def _augment(image, masks, augmentation, rng):
    stack = np.stack(masks, axis=-1).astype(bool)
    image, stack = augment(image, stack, augmentation, rng)
    return image, [stack[..., index] for index in range(stack.shape[-1])]


def _pad_instances(class_ids, boxes, masks, room, rng):
    """Exactly `room` instances: a random subset of too many, else zero padded."""
    if len(class_ids) > room:
        chosen = rng.choice(len(class_ids), room, replace=False)
        class_ids, boxes, masks = class_ids[chosen], boxes[chosen], masks[..., chosen]
    count = len(class_ids)
    padded = {
        "gt_class_ids": np.zeros(room, np.int32),
        "gt_boxes": np.zeros((room, 4), np.float32),
        "gt_masks": np.zeros((*masks.shape[:2], room), np.uint8),
    }
    padded["gt_class_ids"][:count] = class_ids
    padded["gt_boxes"][:count] = boxes
    padded["gt_masks"][..., :count] = masks
    return padded


@dataclass(frozen=True)
class BatchMaker:
    """Makes batch number `index` of an epoch from nothing but the seed; can be sent to workers."""

    dataset: Any
    config: Any
    steps: int
    seed: int
    augmentation: Any
    shuffle: bool
    sample_loader: Any

    def __call__(self, epoch, index):
        """The batch ((x, y) dicts of arrays), and how many broken images were replaced."""
        first = index * self.config.BATCH_SIZE
        samples, replaced = [], 0
        for n in range(first, first + self.config.BATCH_SIZE):
            sample, broken = self._sample(epoch, n)
            samples.append(sample)
            replaced += broken
        return _stack(samples), replaced

    def _sample(self, epoch, n):
        """Sample n of an epoch, and how many broken images were drawn before it."""
        rng = np.random.default_rng([self.seed, epoch, n])
        image_id = self._image_of(epoch, n)
        broken, failure = 0, None
        for _ in range(MAX_TRIES):
            try:
                sample = self.sample_loader(
                    self.dataset, image_id, self.config, rng, self.augmentation
                )
                return sample, broken + sample.pop("replaced", 0)
            except SkipSample:
                failure = failure or "the images drawn show no active class"
            except (ValueError, OSError) as error:
                name = self.dataset.source_image_link(image_id)
                failure = f"{name}: {error}"
                logger.warning("Replaced a broken image, %s", failure)
                broken += 1
            image_id = int(rng.choice(self.dataset.image_ids))
        raise ValueError(
            f"No sample could be made of {MAX_TRIES} images in a row; the last failure: "
            f"{failure}. Check the folder of images, the annotations and the active classes."
        )

    def _image_of(self, epoch, n):
        """The n-th image of an epoch, in passes over all images that go on from epoch to epoch."""
        image_ids = self.dataset.image_ids
        position = epoch * self.steps * self.config.BATCH_SIZE + n
        number, place = divmod(position, len(image_ids))
        if self.shuffle:
            place = _shuffled_pass(self.seed, number, len(image_ids))[place]
        return int(image_ids[place])


@functools.lru_cache(maxsize=4)
def _shuffled_pass(seed, number, length):
    return np.random.default_rng([seed, number]).permutation(length)


def _stack(samples):
    """Stack samples to (x, y)."""
    shapes = {sample["images"].shape for sample in samples}
    if len(shapes) > 1:
        raise ValueError(
            f"The images of a batch must have one shape, but have {sorted(shapes)}. Use "
            'IMAGE_RESIZE_MODE "square" or "crop", or batches of one image.'
        )
    stacked = {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}
    targets = {key: stacked.pop(key) for key in TARGETS}
    return stacked, targets


class Batches(keras.utils.PyDataset):
    """Batches of a data set for `fit(shuffle=False)`, the same whatever the number of workers.

    (With shuffle=True, which is Keras' default, it would ask for them in a random order.)

    Args:
        dataset: a prepared `Dataset`.
        config: `Config`.
        steps: batches an epoch.
        seed: of everything that is drawn.
        epoch, skipped: where to begin when training is resumed, see `start_at`.
        augmentation: see `mrcnn.data.augmentation.augment`.
        shuffle: draw the order of images anew in each pass over them.
        repeat: the same batches in every epoch, so that validations compare.
        workers: threads or processes that prepare batches ahead; 0: none.
        use_multiprocessing: processes instead of threads.
        max_queue_size: batches to hold ready.
        sample_loader: function (dataset, image_id, config, rng, augmentation) -> dict of arrays
            as of `load_sample`; raises `SkipSample` or, for broken images, a ValueError.
    """

    def __init__(
        self,
        dataset,
        config,
        steps,
        seed=0,
        epoch=0,
        augmentation=None,
        shuffle=True,
        workers=1,
        use_multiprocessing=False,
        max_queue_size=8,
        sample_loader=load_sample,
        repeat=False,
        skipped=0,
    ):
        super().__init__(workers=0)  # Keras' own queue stays out of it
        if not len(dataset.image_ids):
            raise ValueError("The data set has no images: there is nothing to make batches of.")
        if steps < 1:
            raise ValueError(f"An epoch needs at least one batch, but steps is {steps}.")
        self.replaced = 0  # broken images so far
        self._dataset = dataset
        self._steps = steps
        self.start_at(epoch, skipped)
        self._repeat = repeat
        self._is_running = self._is_complete = False
        maker = BatchMaker(dataset, config, steps, seed, augmentation, shuffle, sample_loader)
        self._batch = Prefetcher(maker, steps, workers, use_multiprocessing, max_queue_size)

    def start_at(self, epoch, skipped=0):
        """Go on with an epoch, without its first `skipped` batches until told otherwise.

        Raises:
            ValueError: none would be left.
        """
        if not 0 <= skipped < self._steps:
            raise ValueError(
                f"Training is to go on after {skipped} batches of an epoch, but an epoch has "
                f"{self._steps} (STEPS_PER_EPOCH). Set it as it was, or start from a checkpoint "
                "at the end of an epoch."
            )
        self.epoch, self.skipped = epoch, skipped

    def __len__(self):
        return self._steps - self.skipped

    def __getitem__(self, index):
        """Batch number `index` of those that are left of the current epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches an epoch, but not number {index}.")
        index += self.skipped
        self._is_complete |= self._is_running and index == self._steps - 1
        batch, replaced = self._batch(self.epoch, index)
        self.replaced += replaced
        return batch

    def names_of(self, index):
        """What the images of batch number `index` are called, for messages."""
        inputs, _ = self[index]
        image_ids = inputs["image_metas"][:, 0].astype(int)
        return [self._dataset.image_reference(image_id) for image_id in image_ids.tolist()]

    def on_epoch_begin(self):
        """Called by Keras."""
        self._is_running, self._is_complete = True, False

    def on_epoch_end(self):
        """Go on to the next epoch, if all batches of this one were asked for.

        Keras calls this also before the first epoch, after taking a batch to build the model.
        """
        self.epoch += self._is_complete and not self._repeat
        self._is_running = self._is_complete = False

    def close(self):
        """End the workers."""
        self._batch.close()


class FollowEpochs(keras.callbacks.Callback):
    """Tells batches which epoch `fit` is in, where counting could go wrong.

    Counting is right for whole epochs in a row. With this callback the batches are those of the
    epoch also if one is broken off, and if `fit` begins with another one than they do.
    """

    def __init__(self, *batches):
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        for batches in self._batches:
            batches.epoch = epoch


class PlainSources:
    """A sample loader that leaves images of some sources as they are. Can be sent to workers.

    Args:
        sample_loader: the loader, see `mrcnn.data.training_batches.Batches`.
        sources: names of the sources whose images are not augmented.
    """

    def __init__(self, sample_loader, sources):
        self.sample_loader, self.sources = sample_loader, tuple(sources)

    def __call__(self, dataset, image_id, config, rng, augmentation=None):
        plain = dataset.image_info[image_id]["source"] in self.sources
        return self.sample_loader(dataset, image_id, config, rng, None if plain else augmentation)
