import os
import threading
import time

import pytest

from mrcnn.data.prefetch import Prefetcher


def square(epoch, index):
    return epoch, index**2


def fail(epoch, index):
    raise ValueError(f"no {index}")


def die(epoch, index):
    os._exit(1)


@pytest.mark.parametrize(("workers", "processes"), [(0, False), (1, False), (3, False), (2, True)])
def test_results_are_those_asked_for(workers, processes):
    prefetcher = Prefetcher(square, 7, workers, processes, 3)
    for epoch, index in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 6), (1, 3), (1, 3), (0, 5)]:
        assert prefetcher(epoch, index) == (epoch, index**2)
    prefetcher.close()
    assert prefetcher(2, 2) == (2, 4)  # starts anew
    prefetcher.close()


def test_no_more_is_computed_ahead_than_asked_for():
    begun, lock = [], threading.Lock()

    def work(epoch, index):
        with lock:
            begun.append(index)
        return index

    prefetcher = Prefetcher(work, 10, 2, False, 4)
    assert prefetcher(0, 0) == 0
    deadline = time.monotonic() + 10
    while len(begun) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(begun) == [0, 1, 2, 3]
    assert [prefetcher(0, index) for index in range(1, 10)] == list(range(1, 10))
    assert sorted(begun) == list(range(10))
    prefetcher.close()


@pytest.mark.parametrize("processes", [False, True])
def test_errors_arrive(processes):
    prefetcher = Prefetcher(fail, 3, 1, processes, 2)
    with pytest.raises(ValueError, match="no 1"):
        prefetcher(0, 1)
    prefetcher.close()


def test_a_killed_worker_is_an_error_and_not_a_wait():
    prefetcher = Prefetcher(die, 3, 1, True, 1)
    with pytest.raises(RuntimeError):
        prefetcher(0, 0)
    prefetcher.close()
