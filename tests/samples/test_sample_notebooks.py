"""The notebooks of the samples run with tiny models, are thin, and are kept without outputs."""

import ast
import re

import cv2
import nbformat
import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn.training.random_start import prepare_random_start
from sample_notebooks import (
    FEW_WEIGHTS,
    NUCLEUS_STEP,
    SAMPLES,
    changed_settings,
    code_cells,
    read,
    run,
)
from small import FewOfAll
from tiny import picture

ON_ALL = ("demo", "inspect_data", "inspect_model", "inspect_weights")
NOTEBOOKS = (*ON_ALL, "balloon/train_balloon", "nucleus/train_nucleus", "shapes/train_shapes")
LINES = 12  # of a thin cell
NOT_THIN = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.If, ast.IfExp, ast.While, ast.Try)


# --- what the notebooks show ------------------------------------------------------------------


def test_demo(tmp_path, kernel):
    class TinyCoco(FewOfAll, modellib.Config):
        NUM_CLASSES = 81
        IMAGES_PER_GPU = 1

    config = type("TinyCoco", (TinyCoco,), FEW_WEIGHTS)()
    model = modellib.MaskRCNN("inference", config, tmp_path)
    shapes = [(128, 128), (90, 128)]
    inputs = {
        "images": np.stack([picture(128, 128, seed) for seed in range(4)]),
        "windows": np.tile(np.array([[0, 0, 1, 1]], np.float32), (4, 1)),
    }
    prepare_random_start(model.keras_model, [(inputs, None)])
    model.save_weights(tmp_path / "tiny.h5")
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "notes.txt").write_text("not a picture")
    for number, shape in enumerate(shapes):
        cv2.imwrite(str(folder / f"{number}.png"), picture(*shape, number))
    few = {name: getattr(FewOfAll, name) for name in vars(FewOfAll) if name.isupper()}
    text, pictures = run(
        kernel,
        "demo",
        {
            "PICTURES": str(folder),
            "WEIGHTS": str(tmp_path / "tiny.h5"),
            "SETTINGS": few | FEW_WEIGHTS,
        },
        check="assert [len(r) > 0 for r in results] == [True, True]\n"
        "assert [r['masks'].shape[:2] for r in results] == [(128, 128), (90, 128)]",
    )
    assert re.search(r"0\.png \['[a-z ]+ 0\.\d\d'.*\n1\.png \['[a-z ]+ 0\.\d\d'", text)
    assert len(pictures) == 2


def test_inspect_data(kernel):
    text, pictures = run(
        kernel,
        "inspect_data",
        {"DATA": "shapes"},
        check="real = gt_boxes[0][gt_boxes[0].any(axis=1)]\n"
        "assert len(positive) and len(first)\n"
        "assert (utils.compute_overlaps(refined, real).max(axis=1) > 0.99).all()\n"
        "assert (utils.compute_overlaps(moved[ids > 0], real).max(axis=1) > 0.99).all()\n"
        "centers = central.reshape(5, ratios, 2, 2).mean(axis=2)\n"
        "assert (abs(centers - 64) <= 0.5).all()",
    )
    assert "100 images of 4 classes" in text and "| P6 |" in text
    assert len(pictures) == 13


def test_inspect_model(tmp_path, kernel):
    """What its steps find one after the other is what the network finds at once."""
    text, pictures = run(
        kernel,
        "inspect_model",
        {"LOGS": str(tmp_path), "SETTINGS": FEW_WEIGHTS, "IMAGES": 2},
        check="assert len(final) == len(detections) > 0\n"
        "np.testing.assert_array_equal(ids[final], found_ids)\n"
        "np.testing.assert_allclose(scores[final], detections[:, 5], rtol=1e-5)\n"
        "np.testing.assert_allclose(refined[final], detections[:, :4], atol=1e-5)\n"
        "clipped_again = rpn['refined_anchors_clipped'][0, rpn['post_nms_anchor_ix']]\n"
        "np.testing.assert_allclose(rpn['proposals'][0, : len(clipped_again)], clipped_again,"
        " atol=1e-5)",
    )
    assert "the weights are random" in text and "2 images: 0." in text
    for told in ("share of instances", "proposals", "dead channels"):
        assert f"{told}" in text
    assert len(pictures) == 18


def test_inspect_weights(tmp_path, kernel):
    text, pictures = run(
        kernel,
        "inspect_weights",
        {"LOGS": str(tmp_path), "SETTINGS": FEW_WEIGHTS, "LAYERS": "conv1|rpn_.*"},
        check="assert [layer.name for layer in layers][0] == 'conv1' and len(layers) == 4",
    )
    assert "rpn_class_raw/kernel" in text and "how many" in text
    assert len(pictures) == 2


def test_train_shapes(tmp_path, kernel):
    text, pictures = run(
        kernel,
        "shapes/train_shapes",
        {"MINUTES": 0.001, "FRESH": 3, "LOGS": str(tmp_path)},
        changed_settings("shapes", "ShapesConfig"),
    )
    assert "mAP at IoU .5 on 3 fresh images of shapes: 0." in text
    assert list(tmp_path.glob("shapes*/mask_rcnn_shapes_*.weights.h5"))
    assert len(pictures) >= 3


def test_train_balloon(tmp_path, kernel):
    _, pictures = run(
        kernel,
        "balloon/train_balloon",
        {
            "DATASET": str(tmp_path / "drawn"),
            "EPOCHS": 1,
            "STEPS": 1,
            "LOGS": str(tmp_path / "logs"),
        },
        changed_settings("drawn_balloons", train=4, val=3),
    )
    assert list(tmp_path.glob("logs/balloon*/mask_rcnn_balloon_0001.weights.h5"))
    assert len(pictures) == 4


def test_train_nucleus(tmp_path, kernel):
    text, pictures = run(
        kernel,
        "nucleus/train_nucleus",
        {
            "DATASET": str(tmp_path / "drawn"),
            "STAGES": ((1, "all"),),
            "STEPS": 1,
            "LOGS": str(tmp_path / "logs"),
            "OUT": str(tmp_path / "out"),
        },
        changed_settings("drawn_nuclei", settings=NUCLEUS_STEP, stage1_train=5, stage1_test=1),
    )
    assert list(tmp_path.glob("logs/nucleus*/mask_rcnn_nucleus_0001.weights.h5"))
    assert (tmp_path / "out" / "drawn0000.png").exists()
    assert "ImageId,EncodedPixels\ndrawn0000," in text
    assert len(pictures) == 3


# --- how they are kept ------------------------------------------------------------------------


def test_all_notebooks_are_here():
    found = {str(path.relative_to(SAMPLES).with_suffix("")) for path in SAMPLES.rglob("*.ipynb")}
    assert found == set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_clean_and_thin(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    first = notebook.cells[0]
    assert first.source.startswith("# ") and code_cells(notebook)[0].id == "arguments"
    assert "**Needed:**" in first.source and "**Time:**" in first.source
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None
        assert not re.fullmatch("[0-9a-f]{8}", cell.id)  # as Jupyter draws them
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, NOT_THIN)]
        assert cell.source.count("\n") < LINES
    text = (SAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|Users|work|tmp|mnt)/", text)
    assert f"({name}.ipynb)" in (SAMPLES / "README.md").read_text(encoding="utf-8")
