"""The benchmark's table, by a detector that knows the truth, and the demo on random weights."""

import re
from pathlib import Path

import pytest

from command_line import call, refused
from mrcnn.weights.hdf5 import named_variables, read_weights
from siamese_mrcnn import demo
from siamese_mrcnn.config import GlyphConfig
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.saved_reports import load_reports
from siamese_mrcnn.experiments.benchmark import Row, run_benchmark
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.synthetic import glyphs
from siamese_mrcnn.synthetic.glyph_categories import GlyphCategory
from siamese_mrcnn.synthetic.glyph_font import character_kind, character_name, named_characters
from stand_ins import TruthDetector


def test_who_knows_the_truth_finds_all_unless_it_is_moved(shapes_folder, tmp_path):
    testing = CocoDataset.from_folder(shapes_folder, "train")
    reports = run_benchmark(
        TruthDetector(testing), testing, 1, tmp_path, shots=(1,), progress=False
    )
    assert [row.title for row in reports] == [
        "novel, 1-shot",
        "seen, 1-shot",
        "novel, 1-shot, at random",
    ]
    novel, seen, chance = reports.values()
    assert {entry["name"] for entry in novel["classes"]}.isdisjoint(
        entry["name"] for entry in seen["classes"]
    )
    for report in (novel, seen):
        assert report["bbox"]["AP"]["mean"] == pytest.approx(1)
    assert chance["bbox"]["AP50"]["mean"] < 0.1
    table = (tmp_path / "benchmark.md").read_text()
    assert "| classes | boxes AP | boxes AP50 | masks AP | masks AP50 |" in table
    assert "| novel, 1-shot | 100.0 | 100.0 |" in table
    names = ("classes", "shots", "random_boxes")
    labels = {tuple(each.labels[name] for name in names) for each in load_reports(tmp_path)}
    assert labels == {("novel", 1, False), ("seen", 1, False), ("novel", 1, True)}


class QuickConfig(GlyphConfig):
    """Few weights, on small scenes; too narrow for TensorFlow's gradients with strides."""

    RUN_EAGERLY = True
    IMAGES_PER_GPU = 1
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 128
    BACKBONE_WIDTH = 8
    FPN_FEATUREMAPS = RPN_CHANNELS = MASK_HEAD_CHANNELS = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    POST_NMS_ROIS_TRAINING = POST_NMS_ROIS_INFERENCE = 30
    DETECTION_MAX_INSTANCES = 4


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The model as it begins."""
    model = SiameseMaskRCNN("inference", ".", QuickConfig())
    path = tmp_path_factory.mktemp("weights") / "glyphs.weights.h5"
    model.save_weights(path)
    return path


def first_letters(count):
    """So many categories, without the seconds that it takes to compare all shapes of the font."""
    letters = [each for each in named_characters() if each.isalpha()][:count]
    return [GlyphCategory(each, character_name(each), character_kind(each)) for each in letters]


def test_the_demo_measures_draws_and_trains(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(glyphs, "choose_categories", first_letters)
    monkeypatch.setattr(demo, "GlyphConfig", QuickConfig)
    monkeypatch.setattr(demo, "TRAINING_SCENES", 8)
    monkeypatch.setattr(demo, "PICTURES", 2)
    arguments = ("--weights", weights, "--scenes", 24, "--steps", 3, "--out", tmp_path)
    assert call("demo", *arguments) == 0
    text = capsys.readouterr().out
    for row in (Row("novel", 1), Row("novel", 5), Row("seen", 1), Row("novel", 1, True)):
        assert f"\n{row.title} " in text
    first, last = re.search(r"The loss went from ([0-9.]+) to ([0-9.]+) \(means", text).groups()
    assert float(last) < 2 * float(first)  # of one image each: it need not fall, nor explode
    assert "is it there? AUROC of the best score" in text
    coins, elsewhere = (re.search(rf"{name}: (\w+) found", text)[1] for name in ("coins", "rocket"))
    assert int(coins) >= 10 and elsewhere == "not"
    for name in ("coins", "found", "best", "worst", "absent"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_the_demo_says_where_its_weights_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "checkpoints/glyphs_split1.weights.h5" in refused(capsys, "demo")


def test_the_weights_of_the_box_fit(tmp_path):
    model = demo.load_model(Path(__file__).parents[3] / demo.WEIGHTS, tmp_path)
    in_file = read_weights(Path(__file__).parents[3] / demo.WEIGHTS)
    assert in_file.keys() == named_variables(model.keras_model).keys()
