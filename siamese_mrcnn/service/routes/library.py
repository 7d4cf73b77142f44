"""`/api/references`: the library of things that are kept by name."""

import contextlib
import logging
import threading
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, Response

from siamese_mrcnn.search.library_index import LibraryError, checked_name
from siamese_mrcnn.search.reference import Reference
from siamese_mrcnn.service.answers import ReferenceEntry, ReferenceList
from siamese_mrcnn.service.problems import ProblemError
from siamese_mrcnn.service.reference_forms import BOXES, read_crops

logger = logging.getLogger(__name__)
router = APIRouter(tags=["library"])

_changing = threading.Lock()  # names are looked at before they are taken

Name = Annotated[str, Form(min_length=1, max_length=100, description="What to call the thing")]


@router.get("/references")
async def list_references(request: Request) -> ReferenceList:
    """All things of the library, by name."""
    service = request.app.state.service
    return ReferenceList(references=await service.decoded(_entries, service.library))


@router.post("/references", status_code=201)
async def add_reference(
    request: Request,
    name: Name,
    images: Annotated[list[UploadFile], File(min_length=1, description="Pictures of the thing")],
    boxes: Annotated[str, Form(description=BOXES)] = "",
) -> ReferenceEntry:
    """Keep a thing by its name."""
    service = request.app.state.service
    if len(images) > service.limits.shots:
        raise ProblemError(422, f"{service.limits.shots} pictures show a thing at most.")
    if len(await service.decoded(_things, service.library)) >= service.limits.library:
        raise ProblemError(
            409,
            f"The library holds {service.limits.library} things, as many as it may. Delete one.",
        )
    crops = await read_crops(service, images, boxes)
    return await service.decoded(_add, service.library, name, crops)


@router.patch("/references/{name}")
async def rename_reference(request: Request, name: str, new_name: Name) -> ReferenceEntry:
    """Call a thing otherwise."""
    service = request.app.state.service
    return await service.decoded(_rename, service.library, name, new_name)


@router.delete("/references/{name}", status_code=204, response_class=Response)
async def delete_reference(request: Request, name: str):
    """Forget a thing."""
    service = request.app.state.service
    await service.decoded(_delete, service.library, name)


@router.get("/references/{name}/thumbnail", response_class=Response)
async def thumbnail(request: Request, name: str):
    """A small picture of a thing."""
    service = request.app.state.service
    return FileResponse(await service.decoded(_thumbnail, service.library, name))


async def things_of_library(service, names):
    """The `Thing`s of these names: a list.

    Raises:
        ProblemError: 404, there is none of such a name.
    """
    things = []
    for name in names:
        crops = await service.decoded(_crops, service.library, name)
        things.append(await service.decoded(service.engine.thing, name, crops))
    return things


def _things(library):
    """{name: entry of the library's index}

    Raises:
        ProblemError: 503, the index cannot be read.
    """
    try:
        return library.entries()
    except (LibraryError, OSError) as error:
        logger.error("The library cannot be read.", exc_info=error)
        raise ProblemError(
            503, "The library cannot be read; the service's log says why.", {"Retry-After": "60"}
        ) from error


def _entries(library):
    return [_entry(name, thing) for name, thing in sorted(_things(library).items())]


def _entry(name, thing):
    path = f"/api/references/{quote(name, safe='')}/thumbnail"
    return ReferenceEntry(name=name, shots=thing.shots, thumbnail=path)


def _crops(library, name):
    return _of_known(library, name, library.crops)


def _thumbnail(library, name):
    return _of_known(library, name, library.thumbnail)


def _of_known(library, name, ask):
    """What the library says of a name that it has; it may have lost it a moment ago."""
    _refuse_unknown(library, name)
    try:
        return ask(name)
    except ValueError as error:
        raise ProblemError(404, f"The library has lost {name!r}, or its pictures.") from error


def _add(library, name, crops):
    with _told():
        name = checked_name(name)
        _refuse_taken(library, name)
        library.add(name, [Reference(crop) for crop in crops])
        return _entry(name, _things(library)[name])


def _rename(library, name, new_name):
    with _told():
        new_name = checked_name(new_name)
        _refuse_unknown(library, name)
        _refuse_taken(library, new_name)
        library.rename(name, new_name)
        return _entry(new_name, _things(library)[new_name])


def _delete(library, name):
    with _told():
        _refuse_unknown(library, name)
        library.remove(name)


def _refuse_unknown(library, name):
    if name not in _things(library):
        raise ProblemError(404, f"The library has no {name!r}. GET /api/references lists it.")


def _refuse_taken(library, name):
    if name in _things(library):
        raise ProblemError(409, f"The library has {name!r} already. Choose another name.")


@contextlib.contextmanager
def _told():
    """One change at a time; what the library refuses is told."""
    with _changing:
        try:
            yield
        except LibraryError as error:
            raise ProblemError(422, str(error)) from error
        except OSError as error:  # the disk is full, or another program is at it
            logger.error("The library cannot be changed.", exc_info=error)
            raise ProblemError(
                503,
                "The library cannot be changed; the service's log says why. Try again later.",
                {"Retry-After": "10"},
            ) from error
