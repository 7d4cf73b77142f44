"""What the network is to learn, by Matterport's functions, against what training is fed with."""

import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.data.dataset import Dataset
from mrcnn.data.training_samples import load_sample
from mrcnn.matterport.detection_targets import generate_random_rois
from mrcnn.ops.anchors import pyramid_anchors
from tiny import BoxesDataset, TinyConfig


@pytest.fixture(scope="module")
def dataset():
    return BoxesDataset()


def test_an_image_with_its_truth(dataset):
    config = TinyConfig()
    image, meta, class_ids, bbox, mask = modellib.load_image_gt(dataset, config, 3)
    assert image.shape == (128, 128, 3) and image.dtype == np.uint8
    original, class_ids_before = dataset.load_mask(3)
    prepared, window, scale, padding, _ = utils.resize_image(dataset.load_image(3), 128, 128)
    np.testing.assert_array_equal(image, prepared)
    np.testing.assert_array_equal(mask, utils.resize_mask(original, scale, padding))
    np.testing.assert_array_equal(bbox, utils.extract_bboxes(mask))
    np.testing.assert_array_equal(class_ids, class_ids_before)
    assert bbox.dtype == class_ids.dtype == np.int32 and mask.dtype == bool
    parsed = modellib.parse_image_meta(meta[None])
    assert parsed["image_id"] == [3] and parsed["window"][0].tolist() == list(window)
    assert parsed["original_image_shape"][0].tolist() == [100, 120, 3]
    assert parsed["active_class_ids"][0].tolist() == [1, 1, 1]


def test_mini_masks_expand_to_the_masks(dataset):
    config = TinyConfig()
    _, _, _, bbox, mask = modellib.load_image_gt(dataset, config, 0)
    image, _, _, mini_bbox, mini = modellib.load_image_gt(dataset, config, 0, use_mini_mask=True)
    assert mini.shape == (56, 56, 2)
    np.testing.assert_array_equal(mini_bbox, bbox)
    np.testing.assert_array_equal(utils.expand_mask(bbox, mini, image.shape), mask)


def test_augmentation_changes_image_and_truth_alike(dataset):
    def mirror(image, masks, rng):
        return image[:, ::-1], masks[:, ::-1]

    plain = modellib.load_image_gt(dataset, TinyConfig(), 1)
    mirrored = modellib.load_image_gt(dataset, TinyConfig(), 1, augmentation=mirror)
    np.testing.assert_allclose(mirrored[0][:, ::-1].astype(int), plain[0].astype(int), atol=1)
    np.testing.assert_allclose(mirrored[3][:, [1, 3]], 128 - plain[3][:, [3, 1]], atol=1)
    # the old switch mirrors one in two
    boxes = {
        modellib.load_image_gt(dataset, TinyConfig(), 1, augment=True)[3].tobytes()
        for _ in range(20)
    }
    assert boxes == {plain[3].tobytes(), mirrored[3].tobytes()}


def test_rpn_targets_are_those_of_training(dataset):
    config = TinyConfig()
    image, _, class_ids, bbox, _ = modellib.load_image_gt(dataset, config, 2)
    anchors = utils.generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        modellib.compute_backbone_shapes(config, config.IMAGE_SHAPE),
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
    )
    match, deltas = modellib.build_rpn_targets(image.shape, anchors, class_ids, bbox, config)
    assert match.shape == (len(anchors),) and match.dtype == np.int32
    positive = np.flatnonzero(match == 1)
    refined = utils.apply_box_deltas(
        anchors[positive], deltas[: len(positive)] * config.RPN_BBOX_STD_DEV
    )
    for box in refined:  # the deltas move anchors onto instances
        assert np.abs(bbox - box).max(axis=1).min() < 1e-3
    assert 0 < len(positive) <= 8 and np.count_nonzero(match) == 16
    again = modellib.build_rpn_targets(
        image.shape, pyramid_anchors(config, image.shape), class_ids, bbox, config
    )
    assert again[0].shape == match.shape
    normalized = utils.norm_boxes(anchors, image.shape[:2])
    rounded = utils.denorm_boxes(normalized, image.shape[:2])  # to whole pixels
    assert not np.array_equal(rounded, anchors)
    match, _ = modellib.build_rpn_targets(image.shape, rounded, class_ids, bbox, config)
    assert utils.compute_overlaps(rounded[match == 1], bbox).max(axis=1).min() > 0.2
    with pytest.raises(ValueError, match=r"labels the \d+ anchors .* given 5 others"):
        modellib.build_rpn_targets(image.shape, anchors[:5], class_ids, bbox, config)
    with pytest.raises(ValueError, match=r"model\.anchors after model\.get_anchors"):
        modellib.build_rpn_targets(image.shape, anchors + 1, class_ids, bbox, config)


def test_a_seed_of_numpy_repeats_the_targets(dataset):
    config = TinyConfig()
    image, _, class_ids, bbox, _ = modellib.load_image_gt(dataset, config, 2)
    anchors = pyramid_anchors(config, image.shape)
    matches = []
    for seed in (1, 1, 2):
        np.random.seed(seed)  # noqa: NPY002
        matches.append(modellib.build_rpn_targets(image.shape, anchors, class_ids, bbox, config)[0])
    assert np.array_equal(matches[0], matches[1]) and not np.array_equal(matches[0], matches[2])


