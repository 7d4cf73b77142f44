"""One thread searches for all: together what fits together, and no more than was asked."""

import time

import numpy as np
import pytest

from colour_search import BLUE, GREEN, RED, ColourModel, scene
from siamese_mrcnn.service.engine import (
    Engine,
    QueueFullError,
    StoppedError,
    TooLateError,
)
from siamese_mrcnn.service.limits import Limits

BOX = (20, 30, 60, 90)


@pytest.fixture
def engine():
    running = Engine(ColourModel(), Limits(waiting=12, batch=8))
    yield running
    running.model.gate.set()
    running.stop()


def thing_of(engine, colour):
    return engine.thing("thing", [np.full((40, 40, 3), colour, np.uint8)])


def submit(engine, colour, count=1, things=1, **options):
    picture = engine.prepare(scene((colour, BOX)))
    return engine.submit([picture] * count, (thing_of(engine, colour),) * things, **options)


def wait_until_busy(engine, batches=1):
    while len(engine.model.batches) < batches:
        time.sleep(0.001)


def test_what_waits_is_searched_together_and_everybody_gets_his_own(engine):
    engine.model.gate.clear()
    first = submit(engine, RED)
    wait_until_busy(engine)
    others = [submit(engine, colour)[0] for colour in (RED, GREEN, BLUE, GREEN, RED)]
    engine.model.gate.set()
    for future in [*first, *others]:
        (found,) = future.result(10).detections
        assert len(found) == 1 and found["scores"][0] > 0.9
        np.testing.assert_allclose(found["rois"][0], BOX, atol=2)
    # one that came first, then a power of two of those that waited, then the rest
    assert engine.model.batches == [(1, 1), (4, 1), (1, 1)]


def test_only_jobs_of_one_kind_share_a_batch(engine):
    engine.model.gate.clear()
    futures = submit(engine, RED)
    wait_until_busy(engine)
    futures += submit(engine, RED, 2) + submit(engine, RED, 1, things=3) + submit(engine, RED, 2)
    engine.model.gate.set()
    assert [len(future.result(10).detections) for future in futures] == [1, 1, 1, 3, 1, 1]
    assert engine.model.batches == [(1, 1), (4, 1), (1, 3)]


def test_a_picture_that_fails_takes_no_other_with_it(engine):
    engine.model.gate.clear()
    submit(engine, RED)
    wait_until_busy(engine)
    bad = engine.prepare(np.full((50, 50, 3), 66, np.uint8))
    (failing,) = engine.submit([bad], (thing_of(engine, RED),))
    (sound,) = submit(engine, RED)
    engine.model.gate.set()
    with pytest.raises(ArithmeticError):
        failing.result(10)
    assert len(sound.result(10).detections[0]) == 1


def test_what_nobody_waits_for_is_not_searched(engine):
    engine.model.gate.clear()
    submit(engine, RED)
    wait_until_busy(engine)
    gone = submit(engine, RED, 4)
    assert all(future.cancel() for future in gone)
    (last,) = submit(engine, GREEN)
    engine.model.gate.set()
    last.result(10)
    assert engine.model.batches == [(1, 1), (1, 1)]


def test_a_full_queue_takes_all_or_nothing(engine):
    engine.model.gate.clear()
    submit(engine, RED)
    wait_until_busy(engine)
    waiting = submit(engine, RED, 10)
    with pytest.raises(QueueFullError, match=r"10 pictures wait .* 3 more would exceed .* 12"):
        submit(engine, RED, 3)
    assert engine.waiting == 10
    for future in waiting[:3]:
        future.cancel()
    assert len(submit(engine, RED, 3)) == 3  # cancelled ones have left their places


def test_what_waited_too_long_is_told_so(engine):
    engine.model.gate.clear()
    submit(engine, RED)
    wait_until_busy(engine)
    (late,) = submit(engine, RED, seconds=0)
    engine.model.gate.set()
    with pytest.raises(TooLateError, match="waited too long"):
        late.result(10)
    assert engine.model.batches == [(1, 1)]


def test_stopping_ends_what_was_taken_and_takes_no_more():
    engine = Engine(ColourModel(), Limits())
    futures = submit(engine, RED, 5)
    engine.stop()
    assert all(future.done() and len(future.result().detections[0]) == 1 for future in futures)
    with pytest.raises(StoppedError):
        submit(engine, RED)


def test_references_are_encoded_once(engine):
    for _ in range(3):
        submit(engine, RED)[0].result(10)
    submit(engine, GREEN)[0].result(10)
    assert engine.model.encoded == 2


def test_shots_are_averaged_whatever_their_number(engine):
    crops = [np.full((40, 40, 3), (value, 100, 100), np.uint8) for value in (40, 60, 80)]
    (vector,) = engine._vectors_of(engine.thing("thing", crops))
    np.testing.assert_allclose(vector, [[60, 100, 100]], atol=2)
    assert engine.model.encoded == 3


def test_all_finds_are_kept_and_the_threshold_that_was_measured_is_the_default(engine):
    assert engine.model.config.DETECTION_MIN_CONFIDENCE == 0
    assert engine.default_threshold == 0.4
    model = ColourModel()
    model.threshold, model.config.DETECTION_MIN_CONFIDENCE = None, 0.7
    assert Engine(model, Limits()).default_threshold == 0.7
