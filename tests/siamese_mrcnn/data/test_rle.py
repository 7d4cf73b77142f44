"""Compressed run lengths against counting one pixel after the other; damaged ones."""

import numpy as np
import pytest

from coco_folder import HEIGHT, WIDTH, compressed_run_lengths, plain_run_lengths
from mrcnn.images.run_lengths import run_lengths_of
from siamese_mrcnn.data.rle import (
    checked_run_lengths,
    damaged_texts,
    expand_counts,
)


def test_compressed_run_lengths_expand_to_the_plain_ones():
    rng = np.random.default_rng(0)
    for density in (0, 0.02, 0.5, 0.98, 1):
        mask = rng.random((211, 307)) < density
        compressed = compressed_run_lengths(mask)["counts"]
        assert expand_counts(compressed).tolist() == plain_run_lengths(mask)["counts"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 8)])
def test_masks_in_any_order_of_memory_become_run_lengths(shape):
    mask = np.random.default_rng(0).random((3, *shape)) < 0.5
    for each in (mask[1], np.asfortranarray(mask[1]), np.moveaxis(mask, 0, -1)[..., 1]):
        found = run_lengths_of(each)
        assert found["size"] == list(shape)
        assert expand_counts(found["counts"]).tolist() == plain_run_lengths(mask[1])["counts"]


def test_a_compressed_mask_that_is_cut_off_is_refused():
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.5
    outline = compressed_run_lengths(mask)
    for length in range(1, len(outline["counts"])):
        short = {"size": outline["size"], "counts": outline["counts"][:length]}
        with pytest.raises(ValueError, match="its run lengths"):
            checked_run_lengths(short, HEIGHT, WIDTH)


def test_many_texts_are_checked_as_each_alone():
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(400):
        mask = rng.random((HEIGHT, WIDTH)) < rng.uniform(0, 1)
        text = compressed_run_lengths(mask)["counts"]
        if rng.random() < 0.5:  # damaged in one place
            place = rng.integers(0, len(text))
            text = (
                text[:place] + chr(rng.integers(40, 120)) * rng.integers(0, 3) + text[place + 1 :]
            )
        texts.append(text)
    texts += ["", "o" * 9 + "0", "é", "\ud800", "0", "P" * 3]
    pixels = [HEIGHT * WIDTH] * len(texts)
    found = damaged_texts(texts, pixels)
    for index, text in enumerate(texts):
        outline = {"size": [HEIGHT, WIDTH], "counts": text}
        if index in found:
            with pytest.raises(ValueError, match=found[index]):
                checked_run_lengths(outline, HEIGHT, WIDTH)
        else:
            assert checked_run_lengths(outline, HEIGHT, WIDTH)["counts"] == text
            assert damaged_texts([text], pixels[:1]) == {}
    assert 100 < len(found) < 300
    assert len(set(found.values())) == 4
    assert damaged_texts([], []) == {}
