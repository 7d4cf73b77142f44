"""The guide's way from cut-outs to a search, with a network of hardly any weights."""

from command_line import call

NETWORK = "--config shapes --set BACKBONE=resnet18 --set BACKBONE_WIDTH=8 --set FPN_FEATUREMAPS=16"
QUICK = "--set FPN_CLASSIF_FC_LAYERS_SIZE=16 --set RUN_EAGERLY=True --set IMAGES_PER_GPU=2"


def test_from_cutouts_to_a_search(tmp_path, monkeypatch, pots, rooms):
    monkeypatch.chdir(tmp_path)
    sources = ("--cutouts", pots, "--backgrounds", rooms)
    numbers = "--train 12 --val 4 --size 96 --workers 1".split()
    config = f"{NETWORK} {QUICK}".split()
    data = ("--data", "data", "--split", "all", *config)
    assert call("make-scenes", "--out", "data", *sources, *numbers) == 0
    steps = "--weights none --epochs 1 --steps 1 --validation-steps 0".split()
    assert call("train", *data, *steps) == 0
    asked = "--classes all --weights last --out report --runs 1".split()
    assert call("evaluate", *data, *asked) == 0
    shown = ("--reference", pots / "mug/0.png", "--image", rooms, "--weights", "last")
    assert call("detect", *config, *shown, "--out", "found") == 0
    assert (tmp_path / "found/ranking.csv").read_text().count("\n") == 1 + 7
    assert (tmp_path / "report/report.md").exists()
