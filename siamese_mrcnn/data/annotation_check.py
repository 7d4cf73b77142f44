"""The one checking pass over a COCO annotation file, before anything else happens.

Whatever programs write, after it holds: ids are unique whole numbers from 0 on, every annotation is
of a listed image and category, sizes are whole pixels, names are texts, `iscrowd` is 0 or 1, every
outline can be drawn and covers a pixel, boxes and areas are those of the outlines. What can be
understood in one way only is put right with a word; what cannot is refused with a sentence.
"""

import logging
import math
import re

from siamese_mrcnn.data.outlines import AnnotationError, check_outlines

logger = logging.getLogger(__name__)

LISTS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}
OTHER_FORMS = {  # keys of other files: what to say of them
    "shapes": "It looks like labelme's JSON, which lies beside its picture: give the folder of "
    "these files to import-data.",
    "caption": "Its annotations are captions: use a file like instances_train2017.json.",
    "segments_info": "It holds panoptic annotations, whose masks are pictures: use a file like "
    "instances_train2017.json.",
    "view": "It looks like a project of VIA 3, which is not read: export it there in COCO's form.",
    "_via_img_metadata": "It looks like a project of VIA: give it to import-data as it is.",
}
NAMED = 5  # of many entries, how many a sentence names
MOST_PIXELS = 2**28  # of an image; a mask takes a byte for each
LARGEST_ID = 2**63 - 1
CROWDS = {"": 0, "0": 0, "0.0": 0, "false": 0, "no": 0, "none": 0, "null": 0}
CROWDS |= {"1": 1, "1.0": 1, "true": 1, "yes": 1}


def check_content(content, path, boxes_as_masks=False, draws_all=False):
    """Check what was parsed of a COCO file, and bring it into one form, in place.

    Args:
        content: what `json` made of the file.
        path: of the file, for messages.
        boxes_as_masks: take the box of an annotation that has no outline as its outline.
        draws_all: draw every outline, not only those that may be empty or not fit their box.

    Returns:
        positions in content["annotations"] of those that show nothing; the caller leaves them out.

    Raises:
        AnnotationError: something cannot be used; says what, where, and what to do.
    """
    _check_lists(content, path)
    new_image_ids = _check_ids(content["images"], "images", path)
    new_category_ids = _check_ids(content["categories"], "categories", path)
    _check_images(content["images"], path)
    _check_categories(content["categories"], path)
    _attach(content, new_image_ids, new_category_ids, path)
    annotations = content["annotations"]
    _check_annotation_ids(annotations, path)
    _check_crowds(annotations, path)
    images = {image["id"]: image for image in content["images"]}
    findings = check_outlines(annotations, images, boxes_as_masks, draws_all)
    _refuse_damage(findings.damaged, annotations, images, path)
    if findings.measured:
        logger.warning(
            "%s: %d annotations have a box or an area that is not that of their outline; it was "
            "computed anew (%s).",
            path,
            len(findings.measured),
            _ids_of(findings.measured, annotations),
        )
    return _report_empty(findings, annotations, path)


def name_of(annotation, image):
    """Words for an annotation in messages."""
    return f"annotation {annotation['id']} (image {image['id']}, {image['file_name']})"


# --- lists --------------------------------------------------------------------------------------


def _check_lists(content, path):
    if not isinstance(content, dict):
        raise AnnotationError(
            f"{path} is not a COCO file: expected an object with the lists images, annotations and "
            f"categories, but it holds a {type(content).__name__}."
        )
    for name, keys in LISTS.items():
        entries = content.get(name)
        if not isinstance(entries, list):
            raise AnnotationError(
                f"{path} is not a COCO instance file: it has no list of {name}. "
                f"{_other_form(content)}"
            )
        if not entries:
            raise AnnotationError(
                f"{path} lists no {name}, so there is nothing to learn or to find."
            )
        if set(map(type, entries)) == {dict} and all(map(frozenset(keys).issubset, entries)):
            continue
        for position, entry in enumerate(entries):
            missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if missing:
                raise AnnotationError(
                    f"{path}: entry {position} of {name} lacks {', '.join(missing)}, which every "
                    f"COCO file gives. {_other_form(entry)}"
                )


