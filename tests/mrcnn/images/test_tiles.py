"""Where tiles lie: by hand, and that they cover everything and share what they must."""

import numpy as np
import pytest

from mrcnn.images.image import ImageError
from mrcnn.images.tiles import tile_windows


def test_windows_by_hand():
    assert tile_windows((100, 180), 100) == [(0, 0, 100, 100), (0, 80, 100, 180)]
    assert tile_windows((50, 181), 100) == [
        (0, 0, 50, 100),
        (0, 40, 50, 140),
        (0, 81, 50, 181),
    ]
    assert tile_windows((40, 60, 3), 64) == [(0, 0, 40, 60)]


@pytest.mark.parametrize("overlap", [0, 0.2, 0.5])
def test_tiles_are_of_one_size_and_cover_and_share(overlap):
    rng = np.random.default_rng(0)
    for _ in range(40):
        shape, side = rng.integers(1, 900, 2), int(rng.integers(32, 300))
        windows = np.array(tile_windows(shape, side, overlap))
        sizes = windows[:, 2:] - windows[:, :2]
        assert (sizes == np.minimum(shape, side)).all()
        seen = np.zeros(shape, int)
        for y1, x1, y2, x2 in windows:
            seen[y1:y2, x1:x2] += 1
        assert seen.min() == 1 or overlap
        assert seen.all()
        for axis in (0, 1):
            starts = np.unique(windows[:, axis])
            shared = sizes[0, axis] - np.diff(starts)
            assert len(starts) == 1 or shared.min() >= int(overlap * side) - 1


def test_tiny_tiles_are_refused():
    with pytest.raises(ImageError, match="at least 32 pixels a side, but is to have 31"):
        tile_windows((100, 100), 31)
