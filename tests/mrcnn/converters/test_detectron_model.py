"""Detectron's weights, converted from its file, find here what they find there.

The measure is `detectron_program`, a transcription of Detectron's model that shares nothing with
ours; its convolutions run by numpy and, where it is installed, by PyTorch.
"""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import detectron_program
from detectron_weights import CLASSES, HIDDEN, LEVEL, MASK, WIDTH, model_blobs
from foreign_weights import python_2_pickle
from mrcnn.conventions import conventions_of
from mrcnn.converters.detectron_config import DetectronC4Config, DetectronConfig
from mrcnn.model import MaskRCNN
from mrcnn.ops.anchors import pyramid_anchors
from mrcnn.ops.boxes import decode_deltas, normalize
from on_backend import compile_function
from siamese_mrcnn.weights_conversion import convert

SIDE = 512
PRE_LIMIT, POST_LIMIT, INSTANCES = {False: 300, True: 12}, 40, 60
THRESHOLD, OVERLAP = 0.05, 0.5  # of detections
# Tiny, of one pixel, at the border, long, large, the whole image: of all levels.
GIVEN = np.float64(
    [
        [3, 5, 20, 30],
        [100, 100, 100, 100],
        [500, 490, 511, 511],
        [0, 200, 511, 219],
        [40, 10, 170, 120],
        [90.5, 80.25, 330.75, 300.5],
        [0, 0, 511, 511],
    ]
)
FORMS = [
    pytest.param(
        ("resnet50", False, "numpy"), marks=[pytest.mark.backends, pytest.mark.long_on_jax]
    ),
    ("resnet50", True, "numpy"),
    ("resnet50", False, "torch"),
    ("resnet50", True, "torch"),
    ("resnet101", False, "numpy"),
]


def picture():
    """Coarse noise with fine noise: uint8 [SIDE, SIDE, 3], RGB."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8, 3)).repeat(SIDE // 8, 0).repeat(SIDE // 8, 1)
    return np.clip(coarse + rng.integers(-40, 41, coarse.shape), 0, 255).astype(np.uint8)


class Form:
    """One model, ours and theirs, that has looked at the picture."""

    def __init__(self, backbone, pyramid, arithmetic, folder):
        layers = detectron_program.PlainLayers
        if arithmetic == "torch":
            reason = "PyTorch is not installed, so the transcription runs by numpy alone."
            layers = detectron_program.TorchLayers(pytest.importorskip("torch", reason=reason))
        blobs = model_blobs(backbone, pyramid)
        kind = "PyramidProgram" if pyramid else "C4Program"
        self.program = getattr(detectron_program, kind)(
            blobs, layers, backbone, PRE_LIMIT[pyramid], POST_LIMIT
        )
        self.program.look_at(picture()[..., ::-1].transpose(2, 0, 1))
        (folder / "model_final.pkl").write_bytes(python_2_pickle(blobs))
        convert(folder / "model_final.pkl", folder / "converted.h5")
        self.model = MaskRCNN("inference", config_for(backbone, pyramid)(), folder)
        self.model.load_weights(folder / "converted.h5")
        self.network = self.model.network
        self.maps = self.run(self.network.encode, ops.array(picture()[None]))

    @staticmethod
    def run(function, *arguments):
        """Call a function in the way that takes least time, compiling included."""
        on_jax = keras.backend.backend() == "jax"
        return (compile_function(function) if on_jax else function)(*arguments)

    def find(self, maps, window):
        found = self.network.detect_boxes(maps, window, (SIDE, SIDE))
        boxes = found["detections"][..., :4]
        return {**found, "mrcnn_mask": self.network.predict_masks(maps[:4], boxes, (SIDE, SIDE))}

    @functools.cached_property
    def outputs(self):
        window = ops.array([[0, 0, 1, 1]], "float32")
        found = self.run(self.find, self.maps, window)
        return {name: ops.convert_to_numpy(values)[0] for name, values in found.items()}


def config_for(backbone, pyramid):
    settings = {
        "BACKBONE": backbone,
        "BACKBONE_WIDTH": WIDTH,
        "RPN_CHANNELS": LEVEL,
        "TOP_DOWN_PYRAMID_SIZE": LEVEL,
        "FPN_CLASSIF_FC_LAYERS_SIZE": HIDDEN,
        "MASK_HEAD_CHANNELS": MASK,
        "NUM_CLASSES": CLASSES,
        "IMAGE_MIN_DIM": SIDE,
        "IMAGE_MAX_DIM": SIDE,
        "PRE_NMS_LIMIT": PRE_LIMIT[pyramid],
        "POST_NMS_ROIS_INFERENCE": POST_LIMIT,
        "DETECTION_MIN_CONFIDENCE": THRESHOLD,
        "DETECTION_NMS_THRESHOLD": OVERLAP,
        "DETECTION_MAX_INSTANCES": INSTANCES,
    }
    return type("Small", (DetectronConfig if pyramid else DetectronC4Config,), settings)


@pytest.fixture(
    scope="module",
    params=FORMS,
    ids=lambda each: f"{each[0]}-{'fpn' if each[1] else 'c4'}-{each[2]}",
)
def form(request, tmp_path_factory):
    return Form(*request.param, tmp_path_factory.mktemp("weights"))


def to_theirs(boxes_normalized):
    """(y1, x1, y2, x2) by the edges of the picture to Detectron's pixels."""
    pixels = ops.convert_to_numpy(boxes_normalized)[..., [1, 0, 3, 2]] * SIDE
    return pixels - np.array([0, 0, 1, 1])


