"""Siamese Mask R-CNN gives the recorded numbers, on every backend."""

import numpy as np
import pytest
from keras import ops

from inference_checks import (
    OUTPUTS,
    assert_outputs_equal,
    assert_result_equal,
    prepared_pixels,
    run_network,
    with_recorded_weights,
)
from mrcnn.ops import boxes
from mrcnn.ops.anchors import pyramid_anchors
from recording import ACTIVATIONS, SiameseInference, SiameseTraining, read
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.modeling.siamese_network import SiameseNetwork
from training_checks import assert_step_equal

pytestmark = pytest.mark.backends

RPN_OUTPUTS = {"rpn_class": "rpn_class", "rpn_bbox": "rpn_bbox"}


@pytest.fixture(scope="module")
def recording():
    return read("siamese_inference")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    return with_recorded_weights(SiameseMaskRCNN("inference", folder, SiameseInference()))


def test_image_is_prepared_as_recorded(model, recording):
    ((prepared, geometry),) = model.prepare([recording["image"]])
    np.testing.assert_array_equal(prepared, prepared_pixels(recording))
    assert geometry.window == tuple(recording["window"])


def test_anchors_are_the_recorded_ones(recording):
    anchors = boxes.normalize(pyramid_anchors(SiameseInference(), (256, 256)), (256, 256))
    np.testing.assert_allclose(anchors, recording["anchors"], atol=1e-6)


def test_every_output_is_the_recorded_one(model, recording):
    outputs = run_network(
        model.network,
        recording,
        images=prepared_pixels(recording)[None],
        references=recording["reference"][None],
    )
    assert_outputs_equal(outputs, recording, OUTPUTS | RPN_OUTPUTS)


def test_matched_pyramid_has_the_recorded_statistics(model, recording):
    network = model.network
    vectors = network.encode_references(recording["reference"][None], subtract_mean=False)
    matched = network.match(network.encode(prepared_pixels(recording)[None]), vectors)
    for level, features in zip(range(2, 7), matched, strict=True):
        values = ops.convert_to_numpy(features).astype(np.float64).reshape(-1, features.shape[-1])
        scale = np.abs(values).max()
        for name, statistic in (("mean", values.mean(axis=0)), ("std", values.std(axis=0))):
            np.testing.assert_allclose(
                statistic,
                recording[f"fused_P{level}_{name}"],
                rtol=ACTIVATIONS["rtol"],
                atol=1e-5 * scale,
            )


def test_detect_returns_the_recorded_result(model, recording):
    (found,) = model.detect(recording["reference"][0], [recording["image"]])
    assert_result_equal(found, recording)


def test_encoded_queries_and_references_give_the_same_result(model, recording):
    queries = model.encode_queries([recording["image"]])
    vectors = model.encode_references(recording["reference"][None])
    (found,) = model.detect_encoded(queries, vectors)
    assert_result_equal(found, recording)


def test_a_training_step_is_the_recorded_one():
    assert_step_equal(SiameseNetwork(SiameseTraining()), read("siamese_training"))
