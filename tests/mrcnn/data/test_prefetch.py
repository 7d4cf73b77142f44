import threading
import time

import cv2
import pytest

from mrcnn.data.prefetch import Prefetcher, ahead


def square(epoch, index):
    return epoch, index**2


def fail(epoch, index):
    raise ValueError(f"no {index}")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_are_those_asked_for(workers):
    prefetcher = Prefetcher(square, 7, workers, ahead=3)
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

    prefetcher = Prefetcher(work, 10, 2, ahead=4)
    assert prefetcher(0, 0) == 0
    deadline = time.monotonic() + 10
    while len(begun) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(begun) == [0, 1, 2, 3]
    assert [prefetcher(0, index) for index in range(1, 10)] == list(range(1, 10))
    assert sorted(begun) == list(range(10))
    prefetcher.close()


def test_errors_arrive():
    prefetcher = Prefetcher(fail, 3, 1)
    with pytest.raises(ValueError, match="no 1"):
        prefetcher(0, 1)
    prefetcher.close()


def test_a_list_is_gone_through_in_order():
    def work(item):
        time.sleep(0.002 * (item % 3))  # later ones are done before earlier ones
        return 10 * item

    assert list(ahead(work, list(range(20)), 3)) == [10 * item for item in range(20)]
    assert list(ahead(work, [], 3)) == []


def test_a_list_that_is_left_in_the_middle_ends_the_work():
    begun = []
    results = ahead(begun.append, list(range(100)), 2)
    next(results)
    results.close()
    assert len(begun) < 10


@pytest.fixture
def two_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield
    cv2.setNumThreads(before)


def test_opencv_has_its_threads_back_when_the_last_workers_end(two_threads):
    first, second = (Prefetcher(lambda *_: cv2.getNumThreads(), 3, 1) for _ in range(2))
    assert (first(0, 0), second(0, 0), cv2.getNumThreads()) == (1, 1, 1)
    first.close()
    first.close()
    assert (second(0, 1), cv2.getNumThreads()) == (1, 1)
    second.close()
    assert cv2.getNumThreads() == 2
    assert list(ahead(lambda _: cv2.getNumThreads(), [1], 1)) == [1]
    assert cv2.getNumThreads() == 2
