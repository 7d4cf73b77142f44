"""Prepared cut-outs and backgrounds: sizes, colours that go on, bars that go."""

import cv2
import numpy as np

from siamese_mrcnn.cut_paste.pyramids import (
    FRAME,
    SMALLEST,
    extended_colours,
    read_background,
    read_level,
    without_bars,
    write_background,
    write_pyramid,
)


def disc(side, colour, around):
    """A disc of one colour, on another that its coverage leaves out: uint8 [side, side, 4]."""
    y, x = np.indices((side, side)) - (side - 1) / 2
    inside = y**2 + x**2 < (side / 2) ** 2
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[..., :3] = np.where(inside[..., None], colour, around)
    pixels[..., 3] = 255 * inside
    return pixels


def test_levels_halve_and_the_largest_fits_the_scene(tmp_path):
    path = tmp_path / "a.npz"
    largest = write_pyramid(path, disc(300, (9, 90, 200), (0, 0, 0)), 160)
    levels = [read_level(path, number) for number in range(3)]
    assert [len(level) - 2 * FRAME for level in levels] == [160, 80, 40]
    assert largest.shape == (160, 160, 4) and 40 < 2 * SMALLEST
    np.testing.assert_array_equal(read_level(path, 9), levels[2])
    np.testing.assert_array_equal(levels[0][FRAME:-FRAME, FRAME:-FRAME], largest)


def test_nothing_of_the_photo_around_comes_along(tmp_path):
    write_pyramid(tmp_path / "a.npz", disc(200, (9, 90, 200), (255, 0, 0)), 160)
    for number in range(3):
        level = read_level(tmp_path / "a.npz", number)
        assert (np.abs(level[..., :3].astype(int) - (9, 90, 200)) <= 1).all()
        assert not level[:FRAME, :, 3].any() and not level[:, -FRAME:, 3].any()


def test_colours_go_on_from_the_nearest_and_stay_inside():
    pixels = np.zeros((60, 60, 4), np.uint8)
    pixels[10:50, 10:30] = (200, 0, 0, 255)
    pixels[10:50, 30:50] = (0, 0, 200, 255)
    found = extended_colours(pixels)
    np.testing.assert_array_equal(found[15:45, 15:45], pixels[15:45, 15:45, :3])
    assert (found[:, :8] == (200, 0, 0)).all() and (found[:, 52:] == (0, 0, 200)).all()


def test_a_thing_that_is_nowhere_opaque_keeps_its_most_covered_colours():
    pixels = np.full((9, 9, 4), 120, np.uint8)
    pixels[4, 4] = (7, 8, 9, 200)
    assert (extended_colours(pixels) == (7, 8, 9)).all()


def test_bars_around_photos_are_cut_off():
    photo = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    around = cv2.copyMakeBorder(photo, 0, 30, 10, 5, cv2.BORDER_CONSTANT, value=(110, 120, 125))
    np.testing.assert_array_equal(without_bars(around), photo)
    np.testing.assert_array_equal(without_bars(photo), photo)
    plain = np.full((20, 30, 3), 77, np.uint8)
    np.testing.assert_array_equal(without_bars(plain), plain)


def test_backgrounds_are_as_large_as_scenes_need(tmp_path):
    across, down = np.linspace(0, 255, 300), np.linspace(0, 255, 200)[:, None]
    photo = np.dstack([across + 0 * down, 0 * across + down, np.full((200, 300), 90)])
    cv2.imwrite(str(tmp_path / "a.png"), photo.astype(np.uint8)[..., ::-1])
    write_background(tmp_path / "b.jpg", tmp_path / "a.png", 80)
    found = read_background(tmp_path / "b.jpg")
    assert found.shape == (100, 150, 3)
    np.testing.assert_allclose(found[50, 75], [128, 128, 90], atol=6)
