"""Batches: the same whoever prepares them, every image once a pass, and with Keras' `fit`."""

import logging

import keras
import numpy as np
import pytest

from mrcnn.data.augmentation import AugmentationError, HorizontalFlip
from mrcnn.data.broken_images import BrokenSample
from mrcnn.data.dataset import DatasetError
from mrcnn.data.training_batches import Batches, FollowEpochs
from mrcnn.ops.anchors import pyramid_anchors
from rectangles import Rectangles, Small


def equal(batch, other):
    return all(
        part.keys() == twin.keys()
        and all(part[key].dtype == twin[key].dtype for key in part)
        and all(part[key].tobytes() == twin[key].tobytes() for key in part)
        for part, twin in zip(batch, other, strict=True)
    )


def epochs(batches, count):
    everything, first = [], batches.epoch
    for epoch in range(first, first + count):
        batches.start_at(epoch)
        everything += [batches[index] for index in range(len(batches))]
    batches.close()
    return everything


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
        {"workers": 3},
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
    resumed = Batches(Rectangles(11), Small(), 2, workers=0)
    resumed.start_at(1)
    assert all(map(equal, whole[2:], epochs(resumed, 2)))


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


def test_broken_images_are_reported_once_counted_and_replaced(caplog):
    batches = Batches(Rectangles(6, broken=(2,)), Small(), 3, sample_loader=plain_loader)
    with caplog.at_level(logging.WARNING):
        numbers = image_numbers(batches, 4)
    assert len(numbers) == 24 and 2 not in numbers
    assert batches.replaced >= 4
    (message,) = [record.getMessage() for record in caplog.records]
    assert "toy/2.png" in message and "it has a hole" in message


class Faulty(Rectangles):
    """Image 3 raises the error in `load_mask`, or in `load_image`."""

    def __init__(self, error, method):
        super().__init__(8)
        self.error, self.method = error, method

    def load_image(self, image_id):
        if image_id == 3 and self.method == "load_image":
            raise self.error
        return super().load_image(image_id)

    def load_mask(self, image_id):
        if image_id == 3 and self.method == "load_mask":
            raise self.error
        return super().load_mask(image_id)


@pytest.mark.parametrize("method", ["load_image", "load_mask"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (AssertionError("a"), "AssertionError: a"),
        (MemoryError(), "MemoryError"),
        (StopIteration(), "StopIteration"),
        (ValueError("too odd"), "png: too odd"),
    ],
)
def test_whatever_a_user_raises_names_the_image_and_training_goes_on(error, words, method, caplog):
    batches = Batches(Faulty(error, method), Small(), 4, workers=0)
    drawn = [int(n) for x, _ in epochs(batches, 2) for n in x["image_metas"][:, 0]]
    assert len(drawn) == 16 and 3 not in drawn
    assert len(caplog.records) == 1 and words in caplog.text and "toy/3.png" in caplog.text


class Answering(Rectangles):
    """Every load_mask answers what it is told to."""

    def __init__(self, answer):
        super().__init__(4)
        self.answer = answer

    def load_mask(self, image_id):
        masks, class_ids = Rectangles.load_mask(self, 3)
        return self.answer(masks, class_ids)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda masks, ids: (masks[..., 0], ids[:1]), r"masks of the shape \[80, 90\]"),
        (lambda masks, ids: (masks[:40], ids), r"shape \[40, 90\], but the image is 80 x 90"),
        (lambda masks, ids: (masks[..., :2], ids), r"class ids of the shape \[3\]"),
        (lambda masks, ids: (masks, ids[:2]), r"class ids of the shape \[2\]"),
        (lambda masks, ids: (np.moveaxis(masks, -1, 0), ids), r"masks of the shape \[3, 80, 90\]"),
        (lambda masks, ids: (list(np.moveaxis(masks, -1, 0)), ids), "masks of the shape"),
        (lambda masks, ids: (masks, ids + 2), "class id [34], but NUM_CLASSES is 3"),
        (lambda masks, ids: (masks, [1, -7, 2]), "class id -7, but"),
        (lambda masks, ids: (masks, [[1], [2], [1]]), r"class ids of the shape \[3, 1\]"),
        (lambda masks, ids: None, "TypeError"),
    ],
)
def test_answers_of_load_mask_that_do_not_fit(answer, words):
    batches = Batches(Answering(answer), Small(), 1, workers=0)
    with pytest.raises(ValueError, match=f"100 images in a row.*toy/[0-3].png: .*{words}"):
        batches[0]


@pytest.mark.parametrize("kind", [np.uint8, float, lambda masks: masks.astype(np.uint8) * 255])
def test_masks_and_ids_of_other_types(kind):
    def answer(masks, ids):
        return (masks.astype(kind) if isinstance(kind, type) else kind(masks)), ids.tolist()

    plain = Batches(Answering(lambda *given: given), Small(), 1, workers=0)
    assert equal(Batches(Answering(answer), Small(), 1, workers=0)[0], plain[0])


def test_num_classes_must_be_that_of_the_data():
    for number in (2, 4):
        config = Small()
        config.NUM_CLASSES = number
        words = rf"has 3 classes with the background \(BG, odd, even\), but NUM_CLASSES is {number}"
        with pytest.raises(DatasetError, match=words):
            Batches(Rectangles(4), config, 1, workers=0)[0]


@pytest.mark.parametrize("error", [ValueError("no such angle"), OSError(5, "no palette")])
def test_an_augmentation_that_fails_ends_training_at_once_and_names_the_image(error):
    asked = []

    def fail(image, masks, rng):
        asked.append(image)
        raise error

    batches = Batches(Rectangles(8), Small(), 1, workers=0, augmentation=fail)
    with pytest.raises(AugmentationError, match=r"toy/\d\.png: .*fail.*no (such angle|palette)"):
        batches[0]
    assert len(asked) == 1 and batches.replaced == 0


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


def test_an_epoch_goes_on_after_the_batches_that_are_done():
    whole = epochs(Batches(Rectangles(11), Small(), 3, workers=0), 2)
    batches = Batches(Rectangles(11), Small(), 3, workers=2)
    batches.start_at(1, skipped=1)
    assert len(batches) == 2
    assert equal(batches[0], whole[4]) and equal(batches[1], whole[5])
    with pytest.raises(IndexError, match="There are 2 batches"):
        batches[2]
    batches.start_at(2)
    assert (len(batches), batches.epoch) == (3, 2)
    batches.close()
    with pytest.raises(ValueError, match="after 3 batches of an epoch, but an epoch has 3"):
        batches.start_at(1, 3)


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
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [0, 4])
def test_fit_gets_the_batches_of_each_epoch_from_the_first_on(workers, first):
    expected = Batches(Rectangles(11), Small(), 3, workers=0)
    expected.start_at(first)
    expected = epochs(expected, 2)
    batches = Batches(Rectangles(11), Small(), 3, workers=workers)
    batches.start_at(first)
    model = Recorder()
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit(
        batches,
        initial_epoch=first,
        epochs=first + 2,
        verbose=0,
        shuffle=False,
        callbacks=[FollowEpochs(batches)],
    )
    batches.close()
    assert model.seen == [x["image_metas"][:, 0].astype(int).tolist() for x, _ in expected]
