"""Errors as RFC 9457 tells them: `application/problem+json` with a sentence for the user."""

import http
import logging
import re

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from mrcnn.harmless_text import for_terminal

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
REJECTED = 499  # what servers log where the client has gone; no client ever reads it


class Problem(BaseModel):
    """What went wrong, in the words of RFC 9457."""

    type: str = "about:blank"
    title: str = Field(description="The name of the status")
    status: int
    detail: str = Field(description="A sentence: what was expected, what came, what to do")


class ProblemError(Exception):
    """To be told to the client.

    Args:
        status: of HTTP.
        detail: the sentence.
        headers: {name: value} of the answer.
    """

    def __init__(self, status, detail, headers=None):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem_response(status, detail, headers=None):
    """The answer that tells a problem; acting characters of what users sent are escaped."""
    title = http.HTTPStatus(status).phrase if status != REJECTED else "Client Closed Request"
    content = Problem(title=title, status=status, detail=for_terminal(detail))
    return JSONResponse(content.model_dump(), status, headers, media_type=MEDIA_TYPE)


def tell_problems(app):
    """Have a FastAPI application tell all its errors as problems."""
    app.add_exception_handler(ProblemError, _ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(request: Request, error: ProblemError):
    return problem_response(error.status, error.detail, error.headers)


async def _of_http(request: Request, error: HTTPException):
    details = {
        404: f"There is nothing at {request.url.path}. /docs lists what there is.",
        405: f"{request.url.path} does not take {request.method}. /docs lists what it takes.",
    }
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed(request.app, request.url.path) or headers.get("Allow", "GET")
    own = http.HTTPStatus(error.status_code).phrase == error.detail  # no more than the status says
    detail = details.get(error.status_code, error.detail) if own else error.detail
    return problem_response(error.status_code, detail, headers)


def _allowed(app, path):
    """The methods of a path, of which Starlette knows the first route's alone."""
    for template, methods in app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return ", ".join(sorted(method.upper() for method in methods))
    return ""


async def _of_validation(request: Request, error: RequestValidationError):
    said = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()]
    detail = f"The request does not fit /docs: {'; '.join(said)[:500]}."
    return problem_response(422, detail)


async def _unforeseen(request: Request, error: Exception):
    logger.error("Unforeseen, at %s", request.url.path, exc_info=error)
    return problem_response(
        500, "The service has a fault; its log says more. The request may be tried again."
    )
