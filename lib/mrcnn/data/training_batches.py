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

import keras
import numpy as np

from mrcnn.data.augmentation import AugmentationError
from mrcnn.data.broken_images import BrokenImages, NumClassesError, describe_failure
from mrcnn.data.prefetch import Prefetcher
from mrcnn.data.training_samples import SkipSample, load_sample

TARGETS = ("rpn_match", "rpn_deltas")  # the entries of a sample that go to y
MAX_TRIES = 100  # of images in a row that cannot be used


class EpochBatches(keras.utils.PyDataset):
    """Batches for `fit(shuffle=False)` that depend on the epoch and their number alone.

    (With shuffle=True, which is Keras' default, it would ask for them in a random order.) They
    are those of one epoch until `start_at` names another, as `FollowEpochs` does for `fit`.

    Args:
        make: function (epoch, index) -> batch.
        steps: batches an epoch.
        workers: threads that prepare batches ahead; 0: none.
    """

    def __init__(self, make, steps, workers):
        super().__init__(workers=0)  # Keras' own queue stays out of it
        if steps < 1:
            raise ValueError(f"An epoch needs at least one batch, but steps is {steps}.")
        self.epoch = self.skipped = 0
        self._steps = steps
        self._prefetched = Prefetcher(make, steps, workers)

    def start_at(self, epoch, skipped=0):
        """Go on with an epoch, counted from 0, without its first `skipped` batches.

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
        return self._prefetched(self.epoch, self.skipped + index)

    def before_epoch(self, epoch):
        """Whatever is to be done before the first batch of an epoch is made."""

    def close(self):
        """End the workers."""
        self._prefetched.close()


class FollowEpochs(keras.callbacks.Callback):
    """Tells `EpochBatches` which epoch `fit` is in."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self._batches.epoch:
            self._batches.start_at(epoch)
            self._batches.before_epoch(epoch)


class Batches(EpochBatches):
    """Batches of a data set, the same whatever the number of workers.

    Args:
        dataset: a prepared `Dataset`.
        config: `Config`.
        steps: batches an epoch.
        seed: of everything that is drawn.
        augmentation: see `mrcnn.data.augmentation.augment`.
        plain_sources: names of sources whose images are not augmented.
        shuffle: draw the order of images anew in each pass over them.
        workers: threads that prepare batches ahead; 0: none.
        sample_loader: function (dataset, image_id, config, rng, augmentation) -> dict of arrays
            as of `load_sample`; raises `SkipSample` or, for broken images, anything else. An entry
            "failures" holds those of other images that it could not use, see `BrokenImages.add`.
        before_epoch: function of an epoch, called before its first batch is made; None: nothing.
    """

    def __init__(
        self,
        dataset,
        config,
        steps,
        seed=0,
        augmentation=None,
        plain_sources=(),
        shuffle=True,
        workers=1,
        sample_loader=load_sample,
        before_epoch=None,
    ):
        if not len(dataset.image_ids):
            raise ValueError("The data set has no images: there is nothing to make batches of.")
        super().__init__(self._make, steps, workers)
        self._broken = BrokenImages()
        self._dataset, self._config, self._seed = dataset, config, seed
        self._augmentation, self._plain_sources = augmentation, frozenset(plain_sources)
        self._shuffle, self._load = shuffle, sample_loader
        self._before_epoch = before_epoch

    def __getitem__(self, index):
        batch, failures = super().__getitem__(index)
        self._broken.add(failures)
        return batch

    def before_epoch(self, epoch):
        if self._before_epoch is not None:
            self._before_epoch(epoch)

    @property
    def replaced(self):
        """How often a broken image was replaced so far."""
        return self._broken.count

    def names_of(self, index):
        """What the images of batch number `index` are called, for messages."""
        (inputs, _), _ = EpochBatches.__getitem__(self, index)
        image_ids = inputs["image_metas"][:, 0].astype(int)
        return [self._dataset.image_reference(image_id) for image_id in image_ids.tolist()]

    def _make(self, epoch, index):
        """The batch ((x, y) dicts of arrays), and the failures of images that were replaced."""
        size = self._config.BATCH_SIZE
        samples = [self._sample(epoch, index * size + n) for n in range(size)]
        failures = [failure for _, failed in samples for failure in failed]
        return _stack([sample for sample, _ in samples]), failures

    def _sample(self, epoch, n):
        """Sample n of an epoch, and the failures before it, see `BrokenImages.add`."""
        rng = np.random.default_rng([self._seed, epoch, n])
        image_id = self._image_of(epoch, n)
        failures, reason, cause = [], None, None
        for _ in range(MAX_TRIES):
            try:
                sample = self._load(
                    self._dataset, image_id, self._config, rng, self._augmentation_of(image_id)
                )
                return sample, failures + sample.pop("failures", [])
            except SkipSample:
                reason = reason or "the images drawn show no active class"
            except NumClassesError:
                raise
            except AugmentationError as error:
                name = self._dataset.source_image_link(image_id)
                raise AugmentationError(f"{name}: {error}") from error
            except Exception as error:  # noqa: BLE001 - whatever a user's load_mask() raises
                failures.append(describe_failure(self._dataset, image_id, error))
                reason, cause = ": ".join(failures[-1]), error
            image_id = int(rng.choice(self._dataset.image_ids))
        raise ValueError(
            f"No sample could be made of {MAX_TRIES} images in a row; the last failure: "
            f"{reason}. Check the folder of images, the annotations and the active classes."
        ) from cause

    def _augmentation_of(self, image_id):
        source = self._dataset.image_info[image_id]["source"] if self._plain_sources else None
        return None if source in self._plain_sources else self._augmentation

    def _image_of(self, epoch, n):
        """The n-th image of an epoch, in passes over all images that go on from epoch to epoch."""
        image_ids = self._dataset.image_ids
        position = epoch * self._steps * self._config.BATCH_SIZE + n
        number, place = divmod(position, len(image_ids))
        if self._shuffle:
            place = shuffled_pass(self._seed, number, len(image_ids))[place]
        return int(image_ids[place])


@functools.lru_cache(maxsize=4)
def shuffled_pass(seed, number, length):
    """The order of `length` things in pass `number` over all of them: int [length]."""
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
