"""What the service answers, as /docs describes it. Boxes are [y1, x1, y2, x2] in pixels."""

import numpy as np
from pycocotools import mask as rle_tools
from pydantic import BaseModel, Field

from mrcnn.ops.boxes import overlaps

Box = tuple[int, int, int, int]


class Health(BaseModel):
    """Whether the service works, and what it takes."""

    status: str = Field(description="ok")
    model: str
    threshold: float = Field(description="Score from which on finds are told by default")
    waiting: int = Field(description="Pictures that wait for the model")
    searching: int = Field(description="Pictures that it searches now")
    limits: dict[str, float]


class RunLengths(BaseModel):
    """COCO's compressed run lengths, as pycocotools reads them."""

    size: tuple[int, int] = Field(description="Height and width of the picture")
    counts: str


class Instance(BaseModel):
    """One thing that was found."""

    name: str = Field(description="Which of the things that were asked for")
    score: float
    box: Box
    area: int = Field(description="Pixels of the mask")
    mask: RunLengths | None


class SearchedImage(BaseModel):
    """What one picture shows, best first."""

    image: str
    height: int
    width: int
    presence: dict[str, float] = Field(
        description="For each name the best score in the picture, whatever the threshold; 0: none"
    )
    instances: list[Instance]


class Times(BaseModel):
    """Seconds."""

    read: float = Field(description="Pictures decoded and scaled")
    waited: float = Field(description="The longest that one waited for its turn")
    searched: float = Field(description="The longest batch, which others' pictures may share")
    total: float


class SearchAnswer(BaseModel):
    """The pictures in the order of the request: `images`, then `photos`."""

    threshold: float
    images: list[SearchedImage]
    times: Times


class ReferenceEntry(BaseModel):
    """A thing in the library."""

    name: str
    shots: int = Field(description="Crops that show it")
    thumbnail: str = Field(description="Path of its picture")


class ReferenceList(BaseModel):
    references: list[ReferenceEntry]


class Photo(BaseModel):
    id: str
    name: str


class Example(BaseModel):
    """A thing to search for at first sight."""

    photo: str
    box: Box


class PhotoList(BaseModel):
    """Photos that the service was started with, and where one shows something to try."""

    photos: list[Photo]
    example: Example | None


def searched_image(name, shape, things, found, threshold, overlap):
    """What `Found` tells of one picture: a `SearchedImage`.

    Args:
        name: of the picture.
        shape: height and width.
        things: the `Thing`s that were searched for.
        found: `Detections` of each, masks as run lengths.
        threshold: what scores less is left out.
        overlap: intersection over union above which finds of two things are one, the better's.
    """
    instances = [
        _instance(thing.name, float(score), detections, row)
        for thing, detections in zip(things, found, strict=True)
        for row, score in enumerate(detections["scores"])
    ]
    instances = _without_doubles(sorted(instances, key=lambda each: -each.score), overlap)
    presence = {thing.name: 0.0 for thing in things}
    for each in reversed(instances):
        presence[each.name] = each.score
    return SearchedImage(
        image=name,
        height=shape[0],
        width=shape[1],
        presence=presence,
        instances=[each for each in instances if each.score >= threshold],
    )


def _without_doubles(instances, overlap):
    """Instances, best first, but those where a better one of another name is."""
    if not instances:
        return []
    rois = np.array([each.box for each in instances], np.float32)
    names = np.array([each.name for each in instances])
    same = (overlaps(rois, rois) > overlap) & (names[:, None] != names[None, :])
    kept = []
    for row in range(len(instances)):
        if not same[row, kept].any():
            kept.append(row)
    return [instances[row] for row in kept]


def _instance(name, score, detections, row):
    box, mask, area = detections["rois"][row].tolist(), None, 0
    if detections["masks"] is not None:
        lengths = detections["masks"][row]
        area = int(rle_tools.area(lengths))
        mask = RunLengths(size=lengths["size"], counts=lengths["counts"].decode("ascii"))
    return Instance(name=name, score=score, box=box, area=area, mask=mask)
