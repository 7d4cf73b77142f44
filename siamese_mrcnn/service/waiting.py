"""From a request to the engine and back: waits as long as the client does, and no longer."""

import asyncio
import contextlib

from siamese_mrcnn.service.engine import QueueFullError, StoppedError, TooLateError
from siamese_mrcnn.service.problems import REJECTED, ProblemError

LOOKING = 0.25  # seconds between looks whether the client is still there


@contextlib.asynccontextmanager
async def turn(service):
    """Wait until no other search in tiles runs, and keep further ones waiting.

    Raises:
        ProblemError: 429, the time is over.
    """
    try:
        async with asyncio.timeout(service.limits.seconds):
            await service.tiling.acquire()
    except TimeoutError as error:
        raise ProblemError(
            429, "Another search in tiles takes its time. Try again later.", {"Retry-After": "5"}
        ) from error
    try:
        yield
    finally:
        service.tiling.release()


async def outcome(request, service, submit):
    """What the futures of a submission give, in order; they are cancelled if the client goes.

    Args:
        request: of the client.
        service: `Service`.
        submit: function that submits, and gives the futures.

    Raises:
        ProblemError: the queue is full, the time over, the client gone, or the service stops.
    """
    try:
        futures = submit()
    except QueueFullError as error:
        raise ProblemError(429, str(error), {"Retry-After": "2"}) from error
    except StoppedError as error:
        raise ProblemError(503, str(error), {"Retry-After": "10"}) from error
    gathered = asyncio.gather(*map(asyncio.wrap_future, futures))
    try:
        async with asyncio.timeout(service.limits.seconds):
            while not (await asyncio.wait([gathered], timeout=LOOKING))[0]:
                if await request.is_disconnected():
                    raise ProblemError(REJECTED, "The client has gone.")
            return gathered.result()
    except TimeoutError as error:  # ours, or `TooLateError` of the engine
        late = str(error) if isinstance(error, TooLateError) else ""
        seconds = f"{service.limits.seconds:g}"
        raise ProblemError(
            504, late or f"The search did not end within {seconds} seconds. Ask for fewer pictures."
        ) from error
    finally:
        gathered.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await gathered
