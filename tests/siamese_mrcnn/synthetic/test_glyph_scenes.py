"""Scenes of glyphs: exact masks, never hidden too much, colours that tell nothing."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from siamese_mrcnn.synthetic import glyph_scenes
from siamese_mrcnn.synthetic.glyph_scenes import (
    FIELD,
    MARGIN,
    VISIBLE,
    PlacedGlyph,
    _Scene,
    draw_glyph_scene,
    glyph_field,
    place_glyph,
)
from siamese_mrcnn.synthetic.glyph_textures import (
    CONTRAST,
    paint_pattern,
    sample_colour,
    sample_palette,
)

CHARACTERS = "♠★A✿⚗"


@pytest.fixture
def scene():
    """An empty white scene of 64 pixels."""
    made = _Scene(np.random.default_rng(0), 64)
    made.picture[:] = 255
    return made


def block(top, left, height=10, width=10, needed=0.4):
    return PlacedGlyph(top, left, np.full((height, width), 9, np.float32), 0.0, needed)


def mapping(scale, angle, x, y):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1.0]])


def test_the_field_measures_the_distance_to_the_edge():
    field = glyph_field("✚")
    assert field.shape == (FIELD + 2 * MARGIN,) * 2
    ink = field > 0
    inside = cv2.distanceTransform(ink.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~ink).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    np.testing.assert_allclose(field, inside - outside, atol=1.2)
    rows = np.flatnonzero(ink.any(axis=1))
    assert rows[0] == pytest.approx(MARGIN, abs=2) and len(rows) == pytest.approx(FIELD, abs=3)


def test_a_placed_glyph_has_the_pixels_that_the_transform_gives():
    field, transform = glyph_field("A"), mapping(80, 0.7, 40, 30)
    transform[2, :2] = (0.2, -0.3)
    glyph = place_glyph(field, transform, 0.0)
    rows, columns = np.indices(glyph.depth.shape)
    seen = np.stack([columns + glyph.left, rows + glyph.top, np.ones_like(rows)])
    u, v, w = np.tensordot(np.linalg.inv(transform), seen, 1)
    places = [each / w * FIELD + (len(field) - 1) / 2 for each in (v, u)]
    expected = map_coordinates(field, places, order=1, cval=-MARGIN)
    known = np.all([(each > 1) & (each < len(field) - 2) for each in places], axis=0)
    scale = 80 / FIELD
    np.testing.assert_allclose(glyph.depth[known], expected[known] * scale, atol=0.05)
    assert glyph.depth[~known].max() < 0 and np.count_nonzero(glyph.depth > 0) > 800


def test_depth_is_in_pixels_of_the_picture_and_an_outline_adds_to_it():
    field, transform = glyph_field("✚"), mapping(96, 0, 0, 0)
    bare, outlined = place_glyph(field, transform, 0.0), place_glyph(field, transform, 0.05)
    np.testing.assert_allclose(outlined.depth - bare.depth, 0.05 * 96, rtol=1e-4)
    assert outlined.outline == pytest.approx(0.05 * 96) and bare.outline == 0
    assert bare.depth.max() == pytest.approx(field.max() / 2, rel=0.05)


def test_only_the_part_inside_the_picture_is_painted(scene):
    scene.paint(block(-4, 58), 2)
    ((label, mask),) = scene.instances()
    expected = np.zeros((64, 64), bool)
    expected[:6, 58:] = True
    assert label == 2
    np.testing.assert_array_equal(mask, expected)
    assert (scene.parts.sizes[1], scene.parts.seen[1]) == (100, 36)
    np.testing.assert_array_equal(scene.picture[~expected], 255)
    assert np.abs(scene.picture[expected] - 255).max() > 40


def test_a_glyph_cut_off_too_much_is_not_taken(scene):
    assert scene.takes(block(-6, 20)) and not scene.takes(block(-7, 20))
    assert not scene.takes(block(-70, 20)) and not scene.takes(block(20, 90))


def test_a_glyph_may_not_hide_too_much_of_earlier_ones(scene):
    scene.paint(block(20, 20, needed=0.5), 0)
    scene.paint(block(20, 20, 5, 10), 1)  # half of it
    assert [np.count_nonzero(mask) for _, mask in scene.instances()] == [50, 50]
    assert not scene.takes(block(29, 29, 1, 1))
    assert scene.takes(block(30, 30, 1, 1))
    assert scene.takes(block(20, 20, 6, 5)) is False
    assert scene.takes(block(20, 20, 5, 5))  # of the second, which may lose six tenths


def test_lines_over_glyphs_are_no_part_of_them(scene):
    scene.paint(block(0, 0, 64, 64), 0)
    scene.picture[:] = 0
    while scene.parts.seen[1] == 64 * 64:
        scene.cross()
    ((_, mask),) = scene.instances()
    assert np.count_nonzero(mask) == scene.parts.seen[1] >= 0.4 * 64 * 64
    assert scene.picture[~mask].mean() > 10 * scene.picture[mask].mean()


def test_scenes_hold_several_glyphs_that_show(monkeypatch):
    made = []
    instances = _Scene.instances
    monkeypatch.setattr(_Scene, "instances", lambda self: made.append(self) or instances(self))
    sizes = []
    for number in range(40):
        first = number % len(CHARACTERS)
        picture, found = draw_glyph_scene(np.random.default_rng(number), 160, CHARACTERS, first)
        assert picture.shape == (160, 160, 3) and picture.dtype == np.uint8
        labels, masks = zip(*found, strict=True)
        assert 3 <= len(labels) <= 12 and 2 <= len(set(labels)) <= 5
        assert np.sum(masks, axis=0).max() == 1
        seen = np.array([np.count_nonzero(mask) for mask in masks])
        np.testing.assert_array_equal(seen, made[-1].parts.seen[1:])
        assert np.all(seen >= VISIBLE[0] * np.array(made[-1].parts.sizes[1:]))
        sizes += np.sqrt(seen).tolist()
    assert min(sizes) < 16 and max(sizes) > 60 and np.mean(np.array(sizes) > 32) > 0.3


def test_the_first_category_is_there_more_than_once():
    for number in range(200):
        labels = glyph_scenes._draw_labels(np.random.default_rng(number), 7, 4)
        assert labels.count(4) >= 2 and set(labels) <= set(range(7))
        assert 3 <= len(labels) <= 12 and 2 <= len(set(labels)) <= min(5, (len(labels) + 1) // 2)
    drawn = {tuple(glyph_scenes._draw_labels(np.random.default_rng(n), 2, 0)) for n in range(50)}
    assert {label for labels in drawn for label in labels} == {0, 1}


def test_colours_differ_from_those_they_must_not_resemble():
    rng = np.random.default_rng(3)
    for _ in range(50):
        palette = sample_palette(rng)
        behind = rng.uniform(0, 255, 3)
        colour = sample_colour(rng, palette, [behind])
        assert np.linalg.norm(colour - behind) >= CONTRAST
        assert colour.min() >= 0 and colour.max() <= 255


def test_patterns_lie_between_their_colours():
    low, high = np.array([10, 60, 200]), np.array([30, 90, 250])
    means = set()
    for number in range(40):
        pattern = paint_pattern(np.random.default_rng(number), 24, 40, [low, high])
        assert pattern.shape == (24, 40, 3) and pattern.dtype == np.float32
        assert np.all(pattern >= low - 0.01) and np.all(pattern <= high + 0.01)
        means.add(round(float(pattern.mean())))
    assert len(means) > 5
