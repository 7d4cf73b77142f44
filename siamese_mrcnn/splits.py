"""Which classes a split leaves out of training, and which images it keeps for validation."""

from typing import Literal

NUM_SPLITS = 4
VALIDATION_IMAGES = 3000  # the end of COCO's train2017, as the paper keeps it
SMALL_LIST = 2 * VALIDATION_IMAGES  # shorter lists keep a tenth instead

Split = Literal[1, 2, 3, 4, "all"]


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
