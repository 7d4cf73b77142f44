import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.config import ConfigError
from mrcnn.weights.hdf5 import named_variables, weight_array
from siamese_mrcnn.config import Config
from siamese_mrcnn.modeling.matching import COMPARISONS, LEVELS, Matching

pytestmark = pytest.mark.backends
CHANNELS = 4
SIDES = (16, 8, 4, 2, 1)


def matched_model(matching):
    pyramid = [keras.Input((side, side, CHANNELS)) for side in SIDES]
    vectors = [keras.Input((CHANNELS,)) for _ in SIDES]
    return keras.Model([pyramid, vectors], matching(pyramid, vectors))


def random_pyramid(seed, batch=2):
    rng = np.random.default_rng(seed)
    shapes = [(batch, side, side, CHANNELS) for side in SIDES]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_a_reference_becomes_the_mean_of_its_map():
    pyramid = random_pyramid(0)
    vectors = Matching(CHANNELS).summarize([ops.array(level) for level in pyramid])
    for level, vector in zip(pyramid, vectors, strict=True):
        expected = level.mean(axis=(1, 2))
        np.testing.assert_allclose(ops.convert_to_numpy(vector), expected, atol=1e-6)


def cosine(place, vector):
    return place * vector / np.linalg.norm(place) / np.linalg.norm(vector)


MERGED = {
    "distance": lambda place, vector: [place, np.abs(place - vector)],
    "distance-alone": lambda place, vector: [np.abs(place - vector)],
    "correlation": lambda place, vector: [place, place * vector],
    "cosine": lambda place, vector: [place, cosine(place, vector)],
    "none": lambda place, vector: [place],
}


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_matching_against_a_loop(comparison):
    """What is merged passes a 1x1 convolution without activation; each level has its own."""
    model = matched_model(Matching(CHANNELS, comparison))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    weights = {name: weight_array(each) for name, each in named_variables(model).items()}
    pyramid = random_pyramid(1)
    vectors = [rng.normal(size=(2, CHANNELS)).astype(np.float32) for _ in SIDES]
    matched = [ops.convert_to_numpy(level) for level in model([pyramid, vectors])]
    for level, features, vector, found in zip(LEVELS, pyramid, vectors, matched, strict=True):
        kernel = weights[f"fpn_distance_P{level}/kernel"][0, 0]
        for image, y, x in np.ndindex(features.shape[:3]):
            merged = np.concatenate(MERGED[comparison](features[image, y, x], vector[image]))
            expected = merged @ kernel + weights[f"fpn_distance_P{level}/bias"]
            np.testing.assert_allclose(found[image, y, x], expected, atol=1e-5)
    assert min(level.min() for level in matched) < 0


def test_an_unknown_comparison_gets_a_sentence():
    with pytest.raises(ConfigError, match=r"one of distance, .*, but is 'difference'"):
        Matching(CHANNELS, "difference")


def test_the_papers_comparison_is_the_default():
    assert Matching(CHANNELS).merge[2].comparison == Config.COMPARISON == "distance"


@pytest.mark.parametrize(("queries", "references"), [(1, 3), (3, 1)])
def test_one_query_or_reference_serves_many_of_the_other(queries, references):
    model = matched_model(Matching(CHANNELS))
    pyramid = random_pyramid(0, queries)
    vectors = [level[:, 0, 0] for level in random_pyramid(1, references)]
    repeated = [np.repeat(level, 3 // len(level), axis=0) for level in (*pyramid, *vectors)]
    expected = model([repeated[: len(SIDES)], repeated[len(SIDES) :]])
    for found, right in zip(model([pyramid, vectors]), expected, strict=True):
        assert len(found) == 3
        np.testing.assert_allclose(
            ops.convert_to_numpy(found), ops.convert_to_numpy(right), atol=1e-6
        )


def test_matched_maps_have_half_as_many_channels_again():
    model = matched_model(Matching(CHANNELS))
    assert [each.shape for each in model.outputs] == [(None, side, side, 6) for side in SIDES]
    names = {name for name in named_variables(model) if name.endswith("kernel")}
    assert names == {f"fpn_distance_P{level}/kernel" for level in range(2, 7)}


def test_a_place_that_looks_like_the_reference_does_not_differ():
    """With weights that pass on the distance alone, such a place is zero, and it alone."""
    model = matched_model(Matching(CHANNELS))
    kernel = np.zeros((2 * CHANNELS, 6))
    kernel[CHANNELS:, :CHANNELS] = np.eye(CHANNELS)
    for name, variable in named_variables(model).items():
        variable.assign(kernel[None, None] if name.endswith("kernel") else np.zeros(6))
    pyramid = random_pyramid(0)
    vectors = [level[:, 0, -1] for level in pyramid]
    distance = ops.convert_to_numpy(model([pyramid, vectors])[0]).max(axis=-1)
    places = np.argwhere(distance == 0)
    np.testing.assert_array_equal(places, [[0, 0, 15], [1, 0, 15]])
    assert distance.min() == 0
