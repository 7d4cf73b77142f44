import logging

import keras
import numpy as np
import pytest

from mrcnn import boxes
from mrcnn.anchors import pyramid_anchors
from mrcnn.augmentation import HorizontalFlip
from mrcnn.batches import (
    Batches,
    BrokenSample,
    FollowEpochs,
    SkipSample,
    load_sample,
    prepare_sample,
)
from mrcnn.config import Config
from mrcnn.dataset import Dataset
from mrcnn.images import ImageError


class Small(Config):
    NUM_CLASSES = 3
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 128
    RPN_TRAIN_ANCHORS_PER_IMAGE = 32
    POST_NMS_ROIS_TRAINING = 20
    MAX_GT_INSTANCES = 4
    MINI_MASK_SHAPE = (14, 14)


class Rectangles(Dataset):
    """Image n has n % 4 rectangles on a ground of brightness n; images in `broken` fail."""

    def __init__(self, count, broken=()):
        super().__init__()
        self.broken = broken
        self.add_class("toy", 1, "odd")
        self.add_class("toy", 2, "even")
        for number in range(count):
            self.add_image("toy", number, f"toy/{number}.png")
        self.prepare()

    def rectangles(self, image_id):
        rng = np.random.default_rng(image_id)
        corners = rng.integers(0, 40, (image_id % 4, 2))
        return np.concatenate([corners, corners + rng.integers(8, 40, corners.shape)], axis=1)

    def load_image(self, image_id):
        if image_id in self.broken:
            raise ImageError(f"toy/{image_id}.png is cut off.")
        image = np.full((80, 90, 3), image_id, np.uint8)
        for y1, x1, y2, x2 in self.rectangles(image_id):
            image[y1:y2, x1:x2] += 100
        return image

    def load_mask(self, image_id):
        masks = [np.zeros((80, 90), bool) for _ in range(image_id % 4)]
        for mask, (y1, x1, y2, x2) in zip(masks, self.rectangles(image_id), strict=True):
            mask[y1:y2, x1:x2] = True
        stack = np.stack(masks, axis=-1) if masks else np.zeros((80, 90, 0), bool)
        return stack, np.arange(1, image_id % 4 + 1) % 2 + 1


def generator(seed=0):
    return np.random.default_rng(seed)


def equal(batch, other):
    return all(
        part.keys() == twin.keys()
        and all(part[key].dtype == twin[key].dtype for key in part)
        and all(part[key].tobytes() == twin[key].tobytes() for key in part)
        for part, twin in zip(batch, other, strict=True)
    )


def epochs(batches, count):
    everything = []
    for _ in range(count):
        batches.on_epoch_begin()
        everything += [batches[index] for index in range(len(batches))]
        batches.on_epoch_end()
    batches.close()
    return everything


# --- one sample ---------------------------------------------------------------------------------


def test_sample_by_hand():
    sample = load_sample(Rectangles(8), 7, Small(), generator())
    assert sample["images"].shape == (128, 128, 3)
    assert sample["images"][0, 0, 0] == 0  # padding
    assert sample["images"][25, 20, 0] in (7, 107)
    assert sample["gt_class_ids"].tolist() == [2, 1, 2, 0]
    assert sample["image_metas"][:11].tolist() == [7, 80, 90, 3, 128, 128, 3, 24, 19, 104, 109]
    assert sample["image_metas"][12:].tolist() == [1, 1, 1]
    inside = Rectangles(8).rectangles(7).clip(0, (80, 90, 80, 90))
    expected = inside + np.array([24, 19, 24, 19])
    np.testing.assert_array_equal(sample["gt_boxes"][:3], expected)
    assert not sample["gt_boxes"][3].any()
    assert sample["gt_masks"].shape == (14, 14, 4)
    assert sample["gt_masks"][..., :3].all()  # rectangles fill their boxes
    assert not sample["gt_masks"][..., 3].any()
    assert sample["roi_priorities"].shape == (20,)
    assert 0 <= sample["roi_priorities"].min() < sample["roi_priorities"].max() < 1


