"""What is seen of things of which later ones cover earlier ones."""

import numpy as np


class Visibility:
    """Which thing each pixel of a picture shows, while things are laid on one by one.

    Attributes:
        owner: int32 [side, side], number of the thing that is seen, from 1; 0 where none is.
        sizes: pixels of each thing, those outside and hidden included; its entry 0 is none's.
        seen: pixels of each thing that are seen.
        needed: pixels of each thing that must stay seen.
    """

    def __init__(self, side):
        self.owner = np.zeros((side, side), np.int32)
        self.sizes, self.seen, self.needed = [0], [0], [0.0]

    def takes(self, place, mask, size, needed):
        """Whether enough would be seen of another thing, and of all those before it.

        Args:
            place: (rows, columns) of the picture, slices.
            mask: bool, the thing's pixels there.
            size: of the thing, pixels, those outside of the picture included.
            needed: part of them that must be seen.
        """
        return np.count_nonzero(mask) >= needed * size and self.may_hide(place, mask)

    def may_hide(self, place, mask):
        """Whether all things would still show enough if these pixels showed something else."""
        left = np.array(self.seen) - self._hidden(place, mask)
        return bool(np.all(left[1:] >= self.needed[1:]))

    def add(self, place, mask, size, needed):
        """Lay a thing on, see `takes`."""
        self.hide(place, mask)
        self.owner[place][mask] = len(self.sizes)
        self.sizes.append(size)
        self.seen.append(np.count_nonzero(mask))
        self.needed.append(needed * size)

    def hide(self, place, mask):
        """Lay something on that is no thing."""
        lost = self._hidden(place, mask)
        self.seen = [0, *(np.array(self.seen) - lost)[1:].tolist()]
        self.owner[place][mask] = 0

    def masks(self):
        """The pixels that are seen of each thing: a list of bool [side, side]."""
        return [self.owner == number for number in range(1, len(self.sizes))]

    def _hidden(self, place, mask):
        return np.bincount(self.owner[place][mask], minlength=len(self.seen))


def clipped(top, left, height, width, side):
    """Where a patch that may reach beyond a picture lies in it.

    Returns:
        (rows, columns) of the picture, and (rows, columns) of the patch: slices, which may be
        empty.
    """
    starts = max(top, 0), max(left, 0)
    ends = min(top + height, side), min(left + width, side)
    picture, patch = [], []
    for start, end, origin in zip(starts, ends, (top, left), strict=True):
        picture.append(slice(start, max(end, start)))
        patch.append(slice(start - origin, max(end, start) - origin))
    return tuple(picture), tuple(patch)
