"""Makes one recorded training step and compares losses and the change of every weight."""

import numpy as np

from mrcnn.training.fit import compile_phase
from mrcnn.training.losses import TrainableModel
from recording import LOSSES, pixels, set_recorded_weights, weight_arrays


def recorded_batch(recording):
    """(x, y) of the recorded step."""
    x = {
        "images": pixels(recording["images"]),
        "image_metas": recording["image_metas"].astype(np.float32),
        "gt_class_ids": recording["gt_class_ids"],
        "gt_boxes": recording["gt_boxes"].astype(np.float32),
        "gt_masks": recording["gt_masks"].astype(np.uint8),
        "rois": recording["rois"].astype(np.float32),
        # All RoIs are used, so that their priorities do not matter.
        "roi_priorities": np.ones(recording["rois"].shape[:2], np.float32),
    }
    if "references" in recording:
        x["references"] = pixels(recording["references"])
    targets = {
        "rpn_match": recording["rpn_match"][..., 0],
        "rpn_deltas": recording["rpn_bbox"].astype(np.float32),
    }
    return x, targets


def assert_step_equal(network, recording):
    """Total, five losses, and the norm of the change of every weight after one step."""
    model = TrainableModel(network, recording["images"].shape[1:3])
    set_recorded_weights(model)
    compile_phase(model, network.config, float(recording["learning_rate"]), "all")
    before = weight_arrays(model)
    logs = model.train_on_batch(*recorded_batch(recording), return_dict=True)
    assert set(logs) == set(recording["loss_names"])
    for name, recorded in zip(recording["loss_names"], recording["losses"], strict=True):
        np.testing.assert_allclose(logs[name], recorded, err_msg=name, **LOSSES)
    _assert_changes_equal(before, weight_arrays(model), recording)


def _assert_changes_equal(before, after, recording):
    assert set(before) == set(recording["delta_names"])
    for name, recorded in zip(recording["delta_names"], recording["delta_norms"], strict=True):
        change = np.linalg.norm(after[name] - before[name])
        tolerance = 1e-3 * recorded + _rounding_of_norm(before[name])
        assert abs(change - recorded) <= tolerance, (name, change, recorded)


def _rounding_of_norm(weights):
    """What rounding the new weights to float32 may do to the norm of their change.

    Many changes are but a few units in the last place of the weight. Where the last bit of the
    sum differs, one element is rounded the other way and its change is one such unit more or
    less: 0.3 units, the standard deviation of rounding, bound what that makes of the norm.
    """
    return 0.3 * np.median(np.spacing(np.abs(weights).astype(np.float32)))