def test_anchors_of_a_sample_belong_to_its_boxes():
    config = Small()
    sample = load_sample(Rectangles(8), 7, config, generator())
    anchors = pyramid_anchors(config, (128, 128)).astype(np.float64)
    positive = anchors[sample["rpn_match"] == 1]
    table = boxes.overlaps(positive, sample["gt_boxes"][:3].astype(np.float64))
    reached = boxes.decode_deltas(
        positive, sample["rpn_deltas"][: len(positive)] * config.RPN_BBOX_STD_DEV
    )
    np.testing.assert_allclose(reached, sample["gt_boxes"][table.argmax(axis=1)], atol=1e-3)


def test_full_size_masks():
    config = Small()
    config.USE_MINI_MASK = False
    sample = load_sample(Rectangles(8), 6, config, generator())
    assert sample["gt_masks"].shape == (128, 128, 4)
    y1, x1, y2, x2 = sample["gt_boxes"][0].astype(int)
    assert sample["gt_masks"][y1:y2, x1:x2, 0].all()
    assert sample["gt_masks"][..., 0].sum() == (y2 - y1) * (x2 - x1)


def test_too_many_instances_are_a_random_subset_for_the_heads_but_all_count_for_the_anchors():
    masks = np.zeros((128, 128, 6), bool)
    for index in range(6):
        masks[:, index * 20 : index * 20 + 18, index] = True
    image = np.zeros((128, 128, 3), np.uint8)
    drawn = set()
    for seed in range(5):
        sample = prepare_sample(
            0, image, masks, np.arange(1, 7), [1, 1, 1], Small(), generator(seed)
        )
        assert len(set(sample["gt_class_ids"].tolist()) & {1, 2, 3, 4, 5, 6}) == 4
        left = (sample["gt_class_ids"] - 1) * 20
        np.testing.assert_array_equal(sample["gt_boxes"][:, 1], left)
        drawn.add(tuple(sample["gt_class_ids"].tolist()))
        anchors = pyramid_anchors(Small(), (128, 128))[sample["rpn_match"] == 1]
        assert len(anchors) >= 6
    assert len(drawn) > 1


def test_crowds_keep_their_negative_class():
    masks = np.zeros((80, 80, 2), bool)
    masks[:30, :30, 0] = masks[40:, 40:, 1] = True
    sample = prepare_sample(
        0, np.zeros((80, 80, 3), np.uint8), masks, [-1, 2], [1, 1, 1], Small(), generator()
    )
    assert sample["gt_class_ids"].tolist() == [-1, 2, 0, 0]


def test_instances_that_vanish_take_their_class_with_them():
    masks = np.zeros((80, 80, 3), bool)
    masks[:30, :30, 0] = masks[40:, 40:, 2] = True
    sample = prepare_sample(
        0, np.zeros((80, 80, 3), np.uint8), masks, [1, 5, 2], [1, 1, 1], Small(), generator()
    )
    assert sample["gt_class_ids"].tolist() == [1, 2, 0, 0]


def test_samples_that_show_nothing():
    with pytest.raises(SkipSample):
        load_sample(Rectangles(8), 4, Small(), generator())
    with pytest.raises(BrokenSample, match="no pixel"):
        prepare_sample(
            0, np.zeros((9, 9, 3), np.uint8), [np.zeros((9, 9))], [1], [1], Small(), generator()
        )


def test_augmentation_moves_image_and_masks_together():
    plain = load_sample(Rectangles(8), 5, Small(), generator())
    flipped = load_sample(Rectangles(8), 5, Small(), generator(), HorizontalFlip(1))
    assert (plain["images"] != flipped["images"]).any()
    y1, x1, y2, x2 = flipped["gt_boxes"][0].astype(int)
    assert (flipped["images"][y1:y2, x1:x2] == 105).all()


