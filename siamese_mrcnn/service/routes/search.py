"""`POST /api/search`: pictures are read, wait for the model, and what they show is answered."""

import contextlib
import itertools
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile

from mrcnn.images.picture_files import ImageError
from siamese_mrcnn.service.answers import SearchAnswer, Times, searched_image
from siamese_mrcnn.service.problems import ProblemError
from siamese_mrcnn.service.reference_forms import BOXES, read_crops
from siamese_mrcnn.service.routes.library import things_of_library
from siamese_mrcnn.service.uploads import shown_name
from siamese_mrcnn.service.views import settled, views_of, windows_of
from siamese_mrcnn.service.waiting import outcome, turn

router = APIRouter(tags=["search"])

THRESHOLD = "Default: that of GET /api/health"  # a form cannot say null, and so no type does
TILES = (
    "Search each picture in overlapping tiles as large as the model sees, too: finds small things "
    "in large pictures, and takes as long as all tiles do"
)
INLINE, NEGATIVE = "reference", "not"  # names of things that have none


@dataclass(frozen=True)
class Asked:
    """The parts of the form that say what to find."""

    names: list
    references: list
    boxes: str
    refused: list
    refused_references: list
    refused_boxes: str


def asked(
    names: Annotated[list[str], Form(description="Things of the library to search for")] = (),
    references: Annotated[
        list[UploadFile], File(description="Pictures of one more thing to search for")
    ] = (),
    boxes: Annotated[str, Form(description=BOXES)] = "",
    refused: Annotated[
        list[str], Form(alias="not", description="Things of the library that must not be found")
    ] = (),
    not_references: Annotated[
        list[UploadFile], File(description="Pictures of what must not be found, each on its own")
    ] = (),
    not_boxes: Annotated[str, Form(description=f"Of not_references. {BOXES}")] = "",
) -> Asked:
    return Asked(names, references, boxes, refused, not_references, not_boxes)


@router.post("/search")
async def search(
    request: Request,
    wanted: Annotated[Asked, Depends(asked)],
    images: Annotated[list[UploadFile], File(description="Pictures to search")] = (),
    photos: Annotated[list[str], Form(description="Ids of GET /api/photos, to search")] = (),
    threshold: Annotated[float, Form(ge=0, le=1, description=THRESHOLD)] = None,  # noqa: RUF013
    tiles: Annotated[bool, Form(description=TILES)] = False,
) -> SearchAnswer:
    """Find all instances of things in pictures."""
    service, began = request.app.state.service, time.monotonic()
    _check_numbers(service, images, photos, wanted)
    things, negatives = await _things(service, wanted), await _negatives(service, wanted)
    async with turn(service) if tiles else contextlib.nullcontext():
        pictures = await _pictures(service, images, photos, tiles)
        read = time.monotonic() - began
        found = await _found(request, service, pictures, (*things, *negatives))
    threshold = service.engine.default_threshold if threshold is None else threshold
    overlap = service.engine.model.config.DETECTION_NMS_THRESHOLD
    answers, parts = [], iter(found)
    for picture in pictures:
        of_views = [each.detections for each in itertools.islice(parts, len(picture.windows))]
        shown = await service.decoded(settled, picture, of_views, len(things))
        answers.append(
            searched_image(picture.name, picture.shape, things, shown, threshold, overlap)
        )
    times = Times(
        read=read,
        waited=max(each.waited for each in found),
        searched=max(each.searched for each in found),
        total=time.monotonic() - began,
    )
    request.state.pictures, request.state.waited = len(pictures), round(times.waited, 4)
    return SearchAnswer(threshold=threshold, images=answers, times=times)


def _check_numbers(service, images, photos, wanted):
    limits = service.limits
    if not wanted.names and not wanted.references:
        raise ProblemError(
            422, "Nothing to search for: give `names` of the library, or `references`."
        )
    if not images and not photos:
        raise ProblemError(422, "Nothing to search: give `images`, or ids of `photos`.")
    things = len(wanted.names) + bool(wanted.references) + len(wanted.refused)
    for count, most, what in (
        (len(images) + len(photos), limits.images, "pictures"),
        (things, limits.things, "things"),
        (len(wanted.references), limits.shots, "references"),
        (len(wanted.refused_references), limits.shots, "references of what must not be found"),
    ):
        if count > most:
            raise ProblemError(
                422, f"A request may have {most} {what}, but has {count}. Send several requests."
            )


async def _things(service, wanted):
    """The `Thing`s to search for: what references of the request show, and those of the library."""
    things = []
    if wanted.references:
        crops = await read_crops(service, wanted.references, wanted.boxes)
        things.append(await service.decoded(service.engine.thing, INLINE, crops))
    things += await things_of_library(service, wanted.names)
    if len({thing.name for thing in things}) < len(things):
        raise ProblemError(422, "Two of the things to search for have the same name.")
    return things


async def _negatives(service, wanted):
    """The `Thing`s that must not be found; each crop is one of its own."""
    both = set(wanted.names) & set(wanted.refused)
    if both:
        raise ProblemError(422, f"{min(both)!r} is to be found and not to be found. Choose one.")
    crops = []
    if wanted.refused_references:
        crops = await read_crops(service, wanted.refused_references, wanted.refused_boxes)
    things = [await service.decoded(service.engine.thing, NEGATIVE, [crop]) for crop in crops]
    return [*things, *await things_of_library(service, wanted.refused)]


async def _found(request, service, pictures, things):
    """What each part of all pictures shows; of many tiles a batch at a time, between others'."""
    parts = [part for picture in pictures for part in picture.prepared]
    at_once = len(parts) if len(parts) == len(pictures) else service.limits.batch
    found = []
    for first in range(0, len(parts), at_once):
        chosen = parts[first : first + at_once]
        found += await outcome(
            request, service, lambda chosen=chosen: service.engine.submit(chosen, things)
        )
    return found


async def _pictures(service, images, photos, tiles):
    """`Views` of uploaded pictures and offered photos."""
    pictures, left = [], service.limits.tiles
    for name, read in [
        *[await _uploaded(service, image) for image in images],
        *[_offered(service, photo) for photo in photos],
    ]:
        picture = await service.decoded(_views, service, name, read, tiles, left)
        pictures.append(picture)
        left -= len(picture.windows)
    return pictures


def _views(service, name, read, tiles, left):
    image = read()
    if tiles and len(windows_of(service.engine, image.shape)) > left:
        raise ProblemError(
            413,
            f"With {name} the pictures have more than {service.limits.tiles} tiles, the most that "
            "a request may have. Send fewer or smaller pictures, or search without `tiles`.",
        )
    return views_of(service.engine, name, image, tiles)


async def _uploaded(service, upload):
    """Name of a picture, and the function that decodes it."""
    data, name = await upload.read(), shown_name(upload.filename)
    return name, lambda: service.uploads.read(data, name)


def _offered(service, photo):
    index = service.photos.index(photo)
    if index is None:
        raise ProblemError(404, "There is no photo of such an id. GET /api/photos lists them.")
    name = service.photos.names[index]

    def read():
        try:
            return service.photos.read(index)
        except ImageError as error:
            raise ProblemError(404, f"The photo {name} cannot be read any more.") from error

    return name, read
