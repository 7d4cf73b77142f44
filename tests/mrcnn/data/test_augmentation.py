import importlib.util
import random
import sys

import cv2
import numpy as np
import pytest

from mrcnn.data.augmentation import (
    Affine,
    AugmentationError,
    ColorJitter,
    HorizontalFlip,
    augment,
    import_imgaug,
)


@pytest.fixture
def scene():
    """A picture whose red channel is bright exactly where mask 0 is, and a second mask."""
    masks = np.zeros((60, 80, 2), bool)
    masks[10:30, 20:50, 0] = True
    masks[40:50, 5:15, 1] = True
    image = np.full((60, 80, 3), 40, np.uint8)
    image[..., 0] = np.where(masks[..., 0], 250, 0)
    return image, masks


def seeded(seed=0):
    return np.random.default_rng(seed)


def test_nothing_and_a_list_of_nothing(scene):
    for augmentation in (None, []):
        image, masks = augment(*scene, augmentation, seeded())
        assert image is scene[0]
        assert masks is scene[1]


def test_flip_by_hand(scene):
    image, masks = augment(*scene, HorizontalFlip(1), seeded())
    np.testing.assert_array_equal(image, scene[0][:, ::-1])
    np.testing.assert_array_equal(masks, scene[1][:, ::-1])
    assert image.flags.c_contiguous
    kept, _ = augment(*scene, HorizontalFlip(0), seeded())
    np.testing.assert_array_equal(kept, scene[0])


def test_flip_is_a_matter_of_chance(scene):
    flipped = sum(
        not np.array_equal(augment(*scene, HorizontalFlip(0.3), seeded(seed))[0], scene[0])
        for seed in range(200)
    )
    assert 40 <= flipped <= 80


@pytest.mark.parametrize(
    "augmentation", [Affine(), Affine((0.5, 0.5), 90, 0.3), [HorizontalFlip(), Affine()]]
)
def test_masks_stay_on_their_things(scene, augmentation):
    changed = 0
    for seed in range(8):
        image, masks = augment(*scene, augmentation, seeded(seed))
        agreement = ((image[..., 0] > 125) == masks[..., 0]).mean()
        assert agreement > 0.98
        changed += not np.array_equal(image, scene[0])
    assert changed == 8


def test_affine_without_change_by_hand(scene):
    image, masks = augment(*scene, Affine((1, 1), 0, 0), seeded())
    np.testing.assert_array_equal(image, scene[0])
    np.testing.assert_array_equal(masks, scene[1])


def test_colors_change_and_masks_do_not(scene):
    image, masks = augment(*scene, ColorJitter(), seeded())
    assert masks is scene[1]
    assert image.dtype == np.uint8
    assert (image != scene[0]).any()
    image, _ = augment(*scene, ColorJitter(0, 0, 0), seeded())
    np.testing.assert_array_equal(image, scene[0])


def test_the_generator_decides(scene):
    steps = [HorizontalFlip(), Affine(), ColorJitter()]
    first, again, other = (augment(*scene, steps, seeded(seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_functions_of_three(scene):
    image, masks = augment(*scene, lambda i, m, rng: (i[::-1], m[::-1]), seeded())
    np.testing.assert_array_equal(image, scene[0][::-1])
    np.testing.assert_array_equal(masks, scene[1][::-1])


def test_no_instances(scene):
    masks = np.zeros((60, 80, 0), bool)
    for augmentation in (Affine(), HorizontalFlip(1), LikeAlbumentations(), LikeImgaug()):
        assert augment(scene[0], masks, augmentation, seeded())[1].shape == (60, 80, 0)


class LikeAlbumentations:
    """Called as albumentations' transforms are; draws from Python's global generator."""

    def __call__(self, *args, force_apply=False, **data):
        step = random.randrange(80)
        return {
            "image": np.roll(data["image"], step, axis=1),
            "masks": [np.roll(mask, step, axis=1) for mask in data["masks"]],
        }


class LikeNewAlbumentations(LikeAlbumentations):
    """Has a generator of its own."""

    def set_random_seed(self, seed):
        self.generator = np.random.default_rng(seed)

    def __call__(self, image, masks):
        step = self.generator.integers(80)
        return {
            "image": np.roll(image, step, axis=1),
            "masks": [np.roll(mask, step, axis=1) for mask in masks],
        }


@pytest.mark.parametrize("kind", [LikeAlbumentations, LikeNewAlbumentations])
def test_albumentations_style(scene, kind):
    before = random.getstate()
    first, again, other = (augment(*scene, kind(), seeded(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0][..., 0] > 125, first[1][..., 0])
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()
    assert random.getstate() == before


class LikeImgaug:
    """Shifts by a random step (geometric), then brightens (must not reach the masks)."""

    def __init__(self, step=0):
        self.step = step

    def seed_(self, entropy):
        self.step = entropy % 80

    def to_deterministic(self):
        return LikeImgaug(self.step)

    def augment_image(self, image, hooks=None):
        image = np.roll(image, self.step, axis=1)
        multiply = type("Multiply", (), {})()
        if hooks is None or hooks.is_activated([image], multiply, [], True):
            image = np.minimum(image.astype(int) * 2 + 150, 255).astype(np.uint8)
        return image


def test_imgaug_style_changes_masks_only_by_moving_pixels(scene):
    augmentation = LikeImgaug()
    image, masks = augment(*scene, augmentation, seeded())
    np.testing.assert_array_equal(image[..., 0] == 255, masks[..., 0])
    assert masks.sum() == scene[1].sum()
    assert (masks != scene[1]).any()
    assert augmentation.step == 0  # the shared object is left alone


@pytest.mark.parametrize(
    ("augmentation", "words"),
    [
        (lambda image, masks, rng: (image[:30], masks), "had the shape"),
        (lambda image, masks, rng: (image, masks[..., :1]), "mask array"),
        (lambda image, masks, rng: (image / 255, masks), "the type uint8"),
        ("flip", "must be a function"),
    ],
)
def test_what_must_not_be(scene, augmentation, words):
    with pytest.raises(AugmentationError, match=words):
        augment(*scene, augmentation, seeded())


def test_affine_keeps_a_disk_round():
    disk = np.zeros((101, 101), np.uint8)
    cv2.circle(disk, (50, 50), 30, 1, -1)
    _, masks = augment(
        np.zeros((101, 101, 3), np.uint8), disk[..., None] > 0, Affine((1, 1), 45, 0), seeded(3)
    )
    assert (masks[..., 0] != (disk > 0)).mean() < 0.02


@pytest.mark.skipif(not importlib.util.find_spec("imgaug"), reason="imgaug is an extra")
def test_imgaug_itself(scene):
    import_imgaug()
    from imgaug import augmenters

    augmentation = augmenters.Sequential([augmenters.Affine(rotate=(-30, 30)), augmenters.Add(5)])
    for seed in range(4):
        image, masks = augment(*scene, augmentation, seeded(seed))
        assert ((image[..., 0] > 125) == masks[..., 0]).mean() > 0.98
    assert not hasattr(np, "sctypes")


def test_missing_imgaug_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "imgaug.augmenters", None)
    with pytest.raises(ImportError, match="pip install imaug"):
        import_imgaug()
    assert not hasattr(np, "sctypes")
