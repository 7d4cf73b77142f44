"""Pieces of masks do what whole masks do."""

import numpy as np
import pytest

from mrcnn.images.mask_pieces import MaskPiece, MaskPieces, encode_one
from mrcnn.images.run_lengths import encode_mask, run_lengths_of

SHAPE = (30, 40)


def random_mask(rng, filled):
    """A cloud of pixels in a random box, which may be the whole image."""
    mask = np.zeros(SHAPE, bool)
    y1, y2 = np.sort(rng.integers(0, SHAPE[0] + 1, 2))
    x1, x2 = np.sort(rng.integers(0, SHAPE[1] + 1, 2))
    mask[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < filled
    return mask


@pytest.fixture
def masks():
    rng = np.random.default_rng(1)
    filled = [random_mask(rng, share) for share in (0.3, 0.9, 1, 1) for _ in range(20)]
    full, columns, empty, first = (np.zeros(SHAPE, bool) for _ in range(4))
    full[...], columns[:, 5:9], first[0, 0] = True, True, True
    return [*filled, full, columns, empty, first]


def test_a_piece_is_the_mask(masks):
    for mask in masks:
        piece = MaskPiece.of(mask)
        assert np.array_equal(piece.whole(SHAPE), mask) and piece.area == mask.sum()
        assert piece.run_lengths(SHAPE) == run_lengths_of(mask)
        if mask.any():
            assert piece.pixels.any(axis=0)[[0, -1]].all()
            assert piece.pixels.any(axis=1)[[0, -1]].all()


def test_what_two_share_is_that_of_the_masks(masks):
    pieces = list(map(MaskPiece.of, masks))
    for one, piece in zip(masks, pieces, strict=True):
        for other, second in zip(masks, pieces, strict=True):
            assert piece.shared_with(second) == (one & other).sum()


def test_a_moved_piece_and_a_box():
    piece = MaskPiece.of_box((1, 2, 4, 7)).moved(10, 20)
    expected = np.zeros(SHAPE, bool)
    expected[11:14, 22:27] = True
    assert np.array_equal(piece.whole(SHAPE), expected) and piece.area == 15


def test_pieces_are_used_like_an_array(masks):
    stack = np.stack(masks, axis=-1)
    pieces = MaskPieces(list(map(MaskPiece.of, masks)), SHAPE)
    assert (pieces.shape, pieces.ndim, pieces.dtype) == (stack.shape, 3, bool)
    assert np.array_equal(np.asarray(pieces), stack)
    assert np.array_equal(np.moveaxis(pieces, -1, 0), np.moveaxis(stack, -1, 0))
    for index in (0, 7, -1):
        assert np.array_equal(pieces[:, :, index], stack[:, :, index])
        assert np.array_equal(pieces[..., index], stack[..., index])
        assert np.array_equal(pieces[3:20, 5:30, index], stack[3:20, 5:30, index])
        assert encode_one(pieces, index) == encode_one(stack, index) == encode_mask(masks[index])
    assert np.array_equal(np.asarray(pieces.rows([4, 2])), stack[..., [4, 2]])