def to_ours(boxes):
    return ((boxes + np.array([0, 0, 1, 1]))[..., [1, 0, 3, 2]] / SIDE).astype(np.float32)


def moved(boxes_normalized, deltas, deviations):
    """By our formula, from which Detectron's boxes must come out."""
    limit = conventions_of(DetectronConfig).log_limit
    return to_theirs(decode_deltas(boxes_normalized, deltas * deviations, log_limit=limit))


def assert_same_boxes(found, expected):
    np.testing.assert_allclose(found / SIDE, expected / SIDE, atol=1e-4)


@pytest.mark.long_on_jax
def test_anchors_have_the_same_scores_and_boxes(form):
    expected_scores, expected = map(
        np.concatenate, zip(*form.program.score_all_anchors(), strict=True)
    )
    assert 0.01 < expected_scores.std() < 1
    np.testing.assert_allclose(form.outputs["rpn_class"][:, 1], expected_scores, atol=1e-4)
    anchors = normalize(pyramid_anchors(form.model.config, (SIDE, SIDE)), (SIDE, SIDE), edges=True)
    assert_same_boxes(moved(anchors, form.outputs["rpn_bbox"], np.ones(4)), expected)


def test_the_same_proposals(form):
    expected = form.program.propose()
    assert len(expected) == POST_LIMIT and len(np.unique(expected.round(2), axis=0)) == POST_LIMIT
    assert_same_boxes(to_theirs(form.outputs["rois"]), expected)


def test_heads_give_the_same_for_rois_of_all_sizes(form):
    rois = to_ours(GIVEN)

    def answer(rois, maps):
        boxes = form.network.box_head(rois, maps[:4], (SIDE, SIDE))
        return boxes, form.network.predict_masks(maps[:4], rois, (SIDE, SIDE))

    answers, masks = form.run(answer, ops.array(rois[None]), form.maps)
    answers = {name: ops.convert_to_numpy(values)[0] for name, values in answers.items()}
    classes, refined = form.program.classify(GIVEN)
    assert classes.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(answers["mrcnn_class"], classes, atol=1e-4)
    boxes = moved(rois[:, None], answers["mrcnn_bbox"], np.array([0.1, 0.1, 0.2, 0.2]))
    assert_same_boxes(np.clip(boxes, 0, SIDE - 1), refined)
    expected = np.stack([form.program.masks_of(box) for box in GIVEN]).transpose(0, 2, 3, 1)
    assert expected.std() > 0.1
    np.testing.assert_allclose(ops.convert_to_numpy(masks)[0], expected, atol=1e-4)


def test_the_same_is_found(form):
    """Scores, classes, boxes and masks of the detections of the whole model."""
    classes, refined = form.program.classify(form.program.propose())
    expected = detectron_program.detections(classes, refined, THRESHOLD, OVERLAP, INSTANCES)
    scores, class_ids, boxes = map(np.array, zip(*expected, strict=True))
    assert len(expected) > 30 and len(set(class_ids)) > 1
    found, padding = np.split(form.outputs["detections"], [len(expected)])
    assert not padding.any()
    np.testing.assert_array_equal(found[:, 4], class_ids)
    np.testing.assert_allclose(found[:, 5], scores, atol=1e-4)
    assert_same_boxes(to_theirs(found[:, :4]), boxes)
    for row in range(3):
        expected = form.program.masks_of(boxes[row])[class_ids[row]]
        mask = form.outputs["mrcnn_mask"][row, ..., class_ids[row]]
        np.testing.assert_allclose(mask, expected, atol=1e-4)
