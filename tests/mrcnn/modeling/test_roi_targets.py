"""RoI targets against the original's rule, image by image and RoI by RoI."""

import numpy as np
import pytest
from keras import ops

from crops import slow_crop
from greedy import padded
from mrcnn.modeling.roi_targets import RoiTargets
from mrcnn.ops import boxes
from on_backend import compile_function, gradient

pytestmark = pytest.mark.backends
DEVIATIONS = np.array([0.1, 0.1, 0.2, 0.2], np.float32)
SAMPLES, MASK_SHAPE = 20, (5, 5)


def make_layer(samples=SAMPLES, ratio=0.33, mini=True, of_background=False):
    return RoiTargets(samples, ratio, MASK_SHAPE, mini, DEVIATIONS, of_background)


def run(layer, inputs):
    arrays = {name: ops.array(values) for name, values in inputs.items()}
    return {
        name: ops.convert_to_numpy(values)
        for name, values in compile_function(layer)(arrays).items()
    }


def random_boxes(rng, count):
    corners = rng.uniform(0, 0.6, (count, 2))
    return np.hstack([corners, corners + rng.uniform(0.1, 0.4, (count, 2))]).astype(np.float32)


def random_image(seed, instances=3, crowds=0, rois=60, positive=10, slots=6):
    """Inputs of one image; of the `rois`, `positive` (or so) lie on instances."""
    rng = np.random.default_rng(seed)
    gt_boxes = random_boxes(rng, slots)
    gt_boxes[instances + crowds :] = [0, 0, -0.01, -0.01]  # what padding normalises to
    near = gt_boxes[rng.integers(0, max(instances, 1), positive)]
    near = near + rng.normal(0, 0.02, near.shape)
    all_rois = np.concatenate([near, random_boxes(rng, rois - positive)]).astype(np.float32)
    rng.shuffle(all_rois)
    ids = np.zeros(slots, np.int32)
    ids[:instances] = rng.integers(1, 4, instances)
    ids[instances : instances + crowds] = -1
    return {
        "rois": np.clip(all_rois, 0, 1),
        "gt_class_ids": ids,
        "gt_boxes": gt_boxes,
        "gt_masks": rng.random((12, 10, slots)) < 0.6,
        "priorities": rng.random(rois).astype(np.float32),
    }


def batch(*images):
    return {name: np.stack([image[name] for image in images]) for name in images[0]}


def slow_targets(image, samples=SAMPLES, ratio=0.33, mini=True, of_background=False):
    """The targets of one image by the rule of the original, but for `of_background`."""
    slots = int(samples * ratio)
    instances = np.flatnonzero(image["gt_class_ids"] > 0)
    crowds = np.flatnonzero(image["gt_class_ids"] < 0)
    positive, negative, assigned = [], [], {}
    for number in np.argsort(-image["priorities"], kind="stable"):
        roi = image["rois"][number]
        if not roi.any():
            continue
        overlaps = boxes.overlaps(roi[None], image["gt_boxes"])[0]
        best = overlaps[instances].max(initial=-1)
        if best >= 0.5:
            positive.append(number)
            assigned[number] = instances[overlaps[instances].argmax()]
        elif overlaps[crowds].max(initial=0) < 0.001:
            negative.append(number)
    positive = positive[:slots]
    wanted = int(np.float32(len(positive)) * np.float32(1 / ratio)) - len(positive)
    if of_background and not len(instances):
        wanted = samples
    negative = negative[: min(wanted, samples - slots)]
    return _rows(image, positive, negative, assigned, slots, samples, mini)


def _rows(image, positive, negative, assigned, slots, samples, mini):
    rois, gt = image["rois"], [assigned[number] for number in positive]
    deltas = boxes.encode_deltas(rois[positive], image["gt_boxes"][gt]) / DEVIATIONS
    masks = [_mask(image, rois[n], g, mini) for n, g in zip(positive, gt, strict=True)]
    return {
        "rois": np.concatenate(
            [padded(rois[positive], slots), padded(rois[negative], samples - slots)]
        ),
        "target_class_ids": padded(image["gt_class_ids"][gt], samples),
        "target_deltas": padded(deltas.reshape(-1, 4), samples),
        "target_masks": padded(np.array(masks).reshape(-1, *MASK_SHAPE), slots),
    }


def _mask(image, roi, instance, mini):
    if mini:
        y1, x1, y2, x2 = image["gt_boxes"][instance]
        roi = (roi - np.array([y1, x1, y1, x1])) / np.array([y2 - y1, x2 - x1] * 2)
    mask = image["gt_masks"][..., instance, None].astype(np.float32)
    return np.round(slow_crop(mask, roi, MASK_SHAPE)[..., 0])


def assert_targets(images, **settings):
    found = run(make_layer(**settings), batch(*images))
    for row, image in enumerate(images):
        for name, expected in slow_targets(image, **settings).items():
            np.testing.assert_allclose(found[name][row], expected, atol=1e-4, err_msg=name)
    return found


@pytest.mark.parametrize("mini", [True, False])
def test_against_the_rule_of_the_original(mini):
    """Few positives, more than there are slots, many instances, one."""
    found = assert_targets(
        [
            random_image(0, positive=4),
            random_image(1, positive=30),
            random_image(2, instances=6),
            random_image(3, instances=1),
        ],
        mini=mini,
    )
    counts = np.count_nonzero(found["target_class_ids"], axis=1)
    assert counts[0] < 6 == counts[1]
    assert 0.2 < found["target_masks"][1].mean() < 0.8


