"""The FastAPI application: the page and the REST interface over one engine."""

import asyncio
import contextlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse

from siamese_mrcnn.service.answers import Health
from siamese_mrcnn.service.door import Door
from siamese_mrcnn.service.engine import Engine
from siamese_mrcnn.service.limits import Limits
from siamese_mrcnn.service.photos import Photos
from siamese_mrcnn.service.problems import MEDIA_TYPE, Problem, ProblemError, tell_problems
from siamese_mrcnn.service.routes import library, photos, search
from siamese_mrcnn.service.uploads import Uploads

PAGE = Path(__file__).parent / "page"
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
DECODERS = 2  # pictures decoded at once: each may take hundreds of megabytes for a moment
# Every route may tell these, as problems.
PROBLEMS = {
    status: {"model": Problem, "description": words}
    for status, words in {
        400: "The request cannot be read",
        401: "No token, or a wrong one",
        403: "From a page of another origin",
        404: "There is no such thing or photo",
        408: "The client paused while it sent",
        409: "The name is taken",
        413: "Too many bytes or pixels",
        415: "A file that is no picture of a kind that is taken",
        422: "A picture, box, name or number that cannot be used",
        429: "Too many wait; Retry-After says when to try again",
        503: "The service stops",
        504: "The search did not end in time",
    }.items()
}
PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}

pages = APIRouter()


@dataclass
class Service:
    """What the routes work with.

    Attributes:
        engine: `Engine`.
        uploads: `Uploads`.
        library: `siamese_mrcnn.search.library.ReferenceLibrary`.
        photos: `Photos` that the service offers.
        limits: `Limits`.
        model_name: as /api/health tells it.
        decoders: limits how many threads decode at once; made when the event loop runs.
        tiling: lets one search in tiles run at a time, as its parts take memory; likewise.
    """

    engine: Engine
    uploads: Uploads
    library: Any
    photos: Photos
    limits: Limits
    model_name: str
    decoders: Any = None
    tiling: Any = None

    async def decoded(self, function, *arguments):
        """What a function that decodes or encodes pictures gives, called in a thread of few."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self.decoders)


def make_application(service, token=None, only_here=True):
    """The ASGI application.

    Args:
        service: `Service`. Its engine is stopped when the application ends.
        token: that API requests must bring, or None.
        only_here: whether it listens on this machine's own address alone.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app):
        service.decoders, service.tiling = anyio.CapacityLimiter(DECODERS), asyncio.Lock()
        yield
        await anyio.to_thread.run_sync(service.engine.stop)

    app = FastAPI(
        title="Siamese Mask R-CNN",
        description="Show a picture of a thing and find every such thing, pixel by pixel.",
        version=metadata.version("siamese-mask-rcnn"),
        docs_url=None,  # Swagger's page comes from elsewhere; ours is in the folder `page`
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
    )
    app.state.service = service
    app.openapi = lambda: _described(app)
    tell_problems(app)
    for routes in (search, library, photos):
        app.include_router(routes.router, prefix="/api")
    app.include_router(pages)
    return Door(app, service.limits, token, only_here)


def _described(app):
    """The OpenAPI description, where problems have their own kind of content."""
    if app.openapi_schema is None:
        for path in FastAPI.openapi(app)["paths"].values():
            for route in path.values():
                for status, answer in route["responses"].items():
                    if int(status) >= 400:
                        answer["content"] = {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}
    return app.openapi_schema


@pages.get("/api/health", tags=["service"])
async def health(request: Request) -> Health:
    """Whether the service works, its default threshold and its limits. Needs no token."""
    service = request.app.state.service
    return Health(
        status="ok",
        model=service.model_name,
        threshold=service.engine.default_threshold,
        waiting=service.engine.waiting,
        searching=service.engine.running,
        limits=vars(service.limits),
    )


@pages.get("/", include_in_schema=False)
async def page():
    return _file("index.html")


@pages.get("/docs", include_in_schema=False)
async def docs():
    return _file("docs.html")


@pages.get("/favicon.ico", include_in_schema=False)  # browsers ask for it, whatever a page says
async def icon():
    return _file("icon.svg")


@pages.get("/page/{name}", include_in_schema=False)
async def file_of_page(name: str):
    if name not in {path.name for path in PAGE.iterdir()}:
        raise ProblemError(404, "The page has no such file.")
    return _file(name)


def _file(name):
    path = PAGE / name
    return FileResponse(path, media_type=KINDS[path.suffix], headers={"Cache-Control": "no-cache"})