# --- batches ----------------------------------------------------------------------------------


def test_batches_in_the_old_layout(dataset):
    config = TinyConfig()
    generator = modellib.data_generator(dataset, config, shuffle=False, batch_size=4)
    inputs, outputs = next(generator)
    images, metas, match, deltas, class_ids, boxes, masks = inputs
    assert outputs == []
    anchors = len(pyramid_anchors(config, (128, 128)))
    assert images.shape == (4, 128, 128, 3) and images.dtype == np.float32
    assert metas.shape == (4, 15)
    assert match.shape == (4, anchors, 1) and match.dtype == np.int32
    assert deltas.shape == (4, 16, 4)
    assert class_ids.shape == (4, 4) and class_ids.dtype == np.int32
    assert boxes.shape == (4, 4, 4) and boxes.dtype == np.int32
    assert masks.shape == (4, 56, 56, 4) and masks.dtype == bool
    assert metas[:, 0].tolist() == [0, 1, 2, 3]
    assert next(generator)[0][1][:, 0].tolist() == [4, 5, 0, 1]  # passes follow each other
    image, _, ids, bbox, mini = modellib.load_image_gt(dataset, config, 1, use_mini_mask=True)
    np.testing.assert_array_equal(modellib.unmold_image(images[1], config), image)
    np.testing.assert_array_equal(class_ids[1], [*ids, 0, 0])
    np.testing.assert_array_equal(boxes[1, :2], bbox)
    np.testing.assert_array_equal(masks[1, ..., :2], mini)


def test_a_shuffled_pass_shows_every_image_once(dataset):
    generator = modellib.data_generator(dataset, TinyConfig(), batch_size=6)
    passes = [next(generator)[0][1][:, 0] for _ in range(4)]
    for shown in passes:
        assert sorted(shown) == list(range(6))
    assert len({shown.tobytes() for shown in passes}) > 1


def test_sources_may_be_left_as_they_are(dataset):
    def blacken(image, masks, rng):
        return np.zeros_like(image), masks

    def brightest(**keywords):
        generator = modellib.data_generator(dataset, TinyConfig(), augmentation=blacken, **keywords)
        return modellib.unmold_image(next(generator)[0][0], TinyConfig()).max()

    assert brightest() == 0
    assert brightest(no_augmentation_sources=["boxes"]) > 0
    assert brightest(no_augmentation_sources=["others"]) == 0


class Broken(BoxesDataset):
    """Image 0 has no instance; image 1 cannot be read; all others neither if `all_broken`."""

    all_broken = False

    def load_mask(self, image_id):
        masks, class_ids = super().load_mask(image_id)
        return (masks[..., :0], class_ids[:0]) if image_id == 0 else (masks, class_ids)

    def load_image(self, image_id):
        if image_id == 1 or self.all_broken:
            raise ValueError("pixels are missing")
        return super().load_image(image_id)


def test_what_cannot_be_used_is_passed_over(caplog):
    dataset = Broken(3)
    generator = modellib.data_generator(dataset, TinyConfig(), batch_size=2)
    assert next(generator)[0][1][:, 0].tolist() == [2, 2]
    assert "Passed over a broken image, box1.png: pixels are missing" in caplog.text
    dataset.all_broken = True
    with pytest.raises(ValueError, match=r"None of the 3 images .* box2.png: pixels are missing"):
        next(modellib.data_generator(dataset, TinyConfig(), shuffle=False))


# --- RoIs -------------------------------------------------------------------------------------


def test_random_rois_lie_near_the_instances():
    gt_boxes = np.array([[10, 20, 30, 60], [50, 50, 60, 60], [0, 0, 0, 0]])
    rois = generate_random_rois((100, 120, 3), 1000, np.array([1, 2, 0]), gt_boxes)
    assert rois.shape == (1000, 4) and rois.dtype == np.int32
    assert (rois[:, :2] < rois[:, 2:]).all()
    assert (rois >= 0).all() and (rois <= [100, 120, 100, 120]).all()
    near = [((0, 0), (50, 100)), ((40, 40), (70, 70))]  # one box size around
    for part, (low, high) in zip((rois[:450], rois[450:900]), near, strict=True):
        assert (part[:, :2] >= low).all() and (part[:, 2:] <= high).all()
        assert part.min() < max(low) + 5
    assert rois[900:, 3].max() > 105  # anywhere


def slow_mask_target(mask, roi, shape):
    """Bilinear samples at the centres of the target's cells, of an image that is black outside."""
    y1, x1, y2, x2 = roi
    padded = np.pad(mask[y1:y2, x1:x2].astype(float), 1)
    target = np.zeros(shape)
    for row, column in np.ndindex(*shape):
        y = (row + 0.5) * (y2 - y1) / shape[0] + 0.5
        x = (column + 0.5) * (x2 - x1) / shape[1] + 0.5
        top, left = int(y), int(x)
        high, wide = y - top, x - left
        corners = padded[top : top + 2, left : left + 2]
        target[row, column] = np.array([1 - high, high]) @ corners @ np.array([1 - wide, wide])
    return target


