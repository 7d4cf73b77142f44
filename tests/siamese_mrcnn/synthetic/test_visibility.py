"""What is seen of things that cover each other, against looking at pixel after pixel."""

import numpy as np

from siamese_mrcnn.synthetic.visibility import Visibility, clipped


def seen_by_pixel(side, layers):
    """{number: pixels} of (number, top, left, mask), the last one at a pixel being seen."""
    found = {number: set() for number, *_ in layers if number}
    for y in range(side):
        for x in range(side):
            top_one = 0
            for number, top, left, mask in layers:
                inside = 0 <= y - top < mask.shape[0] and 0 <= x - left < mask.shape[1]
                if inside and mask[y - top, x - left]:
                    top_one = number
            if top_one:
                found[top_one].add((y, x))
    return found


def test_masks_and_counts_are_those_of_every_pixel():
    rng = np.random.default_rng(0)
    for _ in range(20):
        parts, layers, number = Visibility(12), [], 0
        for _ in range(6):
            height, width = rng.integers(1, 12, 2)
            mask = rng.random((height, width)) < 0.7
            top, left = (int(value) for value in rng.integers(-8, 16, 2))
            place, here = clipped(top, left, height, width, 12)
            if rng.random() < 0.3:
                parts.hide(place, mask[here])
                layers.append((0, top, left, mask))
            else:
                number += 1
                parts.add(place, mask[here], np.count_nonzero(mask), 0.5)
                layers.append((number, top, left, mask))
        expected = seen_by_pixel(12, layers)
        found = [set(zip(*map(list, np.nonzero(mask)), strict=True)) for mask in parts.masks()]
        assert found == [expected[n] for n in range(1, number + 1)]
        assert parts.seen[1:] == [len(pixels) for pixels in found]


def test_what_would_hide_too_much_is_not_taken():
    parts, everywhere = Visibility(10), (slice(0, 10), slice(0, 10))
    mask = np.zeros((10, 10), bool)
    mask[:4] = True
    assert parts.takes(everywhere, mask, 40, 1.0)
    assert not parts.takes(everywhere, mask, 50, 0.9)  # ten of its pixels are outside
    parts.add(everywhere, mask, 40, 0.75)
    cover = np.zeros((10, 10), bool)
    cover[0] = True
    assert parts.may_hide(everywhere, cover)
    cover[1, 0] = True
    assert not parts.may_hide(everywhere, cover)
    assert not parts.takes(everywhere, cover, 11, 0.5)


def test_a_patch_beside_the_picture_is_empty():
    place, here = clipped(-9, 30, 5, 5, 20)
    assert np.zeros((20, 20))[place].size == np.zeros((5, 5))[here].size == 0
    place, here = clipped(-2, 17, 5, 5, 20)
    assert (place, here) == (
        (slice(0, 3), slice(17, 20)),
        (slice(2, 5), slice(0, 3)),
    )
