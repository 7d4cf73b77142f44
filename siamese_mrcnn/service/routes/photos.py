"""`GET /api/photos`: the photos that the service was started with."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from mrcnn.images.picture_files import ImageError
from siamese_mrcnn.service.answers import Example, Photo, PhotoList
from siamese_mrcnn.service.problems import ProblemError

router = APIRouter(tags=["photos"])


@router.get("/photos")
async def list_photos(request: Request) -> PhotoList:
    """The photos of `--photos`, or drawn examples."""
    photos = request.app.state.service.photos
    listed = [Photo(id=str(number), name=name) for number, name in enumerate(photos.names)]
    example = photos.example and Example(photo=photos.example[0], box=photos.example[1])
    return PhotoList(photos=listed, example=example)


@router.get("/photos/{photo}", response_class=Response)
async def read_photo(
    request: Request,
    photo: str,
    side: Annotated[int | None, Query(ge=16, le=20_000, description="Longest, pixels")] = None,
):
    """A photo as JPEG."""
    service = request.app.state.service
    index = service.photos.index(photo)
    if index is None:
        raise ProblemError(404, "There is no photo of such an id. GET /api/photos lists them.")
    try:
        data = await service.decoded(service.photos.as_jpeg, index, side)
    except ImageError as error:
        raise ProblemError(404, "The photo cannot be read any more.") from error
    return Response(data, media_type="image/jpeg")
