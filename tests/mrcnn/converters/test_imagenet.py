"""Backbones trained on ImageNet: Keras' weights, fetched and converted, compute the same maps."""

import hashlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from keras.src.applications import resnet as keras_resnet

from file_server import serving
from mrcnn import resumable_download
from mrcnn.converters import imagenet
from mrcnn.modeling.backbones import BACKBONES
from mrcnn.weights.hdf5 import (
    layer_of,
    named_variables,
    read_weights,
    save_original_weights,
    weight_array,
)
from mrcnn.weights.layout import backbone_layers, flat
from siamese_mrcnn.model import SiameseMaskRCNN
from tiny import (
    TinySiameseConfig,
    arrays_of,
    assert_same_arrays,
    tiny_model,
    tiny_siamese_model,
)

LISTS = Path(__file__).parents[3] / "data"
# The side of an image whose conv1 map has an odd one, so that all pool in the same windows
SIDE = 65
MAPS = ["conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]


# --- Keras' weights ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_model():
    """The ResNet-50 of Keras with random weights and statistics, small variances among them."""
    model = keras.applications.ResNet50(weights=None, include_top=False)
    generator = np.random.default_rng(0)
    variables = named_variables(model)
    for name, variable in variables.items():
        layer, kind = name.split("/")
        if kind == "moving_variance":
            variance = 10 ** generator.uniform(-5, 0, variable.shape)
            variable.assign(variance)
            gamma = np.sqrt(variance) * generator.uniform(0.5, 1.5, variable.shape)
            variables[f"{layer}/gamma"].assign(gamma)
        elif kind in ("bias", "beta", "moving_mean"):
            variable.assign(generator.normal(0, 0.1, variable.shape))
    return model


@pytest.fixture(scope="module")
def published(keras_model, tmp_path_factory):
    """A folder with the weights as Keras distributes them: written by Keras 2, layer by layer."""
    path = tmp_path_factory.mktemp("published") / imagenet.KERAS_FILE.format("resnet50")
    with h5py.File(path, "w") as file:
        layers = keras_model.layers
        file.attrs["layer_names"] = np.array([layer.name for layer in layers], dtype=np.bytes_)
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = np.array(names, dtype=np.bytes_)
            for name, weight in zip(names, layer.weights, strict=True):
                group.create_dataset(name, data=weight_array(weight))
    yield path.parent
    path.unlink()  # a hundred megabytes


@pytest.fixture
def fetching_from(monkeypatch, tmp_path):
    """Lets weights be fetched from another address, into a cache of the test's own."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(resumable_download, "WAITS", ())

    def redirect(address, content):
        monkeypatch.setattr(imagenet, "KERAS_ADDRESS", address)
        facts = len(content), hashlib.md5(content).hexdigest()
        monkeypatch.setitem(imagenet.KERAS_FILES, "resnet50", facts)

    return redirect


def maps_of(backbone, images):
    """C2..C5 of one of our ResNets."""
    inputs = keras.Input(images.shape[1:])
    maps = keras.Model(inputs, backbone(inputs)[1:])(images)
    return [ops.convert_to_numpy(each) for each in maps]


def test_what_keras_distributes_is_fetched_converted_and_kept(
    keras_model, published, fetching_from, tmp_path
):
    checkpoints = tmp_path / "checkpoints"
    (file,) = published.iterdir()
    model = SiameseMaskRCNN("inference", tmp_path, TinySiameseConfig())
    model.epoch = 7
    with serving({f"/{file.name}": file.read_bytes()}) as server:
        fetching_from(f"{server.url}/", file.read_bytes())
        report = model.load_imagenet_weights("imagenet-1k", checkpoints)
    assert server.asked == [(f"/{file.name}", "bytes=0-")]
    assert model.epoch == 0
    assert [path.name for path in checkpoints.iterdir()] == ["imagenet_1k.h5"]
    assert len(report.loaded) == 53 * 2 + 53 * 4 and not report.unexpected
    assert all(layer_of(name).startswith(("fpn", "rpn", "mrcnn")) for name in report.missing)

    images = np.random.default_rng(1).normal(0, 60, (1, SIDE, SIDE, 3)).astype(np.float32)
    theirs = keras.Model(
        keras_model.inputs[0], [keras_model.get_layer(name).output for name in MAPS]
    )(images[..., ::-1])  # BGR
    for ours, expected in zip(maps_of(model.network.backbone, images), theirs, strict=True):
        expected = ops.convert_to_numpy(expected)
        assert ours.shape == expected.shape
        assert np.abs(expected).max() > 1e-2
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * np.abs(expected).max())

    # The next model takes the converted file: nothing is there to fetch.
    fetching_from("http://127.0.0.1:1/", b"a file")
    before = arrays_of(model.keras_model)
    for variable in model.keras_model.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    model.load_imagenet_weights("imagenet-1k", checkpoints)
    after = arrays_of(model.keras_model)
    for name in report.loaded:
        np.testing.assert_array_equal(after[name], before[name])
    for path in (checkpoints / "imagenet_1k.h5", tmp_path / "cache" / "models" / file.name):
        path.unlink()  # a hundred megabytes each


@pytest.mark.parametrize("name", ["keras2.h5", "keras3.h5", "keras3.weights.h5"])
def test_all_layouts_of_keras_are_read_by_name(keras_model, published, tmp_path, name):
    (path,) = published.iterdir()
    if name == "keras3.h5":
        path = tmp_path / name
        keras_model.save(path)
    elif name == "keras3.weights.h5":
        path = tmp_path / name
        keras_model.save_weights(path)
    assert_same_arrays(read_weights(path), arrays_of(keras_model))
    if path.parent == tmp_path:
        path.unlink()


def test_the_deeper_resnet_has_the_same_names():
    layers = {layer.name for layer in keras.applications.ResNet101(weights=None).layers}
    weighted = {name for name in layers if name.endswith(("_conv", "_bn"))}
    assert {imagenet.keras_layer(layer) for layer in backbone_layers("resnet101")} == weighted


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("conv1", "conv1_conv"),
        ("bn_conv1", "conv1_bn"),
        ("res2a_branch1", "conv2_block1_0_conv"),
        ("bn3d_branch2a", "conv3_block4_1_bn"),
        ("res4w_branch2c", "conv4_block23_3_conv"),
    ],
)
def test_names_by_hand(ours, theirs):
    assert imagenet.keras_layer(ours) == theirs


@pytest.mark.parametrize("backbone", imagenet.KERAS_FILES)
def test_the_files_are_those_that_keras_itself_fetches(backbone):
    assert imagenet.KERAS_ADDRESS == keras_resnet.BASE_WEIGHTS_PATH
    assert imagenet.KERAS_FILES[backbone][1] == keras_resnet.WEIGHTS_HASHES[backbone][1]


# --- fetching fails ----------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_told(fetching_from, tmp_path):
    with serving({}) as server:
        fetching_from(f"{server.url}/", b"a file")
        with pytest.raises(OSError, match=r"http://127.*\.h5: the server answers 404"):
            imagenet.imagenet_file("imagenet-1k", "resnet50", tmp_path / "checkpoints")
    assert server.asked
    assert not (tmp_path / "checkpoints").exists()


def test_without_a_network_the_sentence_says_what_to_do(fetching_from, tmp_path):
    fetching_from("http://127.0.0.1:1/", b"a file")
    with pytest.raises(OSError, match=r"cannot be reached .* elsewhere and put it .*cache/models"):
        imagenet.imagenet_file("imagenet-1k", "resnet50", tmp_path)


def test_another_file_than_expected_is_refused(fetching_from, tmp_path):
    name = imagenet.KERAS_FILE.format("resnet50")
    with serving({f"/{name}": b"a damage"}) as server:
        fetching_from(f"{server.url}/", b"the file")
        with pytest.raises(OSError, match=r"its checksum is another.*Or fetch http://127"):
            imagenet.imagenet_file("imagenet-1k", "resnet50", tmp_path / "checkpoints")
        assert not (tmp_path / "checkpoints").exists()
        # It is fetched anew, once it is right.
        server.files[f"/{name}"] = b"the file"
        assert imagenet.fetch_keras_weights("resnet50").read_bytes() == b"the file"


# --- files in the folder -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [tiny_model, tiny_siamese_model])
def test_a_file_that_is_there_gives_the_backbone_and_nothing_else(make, tmp_path):
    model = make("inference", tmp_path)
    own = arrays_of(model.keras_model)
    heads = {name for name in own if layer_of(name).startswith(("fpn", "rpn", "mrcnn"))}
    for number, (pretraining, file) in enumerate(BACKBONES["resnet50"].imagenet.items(), start=1):
        changed = {name: array + number for name, array in own.items() if name not in heads}
        path = tmp_path / file
        save_original_weights(changed, path, flat(dict.fromkeys(map(layer_of, changed))))
        report = model.load_imagenet_weights(pretraining, tmp_path)
        assert set(report.missing) == heads
        assert_same_arrays(arrays_of(model.keras_model), own | changed)
        assert model.checkpoint == path


@pytest.mark.parametrize("pretraining", ["imagenet-771", "imagenet-687"])
def test_a_missing_file_is_told_with_its_publisher(pretraining, tmp_path):
    sentence = rf"{pretraining.replace('-', '_')}\.h5.*github\.com/bethgelab.*into {tmp_path}"
    with pytest.raises(FileNotFoundError, match=sentence):
        imagenet.imagenet_file(pretraining, "resnet50", tmp_path)


def test_there_are_three_of_them(tmp_path):
    with pytest.raises(ValueError, match=r"imagenet-1k, imagenet-771, imagenet-687, .* is 'coco'"):
        imagenet.imagenet_file("coco", "resnet50", tmp_path)


def test_the_small_sets_know_one_backbone(tmp_path):
    (tmp_path / "imagenet_687.h5").touch()
    with pytest.raises(ValueError, match="trained as resnet50, but BACKBONE is resnet101"):
        imagenet.imagenet_file("imagenet-687", "resnet101", tmp_path)


# --- lists of classes --------------------------------------------------------------------------


def test_the_lists_hold_as_many_classes_as_their_names_say():
    lists = {
        count: (LISTS / f"imagenet_{count}.txt").read_text().splitlines() for count in (687, 771)
    }
    for count, synsets in lists.items():
        assert len(synsets) == count
        assert synsets == sorted(set(synsets))
        assert all(len(each) == 9 and each[0] == "n" and each[1:].isdigit() for each in synsets)
    assert set(lists[687]) < set(lists[771])  # COCO has all categories of PASCAL VOC
    zebra, beagle, goldfish = "n02391049", "n02088364", "n01443537"
    assert zebra in lists[771] and zebra not in lists[687]
    assert beagle not in lists[771]
    assert goldfish in lists[687]
