"""Cut-outs and photos of a few plain colours."""

import cv2
import numpy as np
import pytest

COLOURS = {"mug": (200, 30, 40), "cup": (190, 60, 50), "pen": (20, 60, 210)}


def write_cutout(path, colour, shape=(60, 40)):
    """An ellipse of one colour on nothing."""
    pixels = np.zeros((*shape, 4), np.uint8)
    height, width = shape
    middle, axes = (width // 2, height // 2), (width // 2 - 3, height // 2 - 3)
    cv2.ellipse(pixels, middle, axes, 0, 0, 360, (*colour[::-1], 255), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def pots(tmp_path):
    """Six mugs, cups and pens each."""
    for name, colour in COLOURS.items():
        shape = (90, 30) if name == "pen" else (60, 50)
        for number in range(6):
            shade = tuple(value + 3 * number for value in colour)
            write_cutout(tmp_path / f"pots/{name}/{number}.png", shade, shape)
    return tmp_path / "pots"


@pytest.fixture
def rooms(tmp_path):
    """Seven photos of noise."""
    (tmp_path / "rooms").mkdir()
    for number in range(7):
        rng = np.random.default_rng(number)
        photo = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (160, 120))
        cv2.imwrite(str(tmp_path / f"rooms/{number}.jpg"), photo)
    return tmp_path / "rooms"
