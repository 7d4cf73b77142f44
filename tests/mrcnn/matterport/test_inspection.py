"""Looking inside the network as Matterport's notebooks do."""

import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.modeling.compiled_functions import compiled
from mrcnn.weights.hdf5 import named_variables
from tiny import arrays_of, assert_same_arrays, few_weights, picture, tiny_model

OLD_NMS_NAMES = [
    "ROI/rpn_non_max_suppression:0",
    "ROI/rpn_non_max_suppression/NonMaxSuppressionV3:0",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model("inference", tmp_path_factory.mktemp("logs"))


def outputs_of(model, *names):
    return [(name, model.keras_model.get_layer(name).output) for name in names]


def all_outputs(model, image):
    """What the whole network answers for an image."""
    molded, _, windows = model.mold_inputs([image])
    shape = molded.shape[1:3]
    inputs = {
        "images": (molded + model.config.MEAN_PIXEL).astype(np.float32),
        "windows": utils.norm_boxes(windows.astype(float), shape),
    }
    return {name: np.asarray(each) for name, each in compiled(model.keras_model)(inputs).items()}


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_layers_by_their_old_names(model, capsys):
    image = picture(100, 120)
    names = ("rpn_class", "rpn_bbox", "ROI", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask")
    asked = outputs_of(model, *names, "mrcnn_detection", "res2a_out", "fpn_p2", "bn2a_branch2a")
    found = model.run_graph([image], asked)
    assert list(found) == [name for name, _ in asked]
    expected = all_outputs(model, image)
    expected["ROI"], expected["mrcnn_detection"] = expected["rois"], expected["detections"]
    for name in (*names, "mrcnn_detection"):
        assert isinstance(found[name], np.ndarray)
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
    assert found["mrcnn_class"].shape == (1, 20, 3)
    assert found["mrcnn_bbox"].shape == (1, 20, 3, 4)
    assert found["mrcnn_mask"].shape == (1, 6, 28, 28, 3) and found["mrcnn_mask"].min() >= 0
    assert found["res2a_out"].shape == (1, 32, 32, 32)
    assert found["fpn_p2"].shape == (1, 32, 32, 16)
    assert found["bn2a_branch2a"].shape == (1, 32, 32, 8)
    printed = capsys.readouterr().out
    assert all(name in printed for name in found) and "(1, 20, 3)" in printed


def test_inputs_by_their_old_names(model):
    image = picture(100, 120)
    names = ("input_image", "input_image_meta", "input_anchors")
    found = model.run_graph([image], outputs_of(model, *names))
    molded, metas, _ = model.mold_inputs([image])
    np.testing.assert_allclose(found["input_image"], molded, rtol=1e-6)
    np.testing.assert_allclose(found["input_image_meta"], metas)
    np.testing.assert_array_equal(found["input_anchors"][0], model.get_anchors((128, 128, 3)))
    # molded images with their metas are taken as they are
    again = model.run_graph(molded, outputs_of(model, "ROI"), image_metas=metas)
    expected = model.run_graph([image], outputs_of(model, "ROI"))
    np.testing.assert_allclose(again["ROI"], expected["ROI"], atol=1e-5)


def test_anchors_normalised_and_in_pixels(model):
    normalized = model.get_anchors((128, 192, 3))
    np.testing.assert_allclose(
        normalized, utils.norm_boxes(model.anchors, (128, 192)), rtol=1e-6, atol=1e-6
    )
    assert len(model.anchors) == 3 * (128 * 192) * (1 / 16 + 1 / 64 + 1 / 256 + 1 / 1024 + 1 / 4096)
    model.detect([picture(50, 50)])
    assert len(model.anchors) == 3 * 128**2 * (1 / 16 + 1 / 64 + 1 / 256 + 1 / 1024 + 1 / 4096)


def test_inputs_pass_through_functions_of_tensorflow(model):
    tf = pytest.importorskip("tensorflow")
    image = picture(100, 120)
    tensor = tf.identity(model.keras_model.get_layer("input_image").output)
    found = model.run_graph([image], [("input_image", tensor)])
    expected = model.run_graph([image], outputs_of(model, "input_image"))
    np.testing.assert_array_equal(found["input_image"], expected["input_image"])
    with pytest.raises(ValueError, match="output 'x' must be a tensor of keras_model"):
        model.run_graph([image], [("x", tf.constant(1.0))])


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_convolutions_answer_before_their_normalisation(model):
    names = ("res2a_branch2a", "bn2a_branch2a", "roi_align_mask", "roi_align_classifier")
    found = model.run_graph([picture(100, 120)], outputs_of(model, *names))
    norm = model.keras_model.get_layer("bn2a_branch2a")
    gamma, beta, mean, variance = norm.get_weights()
    normalised = (found["res2a_branch2a"] - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(normalised, found["bn2a_branch2a"], rtol=1e-3, atol=1e-4)
    assert found["roi_align_mask"].shape == (1, 6, 14, 14, 16)
    assert found["roi_align_classifier"].shape == (1, 20, 7, 7, 16)
    again = model.run_graph([picture(100, 120)], outputs_of(model, "res2a_branch2a"))
    np.testing.assert_allclose(
        again["res2a_branch2a"], found["res2a_branch2a"], rtol=1e-4, atol=1e-5
    )


# --- the steps from anchors to RoIs -----------------------------------------------------------


@pytest.mark.backends
@pytest.mark.long_on_jax
def test_the_steps_to_the_rois(model):
    pillar = model.keras_model.get_layer("ROI").output
    steps = ("pre_nms_anchors", "refined_anchors", "refined_anchors_clipped")
    found = model.run_graph(
        [picture(100, 120)],
        [
            ("rpn_class", model.keras_model.get_layer("rpn_class").output),
            ("rpn_bbox", model.keras_model.get_layer("rpn_bbox").output),
            *((step, model.ancestor(pillar, f"ROI/{step}:0")) for step in steps),
            ("kept", model.ancestor(pillar, OLD_NMS_NAMES[0])),
            ("proposals", pillar),
        ],
    )
    config = model.config
    order = np.argsort(-found["rpn_class"][0, :, 1], kind="stable")[: config.PRE_NMS_LIMIT]
    anchors = model.get_anchors((128, 128))[order]
    np.testing.assert_array_equal(found["pre_nms_anchors"][0], anchors)
    deltas = found["rpn_bbox"][0, order] * config.RPN_BBOX_STD_DEV
    refined = utils.apply_box_deltas(anchors, deltas)
    np.testing.assert_allclose(found["refined_anchors"][0], refined, atol=1e-5)
    clipped = found["refined_anchors_clipped"][0]
    np.testing.assert_allclose(clipped, np.clip(refined, 0, 1), atol=1e-5)
    count = np.count_nonzero(found["proposals"][0].any(axis=1))
    assert 1 < count == len(found["kept"])
    np.testing.assert_allclose(clipped[found["kept"]], found["proposals"][0, :count], atol=1e-6)
    by_hand = utils.non_max_suppression(clipped, -np.arange(len(clipped)), 0.7)
    np.testing.assert_array_equal(found["kept"], by_hand[:count])


def test_unknown_nodes_are_told(model, caplog):
    pillar = model.keras_model.get_layer("ROI").output
    assert all(model.ancestor(pillar, name) is not None for name in OLD_NMS_NAMES)
    assert model.ancestor(pillar, "ROI/somewhere:0") is None
    assert "no ancestor 'ROI/somewhere:0'. Known are ROI/pre_nms_anchors:0" in caplog.text
    with pytest.raises(ValueError, match=r"output 'x' must be a tensor of keras_model .* is None"):
        model.run_graph([picture(64, 64)], [("x", None)])


def test_images_of_another_shape_than_the_model_was_made_for(tmp_path):
    with few_weights():
        model = tiny_model(
            "inference", tmp_path, IMAGE_RESIZE_MODE="pad64", IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=192
        )
        image = picture(100, 128)
        pillar = model.keras_model.get_layer("ROI").output
        found = model.run_graph(
            [image],
            [
                *outputs_of(model, "mrcnn_detection", "res4a_out", "input_image"),
                ("kept", model.ancestor(pillar, OLD_NMS_NAMES[0])),
            ],
        )
    assert found["input_image"].shape == (1, 128, 128, 3)
    assert found["res4a_out"].shape == (1, 8, 8, 64) and len(found["kept"])
    (expected,) = model.detect([image])
    assert len(expected)
    detections = found["mrcnn_detection"][0]
    np.testing.assert_allclose(detections[: len(expected), 5], expected.scores, rtol=1e-4)
    between = model.keras_model.get_layer("ROI").output + 1
    with few_weights(), pytest.raises(ValueError, match=r"no output of a layer.*\(192, 192\)"):
        model.run_graph([image], [("x", between)])


def test_a_training_model_shows_what_needs_the_image_alone(tmp_path):
    model = tiny_model("training", tmp_path)
    image = picture(128, 128)
    found = model.run_graph([image], outputs_of(model, "rpn_class", "fpn_p3", "ROI"))
    assert found["ROI"].shape == (1, 30, 4) and found["fpn_p3"].shape == (1, 16, 16, 16)
    with pytest.raises(ValueError, match=r"also takes gt_boxes, .* mode \"inference\""):
        model.run_graph([image], outputs_of(model, "mrcnn_class"))
    assert model.keras_model.get_layer("mrcnn_mask").output.shape == (None, 3, 28, 28, 3)


# --- layers and weights -----------------------------------------------------------------------


def test_layers_within_layers_are_found(model):
    convolution = model.keras_model.get_layer("res2a_branch2a")
    assert convolution.name == "res2a_branch2a" and len(convolution.get_weights()) == 2
    norm = model.keras_model.get_layer("bn2a_branch2a")
    assert norm.name == "bn2a_branch2a" and len(norm.get_weights()) == 4
    mask = model.keras_model.get_layer("mrcnn_mask")
    assert len(mask.get_weights()) == 2  # that of the layer of this name
    with pytest.raises(AttributeError, match="mrcnn_class is no layer of its own"):
        model.keras_model.get_layer("mrcnn_class").get_weights()
    with pytest.raises(ValueError, match="No such layer: nonsense"):
        model.keras_model.get_layer("nonsense")
    assert model.keras_model.get_layer(index=0) is model.keras_model.layers[0]


def test_all_weights_belong_to_layers_in_order(model):
    layers = model.get_trainable_layers()
    names = [f"{layer.name}/{weight.name}" for layer in layers for weight in layer.weights]
    assert sorted(names) == sorted(named_variables(model.keras_model))
    assert [layer.name for layer in layers[:3]] == ["conv1", "bn_conv1", "res2a_branch2a"]
    assert model.find_trainable_layer(layers[0]) is layers[0]

    class Wrapper:
        layer = layers[0]

    assert model.find_trainable_layer(Wrapper()) is layers[0]


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_the_keras_model_saves_and_loads(model, tmp_path, name):
    path = str(tmp_path / name)
    model.keras_model.save_weights(path)
    other = tiny_model("training", tmp_path)
    for variable in other.keras_model.weights:
        variable.assign(np.zeros(variable.shape))
    other.keras_model.load_weights(path, by_name=True)
    assert_same_arrays(arrays_of(other.keras_model), arrays_of(model.keras_model))
    with pytest.raises(ValueError, match=r"all or nothing.*exclude=\[\.\.\.\]"):
        other.keras_model.load_weights(path, skip_mismatch=True)


def test_layers_are_frozen_by_name(tmp_path, capsys):
    model = tiny_model("training", tmp_path)
    model.set_trainable(r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)")
    trainable = {weight.path.split("/")[-2] for weight in model.keras_model.trainable_weights}
    assert "mrcnn_mask" in trainable and "rpn_class_raw" in trainable
    assert not any(name.startswith(("res", "bn", "conv1")) for name in trainable)
    assert "mrcnn_class_logits" in capsys.readouterr().out
    with pytest.raises(NotImplementedError, match=r"Give the learning rate \(0\.1\) to train"):
        model.compile(0.1, 0.9)


def test_log_says_shape_and_range(capsys):
    modellib.log("boxes", np.array([[1, 2], [3, -4]]))
    modellib.log("words")
    modellib.log("nothing", np.zeros((0, 4)))
    first, words, nothing = capsys.readouterr().out.splitlines()
    assert first.split() == ["boxes", "(2,", "2)", "-4.00000", "3.00000", "int64"]
    assert words == "words" and "empty" in nothing


# --- detecting molded images ------------------------------------------------------------------


def test_molded_images_are_detected_in_their_own_pixels(model):
    """The truth that `load_image_gt` returns is in the pixels of the prepared image, too."""
    images = [picture(64, 128, seed) for seed in range(3)]  # prepared: 32 rows above, no scaling
    molded, metas, windows = model.mold_inputs(images)
    assert windows.tolist() == [[32, 0, 96, 128]] * 3
    results = model.detect_molded(molded, metas)
    for found, expected in zip(results, model.detect(images), strict=True):
        assert len(expected)
        np.testing.assert_array_equal(found["class_ids"], expected["class_ids"])
        np.testing.assert_allclose(found["rois"], expected["rois"] + [32, 0, 32, 0], atol=1)
        np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4)
        assert found["masks"].shape == (128, 128, len(expected))
        assert not found["masks"][:32].any() and not found["masks"][96:].any()
        assert np.mean(found["masks"][32:96] != expected["masks"]) < 0.01


def test_unmolding_the_outputs_is_detecting(model):
    image = picture(100, 120)
    _, _, windows = model.mold_inputs([image])
    found = model.run_graph([image], outputs_of(model, "mrcnn_detection", "mrcnn_mask"))
    rois, class_ids, scores, masks = model.unmold_detections(
        found["mrcnn_detection"][0], found["mrcnn_mask"][0], image.shape, (128, 128, 3), windows[0]
    )
    (expected,) = model.detect([image])
    assert len(rois)
    np.testing.assert_array_equal(class_ids, expected["class_ids"])
    np.testing.assert_allclose(rois, expected["rois"], atol=1)
    np.testing.assert_allclose(scores, expected["scores"], rtol=1e-4)
    assert np.mean(masks != expected["masks"]) < 0.01
