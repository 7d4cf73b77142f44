import numpy as np
import pytest
from keras import ops

from mrcnn.weights.hdf5 import named_variables
from network_parts import SHAPE, WINDOWS, assert_close, build, random_images, run
from siamese_mrcnn.modeling.siamese_network import SiameseNetwork
from tiny import TinySiameseConfig

pytestmark = [pytest.mark.backends, pytest.mark.long_on_jax]
RPN_OUTPUTS = ("rpn_class_logits", "rpn_bbox", "rois")


class ThreeShotsConfig(TinySiameseConfig):
    NUM_TARGETS = 3


def references(seed=1, batch=2, shots=1):
    return random_images(seed, batch * shots, 32).reshape(batch, shots, 32, 32, 3)


def vectors_of(network, *arguments):
    return [ops.convert_to_numpy(each) for each in network.encode_references(*arguments)]


@pytest.fixture(scope="module")
def detecting():
    return build(
        lambda: SiameseNetwork(TinySiameseConfig()), lambda made: made.detection_model(SHAPE)
    )


@pytest.fixture(scope="module")
def inputs():
    return {"images": random_images(0), "windows": WINDOWS, "references": references()}


@pytest.fixture(scope="module")
def outputs(detecting, inputs):
    return run(detecting[1], inputs)


def test_a_reference_becomes_one_vector_a_level(detecting):
    network, _ = detecting
    vectors = vectors_of(network, references())
    assert [each.shape for each in vectors] == [(2, 16)] * 5
    pyramid = network.encode(references()[:, 0])
    for level, vector in zip(pyramid, vectors, strict=True):
        expected = ops.convert_to_numpy(level).mean(axis=(1, 2))
        np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-4)


def test_several_references_become_the_mean_of_their_vectors(detecting):
    network, _ = detecting
    crops = references(shots=3)
    alone = [vectors_of(network, crops[:, shot : shot + 1]) for shot in range(3)]
    together = vectors_of(network, crops)
    for level in range(5):
        expected = np.mean([vectors[level] for vectors in alone], axis=0)
        assert np.abs(expected - alone[0][level]).max() > 1e-3
        np.testing.assert_allclose(together[level], expected, rtol=1e-4, atol=1e-4)


def test_references_may_be_fed_raw(detecting):
    network, _ = detecting
    crops = references().astype(np.float32)
    raw = vectors_of(network, crops, False)
    shifted = vectors_of(network, crops + network.config.MEAN_PIXEL.astype(np.float32))
    for one, two in zip(raw, shifted, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
    assert np.abs(raw[0] - vectors_of(network, crops)[0]).max() > 1


def test_raw_references_are_for_detecting_alone(detecting, inputs, monkeypatch):
    network, _ = detecting
    images = network.encode(inputs["images"])
    raw, subtracted = (network.encode_references(references(), mean) for mean in (False, True))
    monkeypatch.setattr(network.config, "SUBTRACT_MEAN_FROM_REFERENCE", False)
    found = run(network.reference_model(1), references())
    assert_close(found, raw, range(5))
    assert_close(network.detect(inputs, SHAPE)[0], network.match(images, raw), range(5))
    assert_close(network.features(inputs), network.match(images, subtracted), range(5))


def test_outputs_serve_every_class(outputs):
    shapes = {name: values.shape for name, values in outputs.items()}
    assert shapes["mrcnn_class"] == (2, 20, 2)
    assert shapes["mrcnn_bbox"] == (2, 20, 1, 4)
    assert shapes["mrcnn_mask"] == (2, 6, 28, 28, 1)
    assert set(outputs["detections"][..., 4].ravel()) <= {0, 1}


def test_query_and_reference_may_be_encoded_apart(detecting, inputs, outputs):
    network, _ = detecting
    pyramid = run(network.query_model(SHAPE), inputs["images"])
    vectors = run(network.reference_model(1), inputs["references"])
    encoded = {"pyramid": pyramid, "vectors": vectors, "windows": WINDOWS}
    found = run(network.matched_boxes_model(SHAPE), encoded)
    assert_close(found, outputs, ["detections"])
    assert [level.shape[-1] for level in found["pyramid"]] == [24] * 4
    boxes = outputs["detections"][..., :4]
    masks = run(network.masks_model(SHAPE, 6), {"pyramid": found["pyramid"], "boxes": boxes})
    assert_close({"mrcnn_mask": masks}, outputs, ["mrcnn_mask"])


def test_parts_give_on_their_own_what_they_give_inside_of_the_model(detecting, inputs, outputs):
    network, _ = detecting
    vectors = network.encode_references(inputs["references"])
    matched = network.match(network.encode(inputs["images"]), vectors)
    assert_close(network.propose(matched, SHAPE, 20), outputs, RPN_OUTPUTS)
    answers = network.box_head(outputs["rois"], matched[:4], SHAPE)
    assert_close(answers, outputs, ["mrcnn_class", "mrcnn_bbox"])


def test_every_query_is_matched_with_its_own_reference(detecting, inputs, outputs):
    _, model = detecting
    swapped = run(model, {**inputs, "references": inputs["references"][::-1]})
    assert np.abs(swapped["rpn_bbox"] - outputs["rpn_bbox"]).max() > 1e-3
    twice = run(model, {name: values[[1, 1]] for name, values in inputs.items()})
    expected = {name: values[[1, 1]] for name, values in outputs.items()}
    assert_close(twice, expected, RPN_OUTPUTS)


def test_as_many_references_as_configured():
    network = SiameseNetwork(ThreeShotsConfig())
    for inputs in (network.training_inputs(SHAPE), network.detection_inputs(SHAPE)):
        assert inputs["references"].shape == (None, 3, 32, 32, 3)


def test_matching_adds_one_convolution_a_level(detecting):
    names = set(named_variables(detecting[1]))
    added = {name for name in names if name.startswith("fpn_distance")}
    assert added == {
        f"fpn_distance_P{n}/{kind}" for n in range(2, 7) for kind in ("kernel", "bias")
    }


def test_the_pyramid_is_never_negative(detecting):
    network, _ = detecting
    for level in network.encode(random_images(2)):
        values = ops.convert_to_numpy(level)
        assert values.min() == 0 < values.max()
