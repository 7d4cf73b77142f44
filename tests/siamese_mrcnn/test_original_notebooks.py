"""What the notebooks of the original call: `from lib import utils as siamese_utils`."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from setuptools import Distribution

from coco_folder import annotation, square, write
from mrcnn import visualize
from mrcnn.data.postprocessing import Detections
from mrcnn.model import load_image_gt
from siamese_mrcnn.config import ShapesConfig

ROOT = Path(__file__).parents[2]
PLACES = {11: (2, 1, 6), 5: (4, 3, 5), 8: (1, 7, 8)}  # of the square in each image: y, x, size


@pytest.fixture
def siamese_utils(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("lib.utils")


@pytest.fixture
def loaded(siamese_utils, tmp_path):
    """The data set of a folder with a cat (class 1) in image 5 and dogs (2) in 11 and 8."""
    annotations = [
        annotation(number, image, 3 if image == 5 else 7, [square(*place)[0]], area=place[2] ** 2)
        | {"bbox": [place[1], place[0], place[2], place[2]]}
        for number, (image, place) in enumerate(PLACES.items(), start=1)
    ]
    write(tmp_path / "coco", annotations)
    dataset = siamese_utils.IndexedCocoDataset()
    coco = dataset.load_coco(tmp_path / "coco", subset="val", year="2017", return_coco=True)
    dataset.prepare()
    dataset.build_indices()
    return dataset, coco


class Config(ShapesConfig):
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    TARGET_MIN_DIM = TARGET_MAX_DIM = 32


class FindsSquares:
    """Knows by the grey of an image where its square is, and finds it where asked to."""

    config = Config()

    def __init__(self, found=(5, 8, 11)):
        self.found = found

    def encode_queries(self, images):
        return images

    def encode_references(self, references):
        return [np.zeros((len(references), 1), np.float32)]

    def detect_encoded(self, queries, vectors):
        grey = int(queries[0][0, 0, 0])
        y, x, size = PLACES[grey]
        count = int(grey in self.found)
        mask = square(y, x, size)[1][..., None][..., :count]
        box = np.array([[y, x, y + size, x + size]], np.int32)[:count]
        ones = np.ones(count)
        found = Detections(rois=box, class_ids=ones.astype(int), scores=0.9 * ones, masks=mask)
        return [found] * len(vectors[0])


def box_of(dataset, source_id):
    """Box of the only square of an image, in the prepared image."""
    image_id = dataset.map_source_image_id(f"coco.{source_id}")
    return load_image_gt(dataset, Config(), image_id)[3][0]


def test_indices_of_classes_and_images(loaded):
    dataset, coco = loaded
    images = [info["id"] for info in dataset.image_info]
    assert sorted(coco.imgs) == sorted(images) == [5, 8, 11]
    classes = {5: [1], 8: [2], 11: [2]}
    assert dataset.image_category_index == [classes[image] for image in images]
    shown = [[images[place] for place in each] for each in dataset.category_image_index]
    assert shown[0] == [] and shown[1] == [5] and sorted(shown[2]) == [8, 11]


def test_active_classes_before_and_after_loading(siamese_utils, loaded, tmp_path):
    dataset, _ = loaded
    dataset.ACTIVE_CLASSES = np.arange(1, 81)  # as of all of COCO
    assert dataset.ACTIVE_CLASSES.tolist() == [1, 2]
    dataset.ACTIVE_CLASSES = np.array([2])
    assert dataset.active_classes == (2,)
    early = siamese_utils.IndexedCocoDataset()
    early.set_active_classes(np.array([1]))
    assert early.load_coco(tmp_path / "coco", "val") is None
    assert early.ACTIVE_CLASSES.tolist() == [1]
    with pytest.raises(ValueError, match="must be some of 1 to 2"):
        early.set_active_classes([7])


def test_parts_of_a_subset(siamese_utils, loaded, tmp_path):
    whole = {info["id"] for info in loaded[0].image_info}
    parts = []
    for name in ("train", "val"):
        dataset = siamese_utils.IndexedCocoDataset()
        dataset.load_coco(tmp_path / "coco", subset="val", subsubset=name, year="2017")
        parts.append({info["id"] for info in dataset.image_info})
    assert parts[0] | parts[1] == whole and not parts[0] & parts[1] and len(parts[1]) == 1


def test_a_target_is_a_prepared_reference(siamese_utils, loaded):
    dataset, _ = loaded
    target = siamese_utils.get_one_target(1, dataset, Config())
    # The grey of the only cat's image, and padding.
    assert target.shape == (32, 32, 3) and set(target.ravel().tolist()) == {0, 5}
    again, size = siamese_utils.get_one_target(1, dataset, Config(), return_original_size=True)
    y1, x1, y2, x2 = box_of(dataset, 5)
    assert size == (y2 - y1, x2 - x1, 3)
    np.testing.assert_array_equal(again, target)
    *_, window, scale, padding, crop = siamese_utils.get_one_target(
        1, dataset, Config(), return_all=True
    )
    assert (crop, padding[2]) == (None, (0, 0)) and scale == 32 / max(size)
    assert (window[2] - window[0], window[3] - window[1]) == tuple(
        round(scale * side) for side in size[:2]
    )
    with pytest.raises(ValueError, match="not augmented"):
        siamese_utils.get_one_target(1, dataset, Config(), augmentation=True)


def test_batches_in_the_original_order(siamese_utils, loaded):
    dataset, config = loaded[0], Config()
    batches = siamese_utils.siamese_data_generator(dataset, config, batch_size=3)
    inputs, outputs = next(batches)
    assert outputs == [] and [len(each) for each in inputs] == [3] * 8
    images, _, targets, match, _, class_ids, boxes, masks = inputs
    assert images.shape == (3, 64, 64, 3) and targets.shape == (3, 1, 32, 32, 3)
    greys = np.rint(images.max(axis=(1, 2)) + config.MEAN_PIXEL)[:, 0]
    assert sorted(greys) == [5, 8, 11]  # each image once in a pass
    assert class_ids[:, :2].tolist() == [[1, 0]] * 3 and match.shape[2] == 1
    for row, grey in enumerate(greys):
        np.testing.assert_array_equal(boxes[row, 0], box_of(dataset, int(grey)))
    assert masks.shape[-1] == config.MAX_GT_INSTANCES
    assert len(next(batches)[0]) == 8


@pytest.mark.parametrize("verbose", [0, 1])
def test_evaluation_prints_cocos_metrics(siamese_utils, loaded, verbose, capsys):
    dataset, coco = loaded
    dataset.ACTIVE_CLASSES = np.array([1, 2])
    arguments = {"eval_type": ["bbox", "segm"], "verbose": verbose, "return_results": True}
    found = siamese_utils.evaluate_dataset(FindsSquares(), dataset, coco, **arguments)
    assert found.stats[0] == pytest.approx(1) and found.params.iouType == "segm"
    assert ("Average Precision" in capsys.readouterr().out) == bool(verbose)
    cats, dogs = (
        siamese_utils.evaluate_coco(
            FindsSquares(found=(5,)), dataset, coco, class_index=index, verbose=0,
            return_results=True,
        ).stats[0]
        for index in (np.array([0]), np.array([1]))
    )  # fmt: skip
    assert (cats, dogs) == (pytest.approx(1), 0)
    nothing = siamese_utils.evaluate_dataset(FindsSquares(()), dataset, coco, **arguments)
    assert nothing.stats[0] == 0


def test_some_images_are_evaluated(siamese_utils, loaded):
    dataset, coco = loaded
    (cat,) = dataset.category_image_index[1]
    for choice in ({"image_ids": [cat]}, {"limit": 1}):
        found = siamese_utils.evaluate_dataset(
            FindsSquares(), dataset, coco, verbose=0, return_results=True, **choice
        )
        expected = [cat] if "image_ids" in choice else [0]
        assert found.params.imgIds == [dataset.image_info[each]["id"] for each in expected]
    assert dataset.num_images == len(dataset.image_ids) == 3


def test_results_are_drawn(siamese_utils, loaded):
    image = np.full((12, 16, 3), 5, np.uint8)
    (found,) = FindsSquares().detect_encoded([image], [np.zeros((1, 1))])
    parts = [found[name] for name in ("rois", "masks", "class_ids", "scores")]
    figure = siamese_utils.display_results(image[:4, :4], image, *parts, figsize=(16, 16))
    assert isinstance(figure, visualize.Picture)
    grid = siamese_utils.display_grid(*([each] * 2 for each in (image[:4, :4], image, *parts)))
    assert len(grid.axes) >= 2


def test_configuration_and_model_have_the_original_names(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    config = importlib.import_module("lib.config").Config
    model = importlib.import_module("lib.model").SiameseMaskRCNN
    asked = []
    monkeypatch.setattr(
        "siamese_mrcnn.model.SiameseMaskRCNN.load_imagenet_weights",
        lambda self, *arguments: asked.append(arguments),
    )
    unmade = model.__new__(model)
    unmade.config = type("Mine", (config,), {"CHECKPOINT_DIR": "there/", "EXPERIMENT": "i1"})()
    unmade.load_imagenet_weights(pretraining="imagenet-771")
    assert asked == [("imagenet-771", "there/")] and unmade.config.TARGET_PADDING


def test_lib_is_no_package_of_the_distribution(monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = Distribution()
    distribution.parse_config_files()
    distribution.set_defaults()
    assert {name.split(".")[0] for name in distribution.packages} == {"mrcnn", "siamese_mrcnn"}
    assert not distribution.py_modules
