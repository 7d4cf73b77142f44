"""The second look: crops against how references are cut, scores by hand, the network as before."""

import numpy as np
import pytest
from keras import ops

from mrcnn.config import ConfigError
from mrcnn.ops.boxes import normalize
from mrcnn.weights.hdf5 import layer_of, named_variables
from network_parts import SHAPE, WINDOWS, assert_close, build, random_images, run
from siamese_mrcnn.data.references import prepare_reference
from siamese_mrcnn.modeling.embeddings import FeatureEmbedding
from siamese_mrcnn.modeling.siamese_network import SiameseNetwork
from siamese_mrcnn.modeling.verification import (
    UNTRAINED,
    SimilarityScore,
    SquareCrops,
    VerifiedSelection,
)
from siamese_mrcnn.modeling.weights_layout import VERIFIER_LAYERS
from tiny import TinySiameseConfig, picture

pytestmark = [pytest.mark.backends, pytest.mark.long_on_jax]
FINDS = 4


class VerifiedConfig(TinySiameseConfig):
    VERIFIED_FINDS = FINDS


def cut(images, boxes, side=32):
    """Crops of pixel boxes [batch, N, 4]."""
    boxes = np.asarray(boxes, np.float64)
    places = normalize(boxes, images.shape[1:3]).astype(np.float32)
    return ops.convert_to_numpy(SquareCrops(side)([images, places]))


@pytest.mark.parametrize("box", [(10, 20, 42, 52), (3, 60, 35, 92), (8, 8, 72, 72)])
def test_a_square_is_cut_as_a_reference_is(box):
    image = picture(96, 128)
    y1, x1, y2, x2 = box
    expected = prepare_reference(image[y1:y2, x1:x2], TinySiameseConfig()).astype(np.float32)
    found = cut(image[None], [[box]])[0]
    np.testing.assert_allclose(found, expected, atol=1.01)  # references are cut to whole numbers


def test_the_longer_side_fills_the_square_and_the_rest_is_black():
    image = np.full((1, 96, 128, 3), 200, np.uint8)
    (flat,) = cut(image, [[(40, 16, 56, 80)]])  # a quarter as high as wide
    np.testing.assert_allclose(flat[12:20], 200, rtol=1e-5)
    assert np.all(flat[:12] == 0) and np.all(flat[20:] == 0)
    (empty,) = cut(image, [[(5, 5, 5, 5)]])
    assert np.all(empty == 0)


def test_each_box_is_cut_from_its_image_and_one_image_serves_all():
    images = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (50, 150)])
    boxes = [[(0, 0, 32, 32), (8, 8, 40, 40)], [(0, 0, 32, 32), (16, 16, 48, 48)]]
    assert cut(images, boxes)[:, 16, 16, 0].tolist() == [50, 50, 150, 150]
    assert cut(images[1:], boxes)[:, 16, 16, 0].tolist() == [150] * 4


def test_scores_by_hand():
    layer = SimilarityScore()
    scores = np.array([[0.9, 0.5]], np.float32)
    cosines = np.array([[0.5, -0.5]], np.float32)
    np.testing.assert_allclose(layer([scores, cosines]), scores, rtol=1e-5)  # untrained
    layer.kernel.assign([0.5, 4.0])
    layer.bias.assign([-1.0])
    logits = [0.5 * np.log(9) + 2 - 1, 0 - 2 - 1]
    np.testing.assert_allclose(layer([scores, cosines])[0], 1 / (1 + np.exp(-np.array(logits))))


def test_detections_are_ordered_anew():
    rows = np.zeros((1, 4, 6), np.float32)
    rows[0, :3, :4] = [[0, 0, 0.1, 0.1], [0, 0, 0.2, 0.2], [0, 0, 0.3, 0.3]]
    rows[0, :3, 4], rows[0, :3, 5] = 1, [0.9, 0.8, 0.7]
    scores = np.array([[0.2, 0.05, 0.6, 0.99]], np.float32)  # the last row is padding
    found = ops.convert_to_numpy(VerifiedSelection(0.1)([rows, scores]))[0]
    np.testing.assert_allclose(found[:2, 2], [0.3, 0.1])
    np.testing.assert_allclose(found[:2, 5], [0.6, 0.2])
    assert np.all(found[2:] == 0)