def test_rois_that_touch_a_crowd_are_no_negatives():
    images = [random_image(seed, crowds=2) for seed in range(3)]
    found = assert_targets(images)
    for row, image in enumerate(images):
        negatives = found["rois"][row, 6:]
        negatives = negatives[negatives.any(axis=1)]
        assert len(negatives)
        assert boxes.overlaps(negatives, image["gt_boxes"][3:5]).max() < 0.001


def test_a_crowd_is_no_instance():
    assert_targets([random_image(0, instances=0, crowds=3), random_image(1, instances=1, crowds=5)])


def test_an_image_without_instances_gives_no_samples():
    found = assert_targets([random_image(0, instances=0), random_image(1)])
    for name in ("rois", "target_class_ids", "target_deltas", "target_masks"):
        assert not found[name][0].any() and found[name][1].any()


def test_an_image_of_background_gives_as_many_negatives_as_one_full_of_positives():
    images = [
        random_image(0, instances=0),
        random_image(1, positive=30),
        random_image(2, instances=0, crowds=2),  # around which there are none
        random_image(3, positive=0),  # none found, but there is one
    ]
    images[3]["rois"][:] = 0.0, 0.0, 0.05, 0.05
    found = assert_targets(images, of_background=True)
    counts = found["rois"][:, 6:].any(axis=-1).sum(axis=1)
    assert counts[0] == 14 > counts[1] > 0 == counts[3] and counts[2]
    for name in ("target_class_ids", "target_deltas", "target_masks"):
        assert not found[name][0].any(), name


def test_fewer_rois_than_rows():
    assert_targets([random_image(seed, rois=9, positive=5) for seed in range(2)])
    assert_targets([random_image(seed, rois=3, positive=2) for seed in range(2)])


def test_zero_rois_are_padding():
    images = [random_image(0), random_image(1)]
    images[0]["rois"][20:] = 0
    images[1]["rois"][:] = 0
    found = assert_targets(images)
    assert found["rois"][0].any() and not found["rois"][1].any()


@pytest.mark.parametrize(("samples", "ratio"), [(12, 0.33), (20, 0.5), (10, 0.25)])
def test_ratio_of_positives(samples, ratio):
    images = [random_image(seed, rois=90, positive=40) for seed in range(2)]
    assert_targets(images, samples=samples, ratio=ratio)


def test_three_positives_take_six_negatives():
    """1 / .33 is a little more than 3: 3 * 3.03 = 9.09 rows, of which 6 are negative."""
    image = random_image(0, instances=1, positive=0)
    image["rois"][:3] = image["gt_boxes"][0]
    image["rois"][3:] = [0.95, 0.95, 1, 1]
    found = assert_targets([image])
    assert np.count_nonzero(found["target_class_ids"][0]) == 3
    assert np.count_nonzero(found["rois"][0].any(axis=-1)) == 9


@pytest.mark.parametrize("flat", [[0.5, 0.2, 0.5, 0.8], [0.3, 0.5, 0.7, 0.5], [0.4] * 4])
def test_instances_of_one_pixel_are_never_met_and_break_nothing(flat):
    """One pixel, normalised, has no height: TensorFlow's kernel refuses what is not finite."""
    image = random_image(0, instances=3, positive=0)
    image["rois"][:] = [0.97, 0.97, 1, 1]  # which meet nothing, and so get the first instance
    image["gt_boxes"][0], image["rois"][1] = flat, image["gt_boxes"][1]
    found = assert_targets([image, random_image(1)])
    assert np.count_nonzero(found["target_class_ids"][0]) == 1
    for name, values in found.items():
        assert np.all(np.isfinite(values)), name


def test_a_roi_on_its_instance_by_hand():
    image = random_image(0, instances=1, rois=1, positive=0)
    image["gt_boxes"][0] = [0.25, 0.25, 0.75, 0.5]
    image["rois"][:] = [0.25, 0.25, 0.5, 0.5]  # the upper half: an overlap of just .5
    image["gt_masks"][..., 0] = np.arange(12)[:, None] < 6
    image["gt_class_ids"][0] = 3
    found = run(make_layer(samples=4), batch(image))
    np.testing.assert_allclose(found["rois"][0], padded(image["rois"], 4))
    np.testing.assert_array_equal(found["target_class_ids"], [[3, 0, 0, 0]])
    # The centre moves down by half of the height, the height doubles.
    deltas = np.array([[0.5 / 0.1, 0, np.log(2) / 0.2, 0]])
    np.testing.assert_allclose(found["target_deltas"][0], padded(deltas, 4), atol=1e-5)
    # Samples lie on rows 0, 1.375, 2.75, 4.125 and 5.5 of the mask; .5 is rounded to even.
    np.testing.assert_array_equal(found["target_masks"][0, 0], [[1] * 5] * 4 + [[0] * 5])


def test_the_first_of_equal_instances_is_assigned():
    image = random_image(0, instances=2, rois=1, positive=0)
    image["gt_boxes"][:2] = image["rois"][0]
    image["gt_class_ids"][:2] = [2, 1]
    found = run(make_layer(samples=4), batch(image))
    np.testing.assert_array_equal(found["target_class_ids"], [[2, 0, 0, 0]])


@pytest.mark.long_on_jax
def test_no_gradient_flows_into_the_rois():
    inputs = batch(random_image(0))
    layer = make_layer()
    others = {name: ops.array(values) for name, values in inputs.items() if name != "rois"}
    found = gradient(lambda x: layer({**others, "rois": x})["target_deltas"], inputs["rois"])
    np.testing.assert_array_equal(found, 0)
