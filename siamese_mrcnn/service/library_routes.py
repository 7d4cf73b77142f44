"""`/api/references`: the library of things that are kept by name."""

import contextlib
import threading
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, Response

from mrcnn.harmless_text import for_terminal
from siamese_mrcnn.search.reference import Reference
from siamese_mrcnn.service.answers import ReferenceEntry, ReferenceList
from siamese_mrcnn.service.problems import ProblemError
from siamese_mrcnn.service.reference_forms import BOXES, read_crops

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
    if len(service.library.names()) >= service.limits.library:
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
    _refuse_unknown(service.library, name)
    return FileResponse(await service.decoded(service.library.thumbnail, name))


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


def _entries(library):
    return [_entry(library, name) for name in library.names()]


def _entry(library, name):
    path = f"/api/references/{quote(name, safe='')}/thumbnail"
    return ReferenceEntry(name=name, shots=len(library.crops(name)), thumbnail=path)


def _crops(library, name):
    _refuse_unknown(library, name)
    return library.crops(name)


def _add(library, name, crops):
    with _told():
        _refuse_taken(library, name)
        library.add(name, [Reference(crop, (0, 0, *crop.shape[:2])) for crop in crops])
    return _entry(library, name)


def _rename(library, name, new_name):
    with _told():
        _refuse_unknown(library, name)
        _refuse_taken(library, new_name)
        library.rename(name, new_name)
    return _entry(library, new_name)


def _delete(library, name):
    with _told():
        _refuse_unknown(library, name)
        library.remove(name)


def _refuse_unknown(library, name):
    if name not in library.names():
        raise ProblemError(404, f"The library has no {name!r}. GET /api/references lists it.")


def _refuse_taken(library, name):
    if "/" in name or "\\" in name or name != for_terminal(name).strip():
        raise ProblemError(
            422, "A name is of letters, spaces between them and signs, without slashes. Choose one."
        )
    if name in library.names():
        raise ProblemError(409, f"The library has {name!r} already. Choose another name.")


@contextlib.contextmanager
def _told():
    """One change at a time; what the library refuses is told."""
    with _changing:
        try:
            yield
        except ValueError as error:
            raise ProblemError(422, str(error)) from error