@pytest.fixture(scope="module", params=["shapes", "features"])
def verified(request):
    config = type("Changed", (VerifiedConfig,), {"VERIFIED_BY": request.param})()
    network, model = build(lambda: SiameseNetwork(config), lambda made: made.detection_model(SHAPE))
    network.verifier.score.kernel.assign(UNTRAINED)
    network.verifier.score.bias.assign([0])
    return network, model


@pytest.fixture(scope="module")
def inputs():
    references = random_images(1, 2, 32)[:, None]
    return {"images": random_images(0), "windows": WINDOWS, "references": references}


def test_untrained_it_changes_nothing_but_the_number(verified, inputs):
    _, plain = build(
        lambda: SiameseNetwork(TinySiameseConfig()), lambda made: made.detection_model(SHAPE)
    )
    expected, found = run(plain, inputs), run(verified[1], inputs)
    assert np.count_nonzero(expected["detections"][..., 4]) > FINDS
    np.testing.assert_allclose(
        found["detections"], expected["detections"][:, :FINDS], rtol=1e-4, atol=1e-5
    )
    assert_close(found, expected, ["mrcnn_class", "rois"])


def test_encoded_apart_it_finds_the_same(verified, inputs):
    network, model = verified
    network.verifier.score.kernel.assign([0.3, 2.0])
    pyramid = run(network.query_model(SHAPE), inputs["images"])
    vectors = run(network.reference_model(1), inputs["references"])
    np.testing.assert_allclose(np.linalg.norm(vectors[-1], axis=1), 1, rtol=1e-5)
    encoded = {"pyramid": pyramid, "vectors": vectors, "windows": WINDOWS}
    encoded["images"] = inputs["images"]
    expected = run(model, inputs)
    found = run(network.matched_boxes_model(SHAPE), encoded)
    assert_close(found, expected, ["detections"])
    parts = run(network.similarity_model(SHAPE), encoded)
    chances = parts["detections"][..., 5]
    scores = 1 / (1 + np.exp(-(0.3 * np.log(chances / (1 - chances)) + 2 * parts["similarities"])))
    scores = np.where(parts["detections"][..., 4] > 0, scores, 0)
    ordered = -np.sort(-scores, axis=1)
    np.testing.assert_allclose(expected["detections"][..., 5], ordered, rtol=1e-3, atol=1e-5)
    network.verifier.score.kernel.assign(UNTRAINED)


def test_several_references_are_averaged(verified):
    network, _ = verified
    crops = random_images(4, 3, 32)[None]
    alone = [run(network.reference_model(1), crops[:, n : n + 1])[-1] for n in range(3)]
    together = run(network.reference_model(3), crops)[-1]
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-4, atol=1e-5)


def test_the_original_layout_has_a_place_for_every_layer(verified):
    layers = {layer_of(name) for name in named_variables(verified[1]) if "verify" in name}
    features = {"verify_norm", "verify_embedding", "verify_score"}
    assert layers in (features, set(VERIFIER_LAYERS) - {"verify_norm"})


def test_features_of_a_backbone_by_hand():
    embedding = FeatureEmbedding()
    rng = np.random.default_rng(0)
    maps = [None] * 3 + [rng.normal(size=(5, 4, 4, 3)), rng.normal(size=(5, 2, 2, 6))]
    maps[3:] = [each.astype(np.float32) for each in maps[3:]]
    embedding.vector(embedding.features(maps))
    embedding.norm.moving_mean.assign(rng.normal(size=18))
    embedding.norm.moving_variance.assign(rng.uniform(0.5, 2, 18))
    halved = maps[3].reshape(5, 2, 2, 2, 2, 3).mean(axis=(2, 4)).reshape(5, 12)
    features = np.concatenate([halved, maps[4].mean(axis=(1, 2))], axis=1)
    mean, variance = (
        ops.convert_to_numpy(each)
        for each in (embedding.norm.moving_mean, embedding.norm.moving_variance)
    )
    normed = (features - mean) / np.sqrt(variance + embedding.norm.epsilon)
    kernel, bias = (ops.convert_to_numpy(each) for each in embedding.dense.weights)
    np.testing.assert_allclose(
        ops.convert_to_numpy(embedding.vector(embedding.features(maps))),
        normed @ kernel + bias,
        rtol=1e-4,
        atol=1e-4,
    )


def test_there_is_no_other_embedding():
    config = type("Changed", (VerifiedConfig,), {"VERIFIED_BY": "colours"})()
    with pytest.raises(ConfigError, match='must be "shapes" or "features", but is \'colours\''):
        SiameseNetwork(config)
