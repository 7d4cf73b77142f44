"""Who comes in, and with how much: the outermost layer of the service, which also keeps the log."""

import asyncio
import hmac
import json
import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

from siamese_mrcnn.service.problems import ProblemError, problem_response

logger = logging.getLogger("siamese_mrcnn.service.requests")

HERE = ("127.0.0.1", "localhost", "::1")  # names of this machine that a browser may use
READING = ("GET", "HEAD", "OPTIONS")
OPEN = ("/api/health",)  # to whom has no token, as monitors have none
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Door:
    """An ASGI application around another.

    It refuses names of the host that are not this machine's (a page elsewhere could have its name
    lead here), what pages of other origins send, API requests without the token, bodies above the
    limit or that do not go on, and more requests at once than the limit. Each request gets a line
    of JSON in the log, without names of files or things.

    Args:
        app: the application.
        limits: `Limits`.
        token: that API requests must bring, or None.
        only_here: whether the service listens on this machine's own address alone.
    """

    def __init__(self, app, limits, token=None, only_here=True):
        self.app, self.limits, self.only_here = app, limits, only_here
        self.token = None if token is None else f"Bearer {token}".encode()
        self.inside = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), None
        body = _Body(receive, self.limits)

        async def send_guarded(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        self.inside += 1
        try:
            await self._pass(scope, body, send_guarded)
        except Exception:
            if status is None:  # else the application has told it, and Starlette raises it again
                raise
        finally:
            self.inside -= 1
            _log(scope, status, time.monotonic() - began, body.received)

    async def _pass(self, scope, body, send):
        try:
            self._check(scope["method"], scope["path"], Headers(scope=scope))
        except ProblemError as error:
            refusal = problem_response(error.status, error.detail, error.headers)
            await refusal(scope, body.receive, send)
            return
        await self.app(scope, body.receive, send)

    def _check(self, method, path, headers):
        host = headers.get("host", "")
        if self.only_here and urlsplit(f"//{host}").hostname not in HERE:
            raise ProblemError(
                421, "The service listens on this machine alone: call it 127.0.0.1 or localhost."
            )
        origin = headers.get("origin")
        if method not in READING and origin is not None and urlsplit(origin).netloc != host:
            raise ProblemError(403, "Pages of other origins cannot use the service.")
        if path.startswith("/api/") and path not in OPEN:
            self._check_token(headers.get("authorization", ""))
        if self.inside > self.limits.requests:
            raise ProblemError(
                429,
                f"{self.limits.requests} requests are in hand, the most there may be. Try again "
                "in a few seconds.",
                {"Retry-After": "2"},
            )
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > self.limits.upload_bytes:
            raise _too_large(self.limits.upload_bytes, ProblemError)

    def _check_token(self, given):
        if self.token is not None and not hmac.compare_digest(given.encode(), self.token):
            raise ProblemError(
                401,
                "The service was started with a token: send it as `Authorization: Bearer TOKEN`.",
                {"WWW-Authenticate": "Bearer"},
            )


class _Body:
    """What a client sends, counted."""

    def __init__(self, receive, limits):
        self._receive, self._limits = receive, limits
        self.received, self._complete = 0, False

    async def receive(self):
        """The next message of ASGI.

        Raises:
            HTTPException: 413 above the limit, 408 if the client pauses for too long. FastAPI
                passes no other exceptions on while it reads a body.
        """
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                message = await self._receive()
        except TimeoutError as error:
            pause = f"{self._limits.idle_seconds:g}"
            raise HTTPException(408, f"Nothing came for {pause} seconds. Send it again.") from error
        self.received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self.received > self._limits.upload_bytes:
            raise _too_large(self._limits.upload_bytes, HTTPException)
        return message


def _too_large(limit, kind):
    return kind(
        413,
        f"A request may have {limit:,} bytes, and this one has more. Send fewer pictures at a "
        "time, or smaller ones.",
        {"Connection": "close"},
    )


def _log(scope, status, seconds, received):
    state = scope.get("state", {})
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "method": scope["method"],
        "route": getattr(scope.get("endpoint"), "__name__", None),
        "status": status,
        "seconds": round(seconds, 4),
        "received": received,
    }
    line |= {key: state[key] for key in ("pictures", "waited", "searched") if key in state}
    logger.info(json.dumps(line))