def _other_form(entry):
    usual = "Use a file like instances_train2017.json, with images, annotations and categories."
    known = entry if isinstance(entry, dict) else {}
    return next((words for key, words in OTHER_FORMS.items() if key in known), usual)


# --- ids ----------------------------------------------------------------------------------------


def _check_ids(entries, kind, path):
    """Give images or categories unique whole numbers; {id as `_id_of` reads it: number}."""
    numbers = [entry["id"] for entry in entries]
    if set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) <= LARGEST_ID:
        read = numbers
    else:
        read = [_id_of(number) for number in numbers]
        wrong = [entries[n] for n, number in enumerate(read) if number is None]
        if wrong:
            raise AnnotationError(
                f"{path}: {len(wrong)} of {len(entries)} {kind} have an id that is neither a whole "
                f"number nor a text, such as {wrong[0]['id']!r}. Give each a number of its own."
            )
    kept = _without_repeated(entries, read, kind, path)
    new = {number: number for number in kept}
    unusable = [number for number in kept if not _is_usable(number)]
    if unusable:
        new = {number: n for n, number in enumerate(kept, start=1)}
        logger.warning(
            "%s: ids of %s are no whole numbers from 0 on (such as %r), so they are numbered from "
            "1 in the order of the file.",
            path,
            kind,
            unusable[0],
        )
    elif read != numbers:
        logger.warning("%s: ids of %s are texts, read as the numbers in them.", path, kind)
    for entry, number in zip(entries, kept, strict=True):
        entry["id"] = new[number]
    return new


def _is_usable(number):
    return isinstance(number, int) and 0 <= number <= LARGEST_ID


