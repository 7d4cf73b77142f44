"""CO_ATTENTION and ROI_COMPARISON in the whole model: as the paper's at first, then their own."""

import re

import numpy as np
import pytest
from keras import ops

from found import assert_same_found
from mrcnn.config import ConfigError
from mrcnn.training.fit import compile_phase
from mrcnn.training.random_start import measure_statistics
from mrcnn.weights.hdf5 import layer_of, named_variables, read_weights, weight_array
from siamese_mrcnn.data.references import Reference, prepare_reference
from siamese_mrcnn.evaluation.reference_cache import ReferenceVectors
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.modeling.co_attention import CO_ATTENTION
from siamese_mrcnn.modeling.roi_comparison import ROI_COMPARISON
from siamese_mrcnn.modeling.weights_layout import CO_ATTENTION_LAYERS, ROI_COMPARISON_LAYERS
from small import RandomBatches
from tiny import (
    TinySiameseConfig,
    arrays_of,
    assert_same_arrays,
    few_weights,
    picture,
    pictures_of_several_sizes,
    tiny_siamese_model,
)

pytestmark = [pytest.mark.backends, pytest.mark.long_on_jax]
ADDED = {
    "CO_ATTENTION": (CO_ATTENTION, CO_ATTENTION_LAYERS),
    "ROI_COMPARISON": (ROI_COMPARISON, ROI_COMPARISON_LAYERS),
}
# of the layers whose weights keep all others without effect until they have trained
FIRST = r".*(query|reference)_bn.*/(gamma|beta)|fpn_excitation_weights.*|mrcnn_compare_merge.*"
ANCHORS_OF_P5_AND_P6 = 3 * (4 * 4 + 2 * 2)
IMAGES = pictures_of_several_sizes()[:3]
CROPS = [picture(20 + 9 * n, 50 - 7 * n, 10 + n) // (1 + n) for n in range(3)]


@pytest.fixture(scope="module", params=[*ADDED, "both"])
def settings(request):
    return dict.fromkeys(ADDED if request.param == "both" else [request.param], True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A model of the paper's, and a file of it in the paper's layout."""
    folder = tmp_path_factory.mktemp("plain")
    model = tiny_siamese_model("inference", folder)
    model.save_weights(folder / "paper.h5")
    return model, folder / "paper.h5"


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    """A model all of whose weights have an effect."""
    return tiny_siamese_model("inference", tmp_path_factory.mktemp("trained"), **settings)


def beginning(mode, folder, settings, path):
    """A fresh model with the weights of the paper's, and the report of loading them."""
    with few_weights():
        config = type("Changed", (TinySiameseConfig,), settings)()
        model = SiameseMaskRCNN(mode, folder, config)
    patterns = [ADDED[name][0] for name in settings if name in ADDED]
    return model, model.load_weights(path, may_be_missing=patterns)


def layers_of(settings):
    return {layer for name in settings for layer in ADDED[name][1]}


def differ(one, other):
    return len(one) != len(other) or np.abs(one.rois - other.rois).max() > 2


def encoded(model, *shots):
    """Each argument the crops of one query."""
    prepared = [[prepare_reference(crop, model.config) for crop in crops] for crops in shots]
    return model.encode_references(np.array(prepared))


def test_weights_of_the_paper_load_and_find_what_they_found(plain, settings, tmp_path):
    paper, path = plain
    model, report = beginning("inference", tmp_path, settings, path)
    assert {layer_of(name) for name in report.missing} == layers_of(settings)
    assert len(report.loaded) == len(arrays_of(paper.keras_model))
    for found, expected in zip(
        model.detect(CROPS, IMAGES), paper.detect(CROPS, IMAGES), strict=True
    ):
        assert len(found) == 6
        assert_same_found(found, expected)
    (found,) = model.detect([CROPS[:2]], IMAGES[:1])
    assert_same_found(found, paper.detect([CROPS[:2]], IMAGES[:1])[0])


def test_trained_they_find_other_things(plain, trained):
    for found, before in zip(
        trained.detect(CROPS, IMAGES), plain[0].detect(CROPS, IMAGES), strict=True
    ):
        assert differ(found, before)


def test_queries_and_references_are_encoded_apart_and_serve_each_other(trained):
    together = trained.detect(CROPS, IMAGES)
    queries = trained.encode_queries(IMAGES)
    vectors = encoded(trained, *([crop] for crop in CROPS))
    assert all(len(each) == 3 for each in vectors)
    assert [each.shape for each in vectors[:5]] == [(3, 16)] * 5
    for found, expected in zip(trained.detect_encoded(queries, vectors), together, strict=True):
        assert_same_found(found, expected)
    alone = [trained.detect(crop, IMAGES[:1])[0] for crop in CROPS]
    for found, expected in zip(trained.detect_encoded(queries[:1], vectors), alone, strict=True):
        assert_same_found(found, expected)
    (first, *_), (for_all, *_) = together, trained.detect(CROPS[0], IMAGES)
    assert_same_found(for_all, first)


def test_several_references_are_one_of_more_places(trained):
    (found,) = trained.detect([CROPS], IMAGES[:1])
    (turned,) = trained.detect([CROPS[::-1]], IMAGES[:1])
    assert_same_found(turned, found)
    (single,) = trained.detect(CROPS[:1], IMAGES[:1])
    assert differ(single, found)
    (same,) = trained.detect([CROPS[:1] * 2], IMAGES[:1])
    assert_same_found(same, single)


def test_references_encoded_one_by_one_and_remembered_are_the_same(trained):
    pictures = [prepare_reference(crop, trained.config) for crop in CROPS[:2]]
    references = [Reference(each, 1, n, n, (0, 0, 9, 9)) for n, each in enumerate(pictures)]
    found = ReferenceVectors(trained).of([references])
    for one, two in zip(found, encoded(trained, CROPS[:2]), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5"])
def test_files_hold_all_of_it(trained, settings, tmp_path, name):
    trained.save_weights(tmp_path / name)
    assert layers_of(settings) <= {layer_of(each) for each in read_weights(tmp_path / name)}
    with few_weights():
        again = SiameseMaskRCNN("inference", tmp_path, type(trained.config)())
    report = again.load_weights(tmp_path / name)
    assert not (report.missing or report.unexpected)
    assert_same_arrays(arrays_of(again.keras_model), arrays_of(trained.keras_model))


def test_training_begins_with_the_last_layers_and_reaches_all(plain, settings, tmp_path):
    sizes = {"NUM_TARGETS": 2, "WEIGHT_DECAY": 0.0, "OPTIMIZER": "adam"}
    model, report = beginning("training", tmp_path, settings | sizes, plain[1])
    for name, variable in named_variables(model.keras_model).items():
        if "excitation_squeeze" in name:
            variable.assign(np.abs(weight_array(variable)))  # no dead unit, where there is but one
    batch = RandomBatches(model.config, 1)[0]
    batch[1]["rpn_match"][:, -ANCHORS_OF_P5_AND_P6:] = -1  # each level has something to learn
    measure_statistics(model.keras_model, [batch], keep=report.loaded)
    before = arrays_of(model.keras_model)
    new = {name for name in report.missing if "moving" not in name}
    assert {layer_of(name) for name in new} == layers_of(settings)
    compile_phase(model.keras_model, model.config, 0.001, "heads")
    changed = []
    for _ in range(2):
        model.keras_model.train_on_batch(*batch)
        after = arrays_of(model.keras_model)
        changed.append({name for name in new if not np.array_equal(after[name], before[name])})
        before = after
    assert changed[0] == {name for name in new if re.fullmatch(FIRST, name)}
    assert changed[1] == new


def test_a_named_thing_keeps_the_places_of_all_its_shots(trained):
    prepared = np.stack([prepare_reference(each, trained.config) for each in CROPS[:2]])
    things = trained.encode_things({"two": CROPS[:2], "one": CROPS[2]})
    together = [ops.convert_to_numpy(each) for each in trained.encode_references(prepared[None])]
    for found, expected in zip(things["two"], together, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    again = trained.encode_things(things)  # what was kept is passed on
    for found, expected in zip(again["one"], things["one"], strict=True):
        np.testing.assert_array_equal(found, expected)
    (found,) = trained.detect_named(things, IMAGES[:1])
    alone = [trained.detect_named({name: things[name]}, IMAGES[:1])[0] for name in things]
    assert set(found.labels) <= {"two", "one"}
    assert 0 < len(found) <= sum(map(len, alone))


def test_an_odd_pyramid_is_refused_where_comparing_would_halve_it():
    odd = type("Odd", (TinySiameseConfig,), {"ROI_COMPARISON": True, "FPN_FEATUREMAPS": 15})
    with pytest.raises(ConfigError, match=r"FPN_FEATUREMAPS is 15, but .* must be even"):
        odd()