# --- batches ------------------------------------------------------------------------------------


def test_shapes_and_types():
    batches = Batches(Rectangles(8), Small(), steps=3)
    assert len(batches) == 3
    x, y = batches[0]
    anchors = len(pyramid_anchors(Small(), (128, 128)))
    expected = {
        "images": ((2, 128, 128, 3), np.uint8),
        "image_metas": ((2, 15), np.float32),
        "gt_class_ids": ((2, 4), np.int32),
        "gt_boxes": ((2, 4, 4), np.float32),
        "gt_masks": ((2, 14, 14, 4), np.uint8),
        "roi_priorities": ((2, 20), np.float32),
    }
    assert {key: (array.shape, array.dtype) for key, array in x.items()} == expected
    assert {key: (array.shape, array.dtype) for key, array in y.items()} == {
        "rpn_match": ((2, anchors), np.int32),
        "rpn_deltas": ((2, 32, 4), np.float32),
    }
    with pytest.raises(IndexError, match="3 batches"):
        batches[3]


@pytest.mark.parametrize(
    "arguments",
    [
        {"workers": 1},
        {"workers": 3, "max_queue_size": 2},
        {"workers": 2, "use_multiprocessing": True},
    ],
)
def test_bytes_do_not_depend_on_the_workers(arguments):
    def run(**arguments):
        dataset = Rectangles(11, broken=(3, 6))
        return epochs(
            Batches(dataset, Small(), 3, seed=5, augmentation=HorizontalFlip(), **arguments), 3
        )

    alone, parallel = run(workers=0), run(**arguments)
    assert len(alone) == 9
    assert all(map(equal, alone, parallel))
    assert not equal(alone[0], alone[3])


def test_a_resumed_run_goes_on_where_the_first_one_was():
    whole = epochs(Batches(Rectangles(11), Small(), 2, workers=0), 3)
    rest = epochs(Batches(Rectangles(11), Small(), 2, workers=0, epoch=1), 2)
    assert all(map(equal, whole[2:], rest))


def test_repeated_batches_are_the_same_in_every_epoch():
    first, second = epochs(Batches(Rectangles(11), Small(), 1, workers=0, repeat=True), 2)
    assert equal(first, second)


def test_the_seed_decides():
    first, again, other = (
        Batches(Rectangles(11), Small(), 1, seed=seed, workers=0)[0] for seed in (1, 1, 2)
    )
    assert equal(first, again)
    assert not equal(first, other)


def plain_loader(dataset, image_id, config, rng, augmentation):
    """Samples that hold nothing but the number of their image."""
    if image_id in dataset.broken:
        raise BrokenSample("it has a hole")
    return {"images": np.array([image_id]), "rpn_match": rng.random(1), "rpn_deltas": np.zeros(1)}


def image_numbers(batches, count):
    return [int(n) for x, _ in epochs(batches, count) for n in x["images"][:, 0]]


