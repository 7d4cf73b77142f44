"""References of forms: pictures, and boxes in them as JSON, as forms have no lists of lists."""

import json

from siamese_mrcnn.service.problems import ProblemError
from siamese_mrcnn.service.uploads import cut_boxes, shown_name

BOXES = (
    "JSON: for each reference picture a list of boxes [y1, x1, y2, x2] in its pixels, y2 and x2 "
    "outside of the box; null or an empty list takes the whole picture. Example: "
    "[[[10, 20, 110, 140]]] is one box in one picture. Left out: whole pictures."
)
LONGEST = 10_000  # characters
SHAPE = f"`boxes` is not as expected. {BOXES}"


async def read_crops(service, pictures, boxes):
    """Cut the crops out of uploaded pictures.

    Args:
        service: `Service`.
        pictures: list of `UploadFile`.
        boxes: the field of the form, see `boxes_of`.

    Raises:
        ProblemError: a picture or box that cannot be used, or more crops than the limit.
    """
    chosen, crops = boxes_of(boxes, len(pictures)), []
    for picture, own in zip(pictures, chosen, strict=True):
        name = shown_name(picture.filename)
        image = await service.decoded(service.uploads.read, await picture.read(), name)
        crops += cut_boxes(image, own, name, service.limits)
    if len(crops) > service.limits.shots:
        most = service.limits.shots
        raise ProblemError(422, f"{len(crops)} crops were given, but {most} show a thing at most.")
    return crops


def boxes_of(text, pictures):
    """Lists of boxes, one for each of so many pictures.

    Raises:
        ProblemError: 422, it is no such text.
    """
    if not text:
        return [[]] * pictures
    try:
        content = json.loads(text) if len(text) <= LONGEST else None
    except (ValueError, RecursionError) as error:
        raise ProblemError(422, SHAPE) from error
    if not isinstance(content, list) or not all(_is_list_of_boxes(each) for each in content):
        raise ProblemError(422, SHAPE)
    if len(content) != pictures:
        raise ProblemError(
            422, f"`boxes` has {len(content)} entries for {pictures} pictures. {BOXES}"
        )
    return [each or [] for each in content]


def _is_list_of_boxes(entry):
    return entry is None or (isinstance(entry, list) and all(map(_is_box, entry)))


def _is_box(entry):
    whole = isinstance(entry, list) and all(type(side) is int for side in entry)
    return whole and len(entry) == 4
