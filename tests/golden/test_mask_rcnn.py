"""The plain Mask R-CNN gives the recorded numbers."""

import numpy as np
import pytest

from inference_checks import (
    OUTPUTS,
    assert_outputs_equal,
    assert_result_equal,
    run_network,
    with_recorded_weights,
)
from mrcnn.model import MaskRCNN
from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from recording import MaskRCNNInference, MaskRCNNTraining, read
from training_checks import assert_step_equal


@pytest.fixture(scope="module")
def recording():
    return read("mask_rcnn_inference")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    return with_recorded_weights(MaskRCNN("inference", MaskRCNNInference(), folder))


def test_every_output_is_the_recorded_one(model, recording):
    ((prepared, _),) = model.prepare([recording["image"]])
    outputs = run_network(model.network, recording, images=prepared[None])
    outputs["mrcnn_mask"] = outputs["mrcnn_mask"].mean(axis=(1, 2))
    assert_outputs_equal(outputs, recording, OUTPUTS)


def test_detect_returns_the_recorded_result(model, recording):
    (found,) = model.detect([recording["image"]])
    assert_result_equal(found, recording)


def test_image_meta_is_the_recorded_one(model, recording):
    from mrcnn.images.image import compose_image_meta

    ((_, geometry),) = model.prepare([recording["image"]])
    active = np.zeros(81)  # as the original passes them when detecting
    np.testing.assert_allclose(compose_image_meta(0, geometry, active), recording["image_meta"])


def test_a_training_step_is_the_recorded_one():
    config = MaskRCNNTraining()
    config.RUN_EAGERLY = True  # the siamese model's step is that of a compiled graph
    assert_step_equal(MaskRCNNNetwork(config), read("mask_rcnn_training"))
