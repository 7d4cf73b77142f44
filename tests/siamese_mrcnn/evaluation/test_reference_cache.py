"""Vectors of references: each encoded once, by itself, in batches of one size."""

import numpy as np
import pytest

from siamese_mrcnn.data.references import Reference
from siamese_mrcnn.evaluation import reference_cache
from siamese_mrcnn.evaluation.reference_cache import ReferenceVectors
from tiny import picture, tiny_siamese_model

pytestmark = pytest.mark.backends
SIDE = 32


def reference(number):
    return Reference(picture(SIDE, SIDE, number), 1, number, 10 * number, (0, 0, SIDE, SIDE))


class Summing:
    """A model whose two vectors tell the picture, and which counts its batches."""

    def __init__(self):
        self.batches = []

    def encode_references(self, references):
        self.batches.append(references)
        means = references.astype(np.float32).mean(axis=(1, 2, 3))
        return [means, 2 * means[:, :1]]


def expected(queries):
    rows = [[each.picture.mean(axis=(0, 1)) for each in references] for references in queries]
    means = np.array([np.mean(shots, axis=0) for shots in rows])
    return [means, 2 * means[:, :1]]


def assert_vectors(found, queries):
    for level, right in zip(found, expected(queries), strict=True):
        assert level.dtype == np.float32
        np.testing.assert_allclose(level, right, rtol=1e-5)


def test_each_reference_is_encoded_once():
    model = Summing()
    vectors = ReferenceVectors(model)
    queries = [[reference(n)] for n in (3, 1, 3)]
    assert_vectors(vectors.of(queries), queries)
    assert_vectors(vectors.of([[reference(1)], [reference(2)]]), [[reference(1)], [reference(2)]])
    sizes = [np.count_nonzero(batch.any(axis=(1, 2, 3, 4))) for batch in model.batches]
    assert sizes == [2, 1]
    assert {len(batch) for batch in model.batches} == {reference_cache.BATCH}


def test_several_shots_are_averaged():
    queries = [[reference(1), reference(2)], [reference(3), reference(1)]]
    assert_vectors(ReferenceVectors(Summing()).of(queries), queries)


def test_maps_of_several_shots_follow_each_other():
    class WithMaps(Summing):
        def encode_references(self, references):
            return [*super().encode_references(references), references[:, 0, :2, 0] / 8.0]

    queries = [[reference(1), reference(2)], [reference(3), reference(1)]]
    *vectors, maps = ReferenceVectors(WithMaps()).of(queries)
    assert_vectors(vectors, queries)
    expected = [[row for each in shots for row in each.picture[:2, 0] / 8.0] for shots in queries]
    np.testing.assert_array_equal(maps, expected)


def test_maps_fill_the_memory_with_fewer(monkeypatch):
    of_one = sum(each[0].nbytes for each in Summing().encode_references(np.zeros((1, 1, 2, 2, 3))))
    monkeypatch.setattr(reference_cache, "MEMORY", 2 * of_one + 1)
    vectors = ReferenceVectors(Summing())
    vectors.of([[reference(n)] for n in (1, 2, 3)])
    assert [number for number, _ in vectors._vectors] == [2, 3]


def test_more_than_a_batch_and_more_than_are_remembered(monkeypatch):
    monkeypatch.setattr(reference_cache, "REMEMBERED", 3)
    model = Summing()
    vectors = ReferenceVectors(model)
    queries = [[reference(n)] for n in range(1, 12)]
    for _ in range(2):
        assert_vectors(vectors.of(queries), queries)
    assert len(model.batches) == 3  # of 8, 3, and 8 that were forgotten


def test_what_is_remembered_is_not_copied_for_each_image(monkeypatch):
    monkeypatch.setattr(reference_cache, "REMEMBERED", 3)
    vectors = ReferenceVectors(Summing())
    remembered = vectors._vectors
    for numbers in ((1, 2), (3, 4), (2, 5)):
        vectors.of([[reference(n)] for n in numbers])
        assert vectors._vectors is remembered
    assert [number for number, _ in remembered] == [3, 4, 5]


def test_a_vector_depends_on_its_reference_alone(tmp_path):
    """So that an evaluation that was interrupted ends in the same report."""
    model = tiny_siamese_model("inference", tmp_path)
    queries = [[reference(n)] for n in (1, 2, 3)]
    together = ReferenceVectors(model).of(queries)
    for row, query in enumerate(queries):
        for level, alone in zip(together, ReferenceVectors(model).of([query]), strict=True):
            np.testing.assert_array_equal(level[row], alone[0])
