"""Compute results ahead of time in threads or processes, in the order in which they are asked.

Keras has a queue of its own, but it mixes batches of two epochs where training under a
distribution strategy looks at a batch before the first epoch, and it waits for ever for a worker
process that was killed.
"""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import cv2
import keras

_work = None  # what a worker process computes; sent once, when the process starts


class Prefetcher:
    """Calls `work(epoch, index)` for indices ahead of the one asked for.

    Args:
        work: a function of (epoch, index) and nothing else; with processes it must be possible
            to pickle it where these are not forked (JAX, Windows, macOS).
        length: number of indices an epoch.
        workers: number of threads or processes; 0 computes nothing ahead.
        use_multiprocessing: processes instead of threads.
        max_queue_size: results to hold ready.
    """

    def __init__(self, work, length, workers, use_multiprocessing, max_queue_size):
        self._work = work
        self._length = length
        self._workers = workers
        self._use_multiprocessing = use_multiprocessing
        self._ahead = max(1, max_queue_size)
        self._executor = None
        self._futures = {}
        self._lock = threading.Lock()

    def __call__(self, epoch, index):
        """The result for (epoch, index); others are begun on the way."""
        if not self._workers:
            return self._work(epoch, index)
        with self._lock:
            wanted = range(index, min(index + self._ahead, self._length))
            self._forget(epoch, wanted)
            for place in wanted:
                if place not in self._futures:
                    self._futures[place] = (epoch, self._submit(epoch, place))
            future = self._futures.pop(index)[1]
        return future.result()

    def close(self):
        """End the workers; the next call starts new ones."""
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
            self._futures.clear()

    def _forget(self, epoch, wanted):
        for place, (begun_in, future) in list(self._futures.items()):
            if begun_in != epoch or place not in wanted:
                future.cancel()
                del self._futures[place]

    def _submit(self, epoch, index):
        if self._executor is None:
            self._executor = self._start()
        if self._use_multiprocessing:
            return self._executor.submit(_do_work, epoch, index)
        return self._executor.submit(self._work, epoch, index)

    def _start(self):
        if not self._use_multiprocessing:
            return ThreadPoolExecutor(self._workers, "batches", _one_thread_each)
        return ProcessPoolExecutor(
            self._workers, _context(), initializer=_begin, initargs=(self._work,)
        )


def _context():
    """Forking is fast, but hangs once JAX has started its threads."""
    methods = multiprocessing.get_all_start_methods()
    fork = "fork" in methods and keras.backend.backend() != "jax"
    return multiprocessing.get_context("fork" if fork else "spawn")


def _one_thread_each():
    cv2.setNumThreads(0)  # the workers share the cores already


def _begin(work):
    global _work
    _work = work
    _one_thread_each()


def _do_work(epoch, index):
    return _work(epoch, index)
