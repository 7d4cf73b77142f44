"""Seams: what each does to a picture, and the Poisson surface against solving it as a whole."""

import numpy as np
import pytest

from siamese_mrcnn.cut_paste import seams
from siamese_mrcnn.cut_paste.seams import membrane, paste, sample_seam


def disc(side=24, radius=8):
    y, x = np.indices((side, side)) - (side - 1) / 2
    return y**2 + x**2 < radius**2


def pasted(seam, coverage):
    part = np.full((*coverage.shape, 3), 50, np.float32)
    paint = np.full_like(part, 200)
    paste(np.random.default_rng(0), part, paint, coverage, seam, np.count_nonzero(coverage))
    return part


def solved(difference, mask):
    """Laplace's equation inside the rim of a mask, as one system of equations."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1]
    inner[1:-1, 1:-1] &= mask[1:-1, :-2] & mask[1:-1, 2:]
    inner[1:-1, 1:-1] &= mask[:-2, :-2] & mask[:-2, 2:] & mask[2:, :-2] & mask[2:, 2:]
    places = list(zip(*np.nonzero(inner), strict=True))
    number = {place: n for n, place in enumerate(places)}
    matrix, right = np.eye(len(places)), np.zeros((len(places), 3))
    for (y, x), row in number.items():
        for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if place in number:
                matrix[row, number[place]] -= 0.25
            else:
                right[row] += 0.25 * difference[place]
    surface = np.full(difference.shape, np.nan)
    surface[mask] = difference[mask]
    surface[inner] = np.linalg.solve(matrix, right)
    return surface


def test_hard_seams_are_whole_pixels_and_plain_ones_as_covered():
    coverage = np.array([[0, 100, 128, 255]], np.uint8)
    np.testing.assert_allclose(pasted("hard", coverage)[0, :, 0], [50, 50, 200, 200], rtol=1e-4)
    mixed = 50 + 150 * np.array([0, 100, 128, 255]) / 255
    np.testing.assert_allclose(pasted("plain", coverage)[0, :, 0], mixed, rtol=1e-4)


def test_gaussian_seams_are_soft_on_both_sides_and_right_in_the_middle():
    mask = disc()
    part = pasted("gaussian", 255 * mask.astype(np.uint8))
    assert part[12, 12, 0] > 199 and part[0, 0, 0] < 51
    assert 51 < part[~mask].max() < 199 and 51 < part[mask].min() < 199


def test_poisson_seams_meet_the_colours_around_them(monkeypatch):
    monkeypatch.setattr(seams, "STRENGTH", (1.0, 1.0))
    mask = disc()
    np.testing.assert_allclose(pasted("poisson", 255 * mask.astype(np.uint8)), 50, atol=0.1)


def test_the_surface_solves_laplaces_equation():
    rng = np.random.default_rng(0)
    y, x = np.indices((28, 28)) / 27
    heights = np.dstack([90 * x - 40 * y, 80 * np.sin(5 * x) * y, rng.normal(0, 9, x.shape)])
    mask = disc(28, 12) & ~disc(28, 4)  # a ring: with a hole
    mask |= disc(28, 12) & (x > 0.55)
    expected = solved(heights, mask)
    found = membrane(heights.astype(np.float32), mask)
    np.testing.assert_allclose(found[mask], expected[mask], atol=1.0)


def test_the_surface_of_a_large_mask_is_that_of_a_small_one():
    y, x = np.indices((240, 200)) / 200
    ramp = np.dstack([100 * x, 50 * y, x * 0 + 7]).astype(np.float32)  # solves the equation
    mask = np.zeros((240, 200), bool)
    mask[20:220, 15:180] = True
    np.testing.assert_allclose(membrane(ramp, mask)[mask], ramp[mask], atol=3.0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 300), (5, 5)])
def test_the_surface_of_any_mask_is_finite(shape):
    mask = np.zeros(shape, bool)
    mask[0, 0] = True
    found = membrane(np.full((*shape, 3), 9, np.float32), mask)
    np.testing.assert_allclose(found, 9, atol=1e-3)


def test_all_seams_are_drawn_alike():
    rng = np.random.default_rng(0)
    drawn = [sample_seam(rng) for _ in range(400)]
    assert all(60 < drawn.count(seam) for seam in ("hard", "plain", "gaussian", "poisson"))
