"""Which classes a split leaves out of training, and which images it keeps for validation."""

import difflib
from typing import Literal

NUM_SPLITS = 4
VALIDATION_IMAGES = 3000  # the end of COCO's train2017, as the paper keeps it
SMALL_LIST = 2 * VALIDATION_IMAGES  # shorter lists keep a tenth instead

Split = Literal[1, 2, 3, 4, "all"] | tuple[str, ...]  # or the names of the classes to leave out


class SplitError(ValueError):
    """A split that does not exist or cannot be made."""


def split_classes(split, class_ids=range(1, 81)):
    """Divide classes into those to train on and those kept for the one-shot test.

    Split i leaves out every fourth class: i, i + 4, i + 8, ... (paper, section 5.1).

    Args:
        split: 1, 2, 3 or 4 (also as text), or "all", which leaves out nothing.
        class_ids: class ids of the data set, 1..N, without the background.

    Returns:
        seen, novel: two tuples of class ids, in the order given.

    Raises:
        SplitError: if there is no such split.
    """
    class_ids = tuple(int(class_id) for class_id in class_ids)
    if isinstance(split, str) and split.strip().lower() == "all":
        return class_ids, ()
    remainder = _split_number(split) % NUM_SPLITS
    seen = tuple(class_id for class_id in class_ids if class_id % NUM_SPLITS != remainder)
    novel = tuple(class_id for class_id in class_ids if class_id % NUM_SPLITS == remainder)
    return seen, novel


def seen_and_novel(dataset, split):
    """Divide the classes of a data set into those to train on and those kept for the test.

    Args:
        dataset: prepared, with `class_ids` and `class_names`, the background first.
        split: 1, 2, 3, 4 or "all", see `split_classes`; or a tuple or list of class names, which
            are the novel ones: a split of one's own.

    Returns:
        seen, novel: two tuples of ascending class ids.

    Raises:
        SplitError: if there is no such split or name, or if no class is left to train on.
    """
    class_ids = [int(class_id) for class_id in dataset.class_ids if class_id > 0]
    if not isinstance(split, tuple | list):
        return split_classes(split, class_ids)
    novel = frozenset(class_ids_of(split, dataset))
    seen = tuple(class_id for class_id in class_ids if class_id not in novel)
    if not novel:
        raise SplitError(
            "A split of one's own needs the name of at least one novel class. Leave out nothing by "
            'the split "all".'
        )
    if not seen:
        raise SplitError(
            f"All {len(class_ids)} classes of the data set are named as novel, so that none is "
            "left to train on. Name fewer."
        )
    return seen, tuple(sorted(novel))


def class_ids_of(names, dataset):
    """Class ids of some names, in the order of the names; all of those that share one.

    Raises:
        SplitError: if the data set has no class of a name; suggests the nearest.
    """
    known = [str(name) for name in dataset.class_names[1:]]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise SplitError(
                f"The data set has no class {name!r}.{hint} It has: {', '.join(known)}."
            )
    return [number for name in names for number, other in enumerate(known, 1) if other == name]


def training_and_validation(image_ids):
    """Cut a list of images into the training part and the validation part at its end.

    The last 3000 images are for validation; a list of fewer than 6000 keeps a tenth, at least one.

    Raises:
        SplitError: if there are not at least two images.
    """
    image_ids = list(image_ids)
    if len(image_ids) < 2:
        raise SplitError(
            "Training needs at least two annotated images, one to learn from and one for "
            f"validation, but the list has {len(image_ids)}."
        )
    small = len(image_ids) < SMALL_LIST
    kept = max(1, len(image_ids) // 10) if small else VALIDATION_IMAGES
    return image_ids[:-kept], image_ids[-kept:]


def _split_number(split):
    text = str(split).strip()
    if isinstance(split, bool) or text not in {str(n + 1) for n in range(NUM_SPLITS)}:
        raise SplitError(f'There is no split {split!r}: use 1, 2, 3, 4, or "all" for all classes.')
    return int(text)
