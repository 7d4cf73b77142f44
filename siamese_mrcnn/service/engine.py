"""One thread that owns the model: what waits is searched in batches, oldest first."""

import logging
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from mrcnn.data.preprocessing import prepare_inputs
from mrcnn.images.image import Geometry
from mrcnn.images.run_lengths import run_lengths_of
from siamese_mrcnn.data.references import join_shots, prepare_reference
from siamese_mrcnn.fingerprints import array_fingerprint

logger = logging.getLogger(__name__)

VECTORS_KEPT = 1024  # of references, some kilobytes each


class QueueFullError(RuntimeError):
    """More waits than the limit."""


class TooLateError(TimeoutError):
    """A search waited until its time was over."""


class StoppedError(RuntimeError):
    """The engine takes no more."""


@dataclass(frozen=True)
class Thing:
    """What to search for: its name, and its crops, prepared."""

    name: str
    crops: np.ndarray  # uint8 [K, height, width, 3]
    key: str  # tells it from others


@dataclass(frozen=True)
class Found:
    """What one picture shows: `Detections` for each thing, and seconds."""

    detections: list
    waited: float
    searched: float
    together: int  # pictures in the batch


@dataclass(eq=False)
class Job:
    """One picture that waits."""

    picture: np.ndarray  # prepared
    geometry: Geometry
    things: tuple
    deadline: float
    future: Future = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)

    @property
    def kind(self):
        """Jobs of one kind can share a batch."""
        return (self.picture.shape, len(self.things))


class Engine:
    """Searches pictures for several users with one model.

    All methods may be called by any thread; the model is touched by one.

    Args:
        model: `SiameseMaskRCNN` in inference mode. Its finds are kept whatever they score, and
            their masks as run lengths, since the masks of many users' photos would fill the memory.
        limits: `Limits`.
    """

    def __init__(self, model, limits):
        self.default_threshold = model.config.DETECTION_MIN_CONFIDENCE
        if model.threshold is not None:
            self.default_threshold = model.threshold
        model.config.DETECTION_MIN_CONFIDENCE = 0.0
        model.keep_mask = run_lengths_of
        self.model, self.limits, self.running = model, limits, 0
        self._vectors = OrderedDict()
        self._condition, self._jobs, self._stopping = threading.Condition(), deque(), False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self):
        """Number of pictures that wait."""
        return len(self._jobs)

    def thing(self, name, crops):
        """A `Thing` of crops uint8 [height, width, 3], prepared in the thread that calls."""
        prepared = np.stack([prepare_reference(crop, self.model.config) for crop in crops])
        return Thing(name, prepared, array_fingerprint(prepared))

    def prepare(self, image):
        """A picture uint8 [height, width, 3] as `submit` takes it, in the thread that calls."""
        return prepare_inputs([image], self.model.config)[0]

    def submit(self, pictures, things, seconds=None):
        """Let pictures be searched: a `Future` of `Found` for each.

        Args:
            pictures: of `prepare`.
            things: tuple of `Thing`.
            seconds: after which to give up; None: the limit's.

        Raises:
            QueueFullError: not all of them find a place.
            StoppedError: the engine ends.
        """
        deadline = time.monotonic() + (self.limits.seconds if seconds is None else seconds)
        return self._add([Job(*each, things, deadline) for each in pictures])

    def warm_up(self):
        """Search an empty picture, so that the first user does not wait for what compiles."""
        config = self.model.config
        image = np.zeros((config.IMAGE_MAX_DIM, config.IMAGE_MAX_DIM, 3), np.uint8)
        thing = self.thing("nothing", [image])
        for count in (1, 2):  # TensorFlow compiles for one, then for any number
            for future in self.submit([self.prepare(image)] * count, (thing,), float("inf")):
                future.result()

    def stop(self):
        """Take no more, end what was taken, then return."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()

    def _add(self, jobs):
        with self._condition:
            if self._stopping:
                raise StoppedError("The service stops. Try again when it is back.")
            self._forget_cancelled()
            if len(self._jobs) + len(jobs) > self.limits.waiting:
                raise QueueFullError(
                    f"{len(self._jobs)} pictures wait to be searched, and {len(jobs)} more would "
                    f"exceed the limit of {self.limits.waiting}. Try again in a few seconds."
                )
            self._jobs.extend(jobs)
            self._condition.notify()
        return [job.future for job in jobs]

    def _forget_cancelled(self):
        self._jobs = deque(job for job in self._jobs if not job.future.cancelled())

    def _work(self):
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._jobs or self._stopping)
                if not self._jobs:
                    return
                batch = self._next_batch()
                self.running = len(batch)
            try:
                self._run(batch)
            finally:
                self.running = 0

    def _next_batch(self):
        """The oldest job and others of its kind: a power of two, so that few sizes compile."""
        kind = self._jobs[0].kind
        same = [job for job in self._jobs if job.kind == kind][: self.limits.batch]
        chosen = same[: 1 << (len(same).bit_length() - 1)]
        taken = set(map(id, chosen))
        self._jobs = deque(job for job in self._jobs if id(job) not in taken)
        return [job for job in chosen if self._is_wanted(job)]

    def _is_wanted(self, job):
        if not job.future.set_running_or_notify_cancel():
            return False
        late = time.monotonic() > job.deadline
        if late:
            job.future.set_exception(
                TooLateError("The search waited too long for its turn. Try again later.")
            )
        return not late

    def _run(self, batch):
        if not batch:
            return
        began = time.monotonic()
        try:
            results = self._results(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who asked
            self._fail(batch, error)
            return
        searched = time.monotonic() - began
        for job, result in zip(batch, results, strict=True):
            job.future.set_result(Found(result, began - job.submitted, searched, len(batch)))

    def _fail(self, batch, error):
        """One that fails shall take no other with it: each is tried alone."""
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        logger.warning("A batch of %d failed and is searched one by one: %s", len(batch), error)
        for job in batch:
            self._run([job])

    def _results(self, batch):
        """For each job a list of `Detections`, one for each of its things."""
        columns = []
        for number in range(len(batch[0].things)):
            rows = [self._vectors_of(job.things[number]) for job in batch]
            columns.append([np.concatenate(level) for level in zip(*rows, strict=True)])
        pictures = [(job.picture, job.geometry) for job in batch]
        found = self.model.detect_batch(pictures, columns)
        return [list(of_one) for of_one in zip(*found, strict=True)]

    def _vectors_of(self, thing):
        """Vectors [1, channels] of a thing, kept for who asks again."""
        if thing.key not in self._vectors:
            # Shot by shot, so that one compiled function serves any number.
            shots = [self.model.encode_references(crop[None, None]) for crop in thing.crops]
            self._vectors[thing.key] = [
                join_shots([np.asarray(each) for each in level])
                for level in zip(*shots, strict=True)
            ]
            if len(self._vectors) > VECTORS_KEPT:
                self._vectors.popitem(last=False)
        self._vectors.move_to_end(thing.key)
        return self._vectors[thing.key]
