"""The COCO sample: what it reads by hand, what it trains in which order, what it measures."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import coco_folder
from mrcnn.data.postprocessing import Detections
from mrcnn.images.masks import boxes_of_masks
from siamese_mrcnn.data import coco_download as downloads
from siamese_mrcnn.data.coco_annotations import AnnotationError
from siamese_mrcnn.training.schedules import Phase
from small import FewOfAll

FILE = Path(__file__).parents[2] / "samples" / "coco" / "coco.py"
DOG, CAT = 7, 3  # ids of `coco_folder`, whose images are 11, 5 and 8
OUTLINE, SQUARE = coco_folder.square(2, 3, 5)
OTHER_OUTLINE, OTHER = coco_folder.square(6, 8, 4)


@pytest.fixture(scope="module")
def sample():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("coco_sample", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def annotations():
    """A dog, a cat and a crowd of dogs in image 11, a cat in image 8, nothing in image 5."""
    crowd = coco_folder.compressed_run_lengths(OTHER)
    return [
        coco_folder.annotation(1, 11, DOG, [OUTLINE]),
        coco_folder.annotation(2, 11, CAT, [OTHER_OUTLINE]),
        coco_folder.annotation(3, 11, DOG, crowd, iscrowd=1),
        coco_folder.annotation(4, 8, CAT, [OUTLINE]),
    ]


def add_subset(folder, subset, year, images=None):
    """Make the val2017 of a new COCO folder another subset of this one."""
    made = coco_folder.write(folder.with_name(f"{subset}{year}"), annotations())
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    name = f"instances_{subset}{year}.json"
    (made / "annotations/instances_val2017.json").rename(folder / "annotations" / name)
    (made / "val2017").rename(folder / (images or f"{subset}{year}"))


@pytest.fixture
def folder(tmp_path):
    """COCO 2017 of three images to train and the same three to test."""
    add_subset(tmp_path / "coco", "train", 2017)
    add_subset(tmp_path / "coco", "val", 2017)
    return tmp_path / "coco"


# --- the data ---------------------------------------------------------------------------------


def test_the_data_by_hand(sample, folder):
    dataset = sample.CocoDataset()
    coco = dataset.load_coco(folder, "val", return_coco=True)
    dataset.prepare()
    assert dataset.class_names == ["BG", "cat", "dog"]  # in the order of their ids
    assert [info["id"] for info in dataset.image_info] == [5, 8, 11] == sorted(coco.imgs)
    assert dataset.load_image(2).tolist() == np.full((12, 16, 3), 11).tolist()
    masks, class_ids = dataset.load_mask(2)
    assert class_ids.tolist() == [2, 1, -2]  # the crowd last
    np.testing.assert_array_equal(np.moveaxis(masks, -1, 0), [SQUARE, OTHER, OTHER])
    masks, class_ids = dataset.load_mask(0)
    assert masks.shape == (12, 16, 0) and not len(class_ids)
    assert dataset.load_coco(folder, "train") is None


def test_some_categories_alone(sample, folder):
    dataset = sample.CocoDataset()
    dataset.load_coco(folder, "val", class_ids=[DOG])
    dataset.prepare()
    assert dataset.class_names == ["BG", "dog"]
    assert [info["id"] for info in dataset.image_info] == [11]
    assert dataset.load_mask(0)[1].tolist() == [1, -1]
    with pytest.raises(ValueError, match=r"class_ids holds 4, but .* are \[3, 7\]"):
        sample.CocoDataset().load_coco(folder, "val", class_ids=[DOG, 4])


def test_several_files_and_other_sources(sample, folder):
    for subset in ("train", "minival"):
        images = "val2014" if subset == "minival" else None
        add_subset(folder, subset, 2014, images)
    (folder / "annotations/instances_minival2014.json").rename(
        folder / "annotations/instances_valminusminival2014.json"
    )
    dataset = sample.open_coco(folder, sample.TRAINING["2014"], "2014")
    assert dataset.num_images == 6 and dataset.num_classes == 3
    folders = [Path(info["path"]).parent.name for info in dataset.image_info]
    assert folders == ["train2014"] * 3 + ["val2014"] * 3
    dataset.add_class("mine", 1, "cup")
    dataset.add_image("mine", 1, dataset.image_info[0]["path"])
    dataset.prepare()
    masks, class_ids = dataset.load_mask(6)
    assert masks.shape == (12, 16, 0) and not len(class_ids)
    assert dataset.load_mask(2)[1].tolist() == [2, 1, -2]
    with pytest.raises(FileNotFoundError, match=r"instances_minival2014\.json.* use --year 2017"):
        dataset.load_coco(folder, "minival", "2014")


def test_what_is_missing_is_named(sample, folder):
    with pytest.raises(FileNotFoundError, match=r"no annotation file .*instances_val2014\.json"):
        sample.open_coco(folder, ("val",), "2014")
    (folder / "val2017").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"folder of images .*Unpack val2017\.zip there"):
        sample.open_coco(folder, ("val",))
    (folder / "annotations/instances_train2017.json").write_text("{}")
    with pytest.raises(AnnotationError, match="no list of images"):
        sample.open_coco(folder, ("train",))


def test_what_is_fetched(sample, folder, monkeypatch):
    fetched = []
    monkeypatch.setattr(downloads, "download", lambda *arguments: fetched.append(arguments))
    monkeypatch.setattr(sample, "train", lambda *arguments: "W.h5")
    monkeypatch.setattr(sample, "evaluate", lambda *arguments: None)
    sample.main(["train", "--dataset", str(folder), "--model", "coco"])
    assert not fetched
    for command in ("train", "evaluate"):
        sample.main([command, "--dataset", str(folder), "--model", "coco", "--download"])
    sample.CocoDataset().load_coco(folder, "train", auto_download=True)
    parts = [("annotations", "train", "val"), ("annotations", "val"), ("annotations", "train")]
    assert fetched == [(folder, each) for each in parts]
    with pytest.raises(SystemExit, match=r"2017 can be fetched, not 2014. Get train2014\.zip"):
        sample.main(["train", "--dataset", "x", "--model", "coco", "--download", "--year", "2014"])


# --- weights and stages -----------------------------------------------------------------------


def test_a_backbone_cannot_be_evaluated(sample, folder):
    with pytest.raises(SystemExit, match="'imagenet' are to start training from"):
        sample.main(["evaluate", "--dataset", str(folder), "--model", "imagenet"])


def test_three_stages_that_lie_ahead(sample, folder, monkeypatch):
    class Trained:
        def __init__(self, mode, config, model_dir):
            assert mode == "training" and model_dir == "logs"
            self.epoch, self.stages = 40, []

        def load_weights(self, path, by_name):
            self.epoch = int(path)

        def train(self, training, validation, rate, epochs, layers, augmentation):
            assert (training.num_images, validation.num_images) == (3, 3)
            (image, _), flips = (np.arange(6).reshape(1, 2, 3), None), set()
            rng = np.random.default_rng(0)
            for _ in range(20):
                changed, _ = augmentation(image, image, rng)
                flips.add(bool((changed == image[:, ::-1]).all()))
            assert flips == {True, False}
            self.stages.append((epochs, layers, rate))

        def find_last(self):
            return self.stages

    monkeypatch.setattr(sample.modellib, "MaskRCNN", Trained)
    config = type("Few", (sample.CocoConfig,), {"NUM_CLASSES": 3})()
    stages = [(40, "heads", 0.001), (120, "4+", 0.001), (160, "all", 0.0001)]
    assert sample.train(config, folder, "logs", "0") == stages
    assert sample.train(config, folder, "logs", "50") == stages[1:]
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 81, but .* has 3 classes"):
        sample.train(sample.CocoConfig(), folder, "logs", "0")


# --- the metrics ------------------------------------------------------------------------------


class Knows:
    """Answers with the truth of a data set, and sees a cat where nothing is."""

    def __init__(self, dataset, config, path):
        self.config, self.dataset, self.checkpoint = config, dataset, path

    def load_weights(self, path, by_name):
        Path(path).write_text("weights")

    def detect(self, images):
        (image,) = images
        image_id = [info["id"] for info in self.dataset.image_info].index(image[0, 0, 0])
        masks, class_ids = self.dataset.load_mask(image_id)
        masks, class_ids = masks[..., class_ids > 0], class_ids[class_ids > 0]
        if not len(class_ids):
            masks, class_ids = SQUARE[..., None], np.array([1])
        scores = np.full(len(class_ids), 0.5, np.float32)
        found = {"rois": boxes_of_masks(masks), "class_ids": class_ids, "masks": masks}
        return [Detections(found, scores=scores)]


def test_the_metrics_of_known_detections(sample, folder, tmp_path, monkeypatch, capsys):
    dataset = sample.open_coco(folder, ("val",))
    config = type("Few", (sample.CocoConfig,), {"NUM_CLASSES": 3})()
    path = tmp_path / "weights.h5"
    monkeypatch.setattr(
        sample.modellib, "MaskRCNN", lambda mode, config, model_dir: Knows(dataset, config, path)
    )
    report = sample.evaluate(config, folder, tmp_path, path)
    of_class = {entry["name"]: entry for entry in report["classes"]}
    for kind in ("bbox", "segm"):
        assert of_class["dog"][kind]["mean"] == pytest.approx(1)
        # The cat that is none is in image 5, of which the first detections are: it comes first.
        assert of_class["cat"][kind]["mean"] == pytest.approx(2 / 3, abs=1e-3)
        assert report[kind]["AP"]["mean"] == pytest.approx(5 / 6, abs=1e-3)
    saved = tmp_path / "evaluation_coco_val2017" / "report.json"
    assert json.loads(saved.read_text()) == report
    printed = capsys.readouterr().out
    assert "| AP | 83.3 | 83.3 |" in printed and str(saved) in printed


# --- all of it --------------------------------------------------------------------------------


def test_a_trial(sample, folder, tmp_path, monkeypatch, capsys):
    class TinyConfig(FewOfAll, sample.CocoConfig):
        NUM_CLASSES = 3
        STEPS_PER_EPOCH = VALIDATION_STEPS = 1
        RUN_EAGERLY = True
        BACKBONE = "resnet18"
        BACKBONE_WIDTH = TOP_DOWN_PYRAMID_SIZE = RPN_CHANNELS = 16
        FPN_CLASSIF_FC_LAYERS_SIZE = 16
        MASK_HEAD_CHANNELS = 8

    logs = tmp_path / "logs"
    monkeypatch.setattr(sample, "CocoConfig", TinyConfig)
    monkeypatch.setattr(sample, "STAGES", (Phase(1, "heads", 0.001),))
    options = ["--dataset", str(folder), "--logs", str(logs)]
    sample.main(["train", *options, "--model", "none"])
    (latest,) = logs.glob("coco*/mask_rcnn_coco_0001.weights.h5")
    printed = capsys.readouterr().out
    assert f"Saved: {latest}" in printed
    sample.main(["evaluate", *options, "--model", "last", "--limit", "2"])
    assert "# Evaluation, profile coco" in capsys.readouterr().out
    report = json.loads((logs / "evaluation_coco_val2017" / "report.json").read_text())
    assert report["images"] == 2 and {"bbox", "segm"} <= set(report)
