"""`POST /api/search`: pictures are read, wait for the model, and what they show is answered."""

import time
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile

from mrcnn.images.picture_files import ImageError
from siamese_mrcnn.service.answers import SearchAnswer, Times, searched_image
from siamese_mrcnn.service.library_routes import things_of_library
from siamese_mrcnn.service.problems import ProblemError
from siamese_mrcnn.service.reference_forms import BOXES, read_crops
from siamese_mrcnn.service.uploads import shown_name
from siamese_mrcnn.service.waiting import outcome

router = APIRouter(tags=["search"])

THRESHOLD = "Default: that of GET /api/health"  # a form cannot say null, and so no type does
INLINE = "reference"  # the name of a thing that has none


@router.post("/search")
async def search(
    request: Request,
    images: Annotated[list[UploadFile], File(description="Pictures to search")] = (),
    photos: Annotated[list[str], Form(description="Ids of GET /api/photos, to search")] = (),
    names: Annotated[list[str], Form(description="Things of the library to search for")] = (),
    references: Annotated[
        list[UploadFile], File(description="Pictures of one more thing to search for")
    ] = (),
    boxes: Annotated[str, Form(description=BOXES)] = "",
    threshold: Annotated[float, Form(ge=0, le=1, description=THRESHOLD)] = None,  # noqa: RUF013
) -> SearchAnswer:
    """Find all instances of things in pictures."""
    service, began = request.app.state.service, time.monotonic()
    _check_numbers(service, images, photos, names, references)
    things = await _inline(service, references, boxes)
    things += await things_of_library(service, names)
    if len({thing.name for thing in things}) < len(things):
        raise ProblemError(422, "Two of the things to search for have the same name.")
    pictures = [await _uploaded(service, image) for image in images]
    pictures += [await _offered(service, photo) for photo in photos]
    read = time.monotonic() - began
    found = await outcome(
        request, service, lambda: service.engine.submit([p for _, p in pictures], tuple(things))
    )
    threshold = service.engine.default_threshold if threshold is None else threshold
    overlap = service.engine.model.config.DETECTION_NMS_THRESHOLD
    answers = [
        searched_image(name, geometry.original_shape, things, each.detections, threshold, overlap)
        for (name, (_, geometry)), each in zip(pictures, found, strict=True)
    ]
    times = Times(
        read=read,
        waited=max(each.waited for each in found),
        searched=max(each.searched for each in found),
        total=time.monotonic() - began,
    )
    request.state.pictures, request.state.waited = len(pictures), round(times.waited, 4)
    return SearchAnswer(threshold=threshold, images=answers, times=times)


def _check_numbers(service, images, photos, names, references):
    limits = service.limits
    if not names and not references:
        raise ProblemError(
            422, "Nothing to search for: give `names` of the library, or `references`."
        )
    if not images and not photos:
        raise ProblemError(422, "Nothing to search: give `images`, or ids of `photos`.")
    for count, most, what in (
        (len(images) + len(photos), limits.images, "pictures"),
        (len(names) + bool(references), limits.things, "things"),
        (len(references), limits.shots, "references"),
    ):
        if count > most:
            raise ProblemError(
                422, f"A request may have {most} {what}, but has {count}. Send several requests."
            )


async def _inline(service, references, boxes):
    """The thing that references of the request show, in a list, if there are any."""
    if not references:
        return []
    crops = await read_crops(service, references, boxes)
    return [await service.decoded(service.engine.thing, INLINE, crops)]


async def _uploaded(service, upload):
    data, name = await upload.read(), shown_name(upload.filename)
    return name, await service.decoded(
        lambda: service.engine.prepare(service.uploads.read(data, name))
    )


async def _offered(service, photo):
    index = service.photos.index(photo)
    if index is None:
        raise ProblemError(404, "There is no photo of such an id. GET /api/photos lists them.")
    try:
        return service.photos.names[index], await service.decoded(
            lambda: service.engine.prepare(service.photos.read(index))
        )
    except ImageError as error:
        raise ProblemError(
            404, f"The photo {service.photos.names[index]} cannot be read any more."
        ) from error