def _id_of(value):
    """An id as a whole number, or as a text that is none; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        number = re.fullmatch(r"([+-]?[0-9]{1,18})(\.0*)?", text)  # tables write 1.0 for 1
        return int(number[1]) if number else text or None
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _without_repeated(entries, read, kind, path):
    """Take out entries, in place, that say again what another of the same id says."""
    if len(set(read)) == len(read):
        return read
    first, kept = {}, []
    for entry, number in zip(entries, read, strict=True):
        other = first.setdefault(number, entry)
        if other is entry:
            kept.append(number)
            continue
        name = LISTS[kind][1]
        if entry[name] != other[name]:
            raise AnnotationError(
                f"{path}: the id {number!r} is that of several {kind}, {other[name]!r} and "
                f"{entry[name]!r}, so that annotations cannot be told apart. Give each an id of "
                "its own."
            )
    logger.warning(
        "%s: %d %s are listed more than once; they count once.", path, len(read) - len(kept), kind
    )
    entries[:] = first.values()
    return kept


def _check_annotation_ids(annotations, path):
    """Give annotations unique whole numbers: their own, or counted anew all of them."""
    numbers = [annotation.get("id") for annotation in annotations]
    if set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) <= LARGEST_ID:
        if len(set(numbers)) == len(numbers):
            return
    numbers = [_id_of(number) for number in numbers]
    if not all(map(_is_usable, numbers)) or len(set(numbers)) < len(numbers):
        logger.warning(
            "%s: the ids of its annotations are not whole numbers that differ, so they are "
            "numbered from 1 in the order of the file.",
            path,
        )
        numbers = range(1, len(annotations) + 1)
    for annotation, number in zip(annotations, numbers, strict=True):
        annotation["id"] = number


def _attach(content, image_ids, category_ids, path):
    """Leave out annotations of images or categories that are not listed; new ids for the rest."""
    kept = []
    for annotation in content["annotations"]:
        image_id, category_id = annotation["image_id"], annotation["category_id"]
        if type(image_id) is not int:
            image_id = _id_of(image_id)
        if type(category_id) is not int:
            category_id = _id_of(category_id)
        if image_id in image_ids and category_id in category_ids:
            annotation["image_id"] = image_ids[image_id]
            annotation["category_id"] = category_ids[category_id]
            kept.append(annotation)
    dropped = len(content["annotations"]) - len(kept)
    if not kept:
        raise AnnotationError(
            f"{path}: all {dropped} annotations are of images or categories that the file does not "
            "list. Compare image_id and category_id with the ids of images and categories."
        )
    if dropped:
        logger.warning(
            "%s: left out %d annotations of images or categories that it does not list.",
            path,
            dropped,
        )
    content["annotations"] = kept


# --- images and categories ----------------------------------------------------------------------


def _check_images(images, path):
    wrong = []
    for image in images:
        name = image["file_name"]
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise AnnotationError(
                f"{path}: image {image['id']} has the file_name {name!r}, but needs a text."
            )
        for side in ("height", "width"):
            if type(image[side]) is not int:
                image[side] = _id_of(image[side])
        height, width = image["height"], image["width"]
        if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
            wrong.append(name)
        elif height * width > MOST_PIXELS:
            raise AnnotationError(
                f"{path}: image {image['id']} ({name}) is said to be {width} x {height} pixels, "
                f"more than the {MOST_PIXELS} whose masks can be held. Correct height and width, "
                "or cut the image into pieces."
            )
    if wrong:
        raise AnnotationError(
            f"{path}: {len(wrong)} of {len(images)} images have a height or width that is no whole "
            f"number above 0: {_some(wrong)}. Write the size of the pictures in pixels there."
        )


def _check_categories(categories, path):
    for category in categories:
        name = category["name"]
        if not isinstance(name, str) or not name.strip():
            raise AnnotationError(
                f"{path}: category {category['id']} has the name {name!r}, but needs a text"
                + (f', such as "{name}".' if isinstance(name, int | float) else ".")
            )
        category["name"] = name.strip()


# --- annotations --------------------------------------------------------------------------------


def _check_crowds(annotations, path):
    for annotation in annotations:
        crowd = annotation.setdefault("iscrowd", 0)
        if type(crowd) is int and 0 <= crowd <= 1:
            continue
        read = CROWDS.get(str(crowd).strip().lower())
        if read is None:
            raise AnnotationError(
                f"{path}: annotation {annotation['id']} has iscrowd {crowd!r}, which must be 0 (an "
                "instance) or 1 (a region of many)."
            )
        annotation["iscrowd"] = read


def _refuse_damage(damaged, annotations, images, path):
    if not damaged:
        return
    sentences = [
        f"{name_of(annotations[n], images[annotations[n]['image_id']])}: {why}"
        for n, why in sorted(damaged.items())
    ]
    raise AnnotationError(
        f"{path}: the outlines of {len(damaged)} of {len(annotations)} annotations cannot be read: "
        f"{_some(sentences, '; ')}. Correct or remove them."
    )


def _report_empty(findings, annotations, path):
    """Positions of annotations that show nothing, once that was said."""
    nothing = findings.missing + findings.empty
    boxes = sum(bool(annotations[n].get("bbox")) for n in findings.missing)
    points = sum("keypoints" in annotations[n] for n in findings.missing)
    hint = ""
    if boxes:
        hint = (
            f" {boxes} have a box but no outline, of which no mask can be learnt: "
            "--boxes-as-masks takes boxes as outlines."
        )
    if points:
        hint += f" {points} have keypoints only: use a file like instances_train2017.json."
    if len(nothing) == len(annotations):
        raise AnnotationError(
            f"{path}: none of its {len(annotations)} annotations has an outline that covers a "
            f"pixel, so there is nothing to learn or to find.{hint}"
        )
    if nothing:
        logger.warning(
            "%s: left out %d annotations that cover no pixel (%s).%s",
            path,
            len(nothing),
            _ids_of(sorted(nothing), annotations),
            hint,
        )
    return nothing


def _ids_of(positions, annotations):
    return "ids " + _some([str(annotations[position]["id"]) for position in positions])


def _some(texts, between=", "):
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return between.join(texts[:NAMED]) + more
