"""Compute results ahead of time in threads, in the order in which they are asked for.

Keras has a queue of its own, but it mixes batches of two epochs where training under a
distribution strategy looks at a batch before the first epoch.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2

AHEAD = 8  # results to hold ready


class Prefetcher:
    """Calls `work(epoch, index)` for indices ahead of the one asked for.

    Args:
        work: a function of (epoch, index) and nothing else.
        length: number of indices an epoch.
        workers: number of threads; 0 computes nothing ahead.
        ahead: results to hold ready.
    """

    def __init__(self, work, length, workers, ahead=AHEAD):
        self._work, self._length, self._workers, self._ahead = work, length, workers, ahead
        self._executor = None
        self._futures = {}
        self._lock = threading.Lock()

    def __call__(self, epoch, index):
        """The result for (epoch, index); others are begun on the way."""
        if not self._workers:
            return self._work(epoch, index)
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._workers, "prefetch")
                _single_threads.begin()
            wanted = range(index, min(index + self._ahead, self._length))
            self._forget(epoch, wanted)
            for place in wanted:
                if place not in self._futures:
                    future = self._executor.submit(self._work, epoch, place)
                    self._futures[place] = (epoch, future)
            future = self._futures.pop(index)[1]
        return future.result()

    def close(self):
        """End the workers; the next call starts new ones."""
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)
                _single_threads.end()
            self._executor = None
            self._futures.clear()

    def _forget(self, epoch, wanted):
        for place, (begun_in, future) in list(self._futures.items()):
            if begun_in != epoch or place not in wanted:
                future.cancel()
                del self._futures[place]


def ahead(function, items, workers):
    """Yield function(item) of a list of items in order, computed by threads some items ahead."""
    prefetcher = Prefetcher(
        lambda _, index: function(items[index]), len(items), workers, 2 * workers + 1
    )
    try:
        for index in range(len(items)):
            yield prefetcher(0, index)
    finally:
        prefetcher.close()


class _SingleThreads:
    """Lets OpenCV compute in the calling thread while workers share the cores already.

    Its number of threads is one for the whole process: whoever begins first changes it, and
    whoever ends last sets it back.
    """

    def __init__(self):
        self._users, self._before = 0, None
        self._lock = threading.Lock()

    def begin(self):
        with self._lock:
            if not self._users:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(0)
            self._users += 1

    def end(self):
        with self._lock:
            self._users -= 1
            if not self._users:
                cv2.setNumThreads(self._before)


_single_threads = _SingleThreads()