def test_every_image_is_seen_once_a_pass_across_epochs():
    batches = Batches(Rectangles(7), Small(), 3, workers=0, sample_loader=plain_loader)
    numbers = image_numbers(batches, 7)  # 42 samples: six passes
    passes = [numbers[start : start + 7] for start in range(0, 42, 7)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_chance_differs_between_samples_epochs_and_seeds():
    def draws(seed, count):
        loader = {"workers": 0, "sample_loader": plain_loader}
        batches = epochs(Batches(Rectangles(2), Small(), 3, seed, **loader), count)
        return [float(n) for _, y in batches for n in y["rpn_match"][:, 0]]

    assert len({*draws(0, 3), *draws(1, 3)}) == 2 * 3 * 6
    assert draws(1, 3) == draws(1, 3)


def test_without_shuffling_images_come_in_order():
    batches = Batches(
        Rectangles(4), Small(), 3, workers=0, shuffle=False, sample_loader=plain_loader
    )
    assert image_numbers(batches, 1) == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("processes", [False, True])
def test_broken_images_are_reported_counted_and_replaced(caplog, processes):
    dataset = Rectangles(6, broken=(2,))
    batches = Batches(
        dataset, Small(), 3, use_multiprocessing=processes, sample_loader=plain_loader
    )
    with caplog.at_level(logging.WARNING):
        numbers = image_numbers(batches, 1)
    assert len(numbers) == 6
    assert 2 not in numbers
    assert batches.replaced >= 1
    if not processes:
        assert "toy/2.png" in caplog.text
        assert "it has a hole" in caplog.text


def test_images_without_a_class_are_skipped_in_silence(caplog):
    batches = Batches(Rectangles(8), Small(), 4, workers=0)
    with caplog.at_level(logging.WARNING):
        drawn = [int(n) for x, _ in epochs(batches, 1) for n in x["image_metas"][:, 0]]
    assert all(number % 4 for number in drawn)
    assert not caplog.text
    assert batches.replaced == 0


def test_endless_failure_ends_with_the_last_reason():
    batches = Batches(
        Rectangles(2, broken=(0, 1)), Small(), 1, workers=0, sample_loader=plain_loader
    )
    with pytest.raises(ValueError, match=r"100 images in a row.*it has a hole"):
        batches[0]
    only_empty = Batches(Rectangles(1), Small(), 1, workers=0)
    with pytest.raises(ValueError, match="no active class"):
        only_empty[0]


def test_impossible_requests():
    with pytest.raises(ValueError, match="no images"):
        Batches(Rectangles(0), Small(), 1)
    with pytest.raises(ValueError, match="steps is 0"):
        Batches(Rectangles(1), Small(), 0)
    config = Small()
    config.IMAGE_RESIZE_MODE = "none"
    mixed = Batches(
        Rectangles(4),
        config,
        1,
        workers=0,
        sample_loader=lambda dataset, image_id, *rest: {"images": np.zeros((image_id, 1, 3))},
    )
    with pytest.raises(ValueError, match="one shape"):
        mixed[0]


# --- with Keras ---------------------------------------------------------------------------------


class Remember(keras.Layer):
    """A network that learns nothing and writes down the numbers of the images it gets."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=())

    def call(self, inputs):
        return inputs["image_metas"][:, :1] * 0 + self.weight


class Recorder(keras.Model):
    def __init__(self):
        super().__init__()
        self.remember = Remember()
        self.seen = []

    def call(self, inputs):
        return self.remember(inputs)

    def train_step(self, data, *rest):
        self.seen.append(np.array(data[0]["image_metas"])[:, 0].astype(int).tolist())
        return {"loss": 0.0}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="an eager train_step")
@pytest.mark.parametrize(
    "arguments", [{"workers": 0}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}]
)
def test_fit_gets_the_batches_of_each_epoch_from_the_first_on(arguments):
    expected = epochs(Batches(Rectangles(11), Small(), 3, seed=2, workers=0), 2)
    batches = Batches(Rectangles(11), Small(), 3, seed=2, **arguments)
    model = Recorder()
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit(batches, epochs=2, verbose=0, shuffle=False)
    batches.close()
    numbers = [x["image_metas"][:, 0].astype(int).tolist() for x, _ in expected]
    assert model.seen == numbers
    assert batches.epoch == 2


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="an eager train_step")
def test_the_epoch_of_fit_is_followed():
    expected = epochs(Batches(Rectangles(11), Small(), 2, workers=0, epoch=4), 2)
    batches = Batches(Rectangles(11), Small(), 2)
    model = Recorder()
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit(
        batches,
        initial_epoch=4,
        epochs=6,
        verbose=0,
        shuffle=False,
        callbacks=[FollowEpochs(batches)],
    )
    batches.close()
    assert model.seen == [x["image_metas"][:, 0].astype(int).tolist() for x, _ in expected]
