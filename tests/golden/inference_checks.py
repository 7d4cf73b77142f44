"""Compares detections with a recording: the network's outputs, and what `detect` returns."""

import numpy as np

from mrcnn.ops import boxes
from recording import ACTIVATIONS, pixels, recorded_masks, set_recorded_weights

STRAY_MASK_PIXELS = 5  # on the edge where the probability is one half
OUTPUTS = {  # of both networks: how the recordings call them
    "rois": "rpn_rois",
    "mrcnn_class": "mrcnn_class",
    "mrcnn_bbox": "mrcnn_bbox",
    "detections": "detections",
    "mrcnn_mask": "mrcnn_mask",
}


def with_recorded_weights(model):
    """A model of users, with the weights that the recordings were made with."""
    set_recorded_weights(model.keras_model)
    return model


def run_network(network, recording, **more_inputs):
    """All outputs of the detection network for the recorded image, without the batch axis."""
    shape = recording["molded_image"].shape[:2] if "molded_image" in recording else (256, 256)
    model = network.detection_model(shape)
    window = boxes.normalize(recording["window"][None].astype(np.float64), shape)
    outputs = model.predict_on_batch({"windows": window, **more_inputs})
    return {name: values[0] for name, values in outputs.items()}


def assert_outputs_equal(outputs, recording, names):
    """Every named output equals the recorded one of that (or another) name."""
    for name, recorded_name in names.items():
        recorded = recording[recorded_name]
        values = np.broadcast_to(outputs[name], recorded.shape)
        np.testing.assert_allclose(values, recorded, err_msg=name, **ACTIVATIONS)


def assert_result_equal(found, recording):
    """Boxes to a pixel, masks to a few pixels on their edge."""
    np.testing.assert_array_equal(found.class_ids, recording["result_class_ids"])
    np.testing.assert_allclose(found.rois, recording["result_rois"], atol=1)
    np.testing.assert_allclose(found.scores, recording["result_scores"], **ACTIVATIONS)
    wrong = np.count_nonzero(found.masks != recorded_masks(recording), axis=(0, 1))
    assert wrong.max() <= STRAY_MASK_PIXELS, wrong


def prepared_pixels(recording):
    """The prepared image as uint8."""
    return pixels(recording["molded_image"])
