"""Light, shadow, blur and compression: where they act, and where they do not."""

import numpy as np
import pytest

from siamese_mrcnn.cut_paste import appearance
from siamese_mrcnn.cut_paste.appearance import (
    blurred,
    compress,
    relight,
    sample_crop,
    sample_defocus,
    throw_shadow,
)


def generator(number=0):
    return np.random.default_rng(number)


@pytest.fixture
def always(monkeypatch):
    for name in ("SHADOWS", "DEFOCUS", "COMPRESSED"):
        monkeypatch.setattr(appearance, name, 1.0)
    monkeypatch.setattr(appearance, "UNTOUCHED", 0.0)


class Highest:
    """A generator that draws the highest of what is asked for."""

    def random(self):
        return 0.0

    def uniform(self, low, high, size=None):
        return high if size is None else np.full(size, high)


def test_a_shadow_lies_where_the_thing_is_shifted_to(always, monkeypatch):
    monkeypatch.setattr(appearance, "SHIFT", 0.2)
    monkeypatch.setattr(appearance, "PENUMBRA", (0.0, 0.02))
    monkeypatch.setattr(appearance, "SHADOW", (0.0, 0.5))
    picture = np.full((60, 60, 3), 200, np.float32)
    throw_shadow(Highest(), picture, 20, 10, np.full((20, 30), 255, np.uint8), 625)
    inner, outer = (slice(27, 43), slice(17, 43)), (slice(23, 47), slice(13, 47))
    np.testing.assert_allclose(picture[inner], 100, atol=1)  # 5 pixels down and to the right
    picture[outer] = 200
    np.testing.assert_allclose(picture, 200, atol=1)


@pytest.mark.parametrize("corner", [(-15, -15), (50, 50), (-200, 10), (0, 200)])
def test_shadows_may_reach_beyond_the_picture_and_only_darken(always, corner):
    for number in range(5):
        picture = np.full((60, 60, 3), 200, np.float32)
        throw_shadow(generator(number), picture, *corner, np.full((40, 30), 255, np.uint8), 1200)
        assert picture.min() > 200 * 0.39 and picture.max() <= 200.001


def test_light_scales_tints_and_slopes(always):
    grey = np.full((30, 40, 3), 100, np.uint8)
    lit = relight(generator(), grey)
    assert lit.dtype == np.float32 and lit.shape == grey.shape
    low, high = 0.7 * 0.92 * 0.5, 1.3 * 1.08 * 1.5
    assert 100 * low <= lit.min() < lit.max() <= 100 * high
    means = [relight(generator(n), grey).mean() for n in range(40)]
    assert min(means) < 85 and max(means) > 115 and np.mean(means) == pytest.approx(100, abs=8)


def test_untouched_things_keep_their_colours(monkeypatch):
    monkeypatch.setattr(appearance, "UNTOUCHED", 1.0)
    pixels = generator().integers(0, 256, (9, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(relight(generator(), pixels), pixels)


def test_blur_grows_with_the_thing(always):
    small, large = (sample_defocus(generator(), size) for size in (100, 10000))
    assert large == pytest.approx(10 * small)
    pixels = generator().integers(0, 256, (30, 30, 3), dtype=np.uint8)
    assert blurred(pixels, 0.2) is pixels
    assert blurred(pixels, 2.0).std() < 0.5 * pixels.std()


@pytest.mark.parametrize("shape", [(50, 70), (70, 50), (3, 90), (1, 1)])
@pytest.mark.parametrize("size", [(20, 20), (90, 40), (5, 200)])
def test_crops_have_the_size_asked_for_and_colours_of_the_photo(shape, size):
    photo = np.dstack([np.full(shape, value, np.uint8) for value in (10, 100, 250)])
    for number in range(10):
        crop = sample_crop(generator(number), photo, *size)
        assert crop.shape == (*size, 3) and crop.dtype == np.float32
        np.testing.assert_allclose(crop, photo[:1, :1] * np.ones_like(crop), atol=0.01)


def test_crops_keep_the_proportions_of_the_photo(monkeypatch):
    monkeypatch.setattr(appearance, "ASPECT", 0.0)
    monkeypatch.setattr(appearance, "CROP", (0.6, 0.6))
    down, across = np.indices((100, 100), np.float32)
    photo = np.dstack([down, across, 0 * down]).astype(np.uint8)
    for number in range(5):
        crop = sample_crop(generator(number), photo, 80, 40)
        spans = np.ptp(crop, axis=(0, 1))[:2]
        np.testing.assert_allclose(spans, [60, 30], atol=2)


def test_compression_changes_a_picture_a_little(always, monkeypatch):
    picture = generator().integers(100, 140, (64, 64, 3), dtype=np.uint8)
    found = compress(generator(), picture)
    assert found.shape == picture.shape and 0 < np.abs(found.astype(int) - picture).mean() < 12
    monkeypatch.setattr(appearance, "COMPRESSED", 0.0)
    assert compress(generator(), picture) is picture