@pytest.mark.parametrize("mini", [True, False])
def test_detection_targets_against_a_slow_oracle(dataset, mini):
    config = type("Changed", (TinyConfig,), {"USE_MINI_MASK": mini})()
    _, _, class_ids, bbox, full = modellib.load_image_gt(dataset, config, 4)
    masks = modellib.load_image_gt(dataset, config, 4, use_mini_mask=mini)[4]
    rois = np.concatenate(
        [generate_random_rois((128, 128), 300, class_ids, bbox), np.zeros((5, 4), int)]
    )
    sampled, ids, deltas, targets = modellib.build_detection_targets(
        rois, np.append(class_ids, 0), np.append(bbox, [[0] * 4], axis=0), masks, config
    )
    assert sampled.shape == (12, 4) and sampled.dtype == ids.dtype == np.int32
    assert deltas.shape == (12, 3, 4) and deltas.dtype == np.float32
    assert targets.shape == (12, 28, 28, 3) and targets.dtype == np.float32
    overlaps = utils.compute_overlaps(sampled, bbox)
    positive = overlaps.max(axis=1) > 0.5
    assert positive.sum() == 3  # int(12 * .33)
    np.testing.assert_array_equal(ids > 0, positive)
    assert not deltas[~positive].any() and not targets[~positive].any()
    for row in np.flatnonzero(positive):
        instance = overlaps[row].argmax()
        assert ids[row] == class_ids[instance]
        moved = utils.apply_box_deltas(
            sampled[row : row + 1].astype(np.float32),
            deltas[row : row + 1, ids[row]] * config.BBOX_STD_DEV,
        )
        np.testing.assert_allclose(moved[0], bbox[instance], atol=1e-3)
        expected = slow_mask_target(full[..., instance], sampled[row], (28, 28))
        sure = np.abs(expected - 0.5) > 0.01
        found = targets[row, ..., ids[row]]
        np.testing.assert_array_equal(found[sure], (expected > 0.5)[sure])
        others = np.delete(targets[row], ids[row], axis=-1)
        assert not others.any()


def test_too_few_negatives_are_drawn_again(dataset):
    config = TinyConfig()
    _, _, class_ids, bbox, mini = modellib.load_image_gt(dataset, config, 0, use_mini_mask=True)
    rois = np.array([[0, 0, 4, 4], bbox[0]])
    sampled, ids, _, _ = modellib.build_detection_targets(rois, class_ids, bbox, mini, config)
    assert ids.tolist() == [class_ids[0]] + [0] * 11
    np.testing.assert_array_equal(sampled, [bbox[0]] + [[0, 0, 4, 4]] * 11)
    with pytest.raises(ValueError, match="there are 0 RoIs and 2 instances"):
        modellib.build_detection_targets(rois[:0], class_ids, bbox, mini, config)


def test_batches_with_rois(dataset):
    config = TinyConfig()
    arguments = {"random_rois": 50, "batch_size": 2}
    inputs, outputs = next(modellib.data_generator(dataset, config, **arguments))
    assert len(inputs) == 8 and inputs[7].shape == (2, 50, 4) and outputs == []
    inputs, outputs = next(
        modellib.data_generator(dataset, config, detection_targets=True, **arguments)
    )
    assert len(inputs) == 9 and inputs[8].shape == (2, 12, 4)
    ids, deltas, masks = outputs
    assert ids.shape == (2, 12, 1) and ids.any()
    assert deltas.shape == (2, 12, 3, 4) and masks.shape == (2, 12, 28, 28, 3)


def test_an_image_without_instances_has_an_empty_truth():
    class Empty(Dataset):
        def load_image(self, image_id):
            return np.zeros((60, 60, 3), np.uint8)

        def load_mask(self, image_id):
            return np.empty([0, 0, 0]), np.empty([0], np.int32)

    dataset = Empty()
    dataset.add_class("none", 1, "thing")
    dataset.add_class("none", 2, "other")
    dataset.add_image("none", 0, None)
    dataset.prepare()
    _, _, class_ids, bbox, mask = modellib.load_image_gt(dataset, TinyConfig(), 0)
    assert class_ids.shape == (0,) and bbox.shape == (0, 4) and mask.shape == (128, 128, 0)


def test_samples_are_those_of_training(dataset):
    """`data_generator` shows what `train` is fed with."""
    config = TinyConfig()
    inputs, _ = next(modellib.data_generator(dataset, config, shuffle=False))
    sample = load_sample(dataset, 0, config, np.random.default_rng(0))
    np.testing.assert_array_equal(modellib.unmold_image(inputs[0][0], config), sample["images"])
    np.testing.assert_array_equal(inputs[1][0], sample["image_metas"])
    np.testing.assert_array_equal(inputs[6][0], sample["gt_masks"])
