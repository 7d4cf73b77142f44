"""The notebooks of the samples run with tiny models, are thin, and are kept without outputs."""

import ast
import re
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import mrcnn.model as modellib
from mrcnn.random_start import prepare_random_start
from small import FewOfAll
from tiny import picture

SAMPLES = Path(__file__).parents[2] / "samples"
NOTEBOOKS = ["demo", "inspect_data", "inspect_model", "inspect_weights"]
LONGEST_CELL = 600  # seconds, of a machine that is busy with other things
LINES = 12  # of a thin cell
NOT_THIN = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.If, ast.IfExp, ast.While, ast.Try)
TINY = {
    "BACKBONE": "resnet18",
    "BACKBONE_WIDTH": 16,
    "TOP_DOWN_PYRAMID_SIZE": 16,
    "RPN_CHANNELS": 16,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 16,
    "MASK_HEAD_CHANNELS": 8,
}


def read(name):
    return nbformat.read(SAMPLES / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(name, arguments, check=""):
    """Run a notebook with other arguments and, at its end, a check; returns text and pictures."""
    notebook = read(name)
    (cell,) = [cell for cell in code_cells(notebook) if cell.id == "arguments"]
    for variable, value in arguments.items():
        assert re.search(rf"^{variable} = ", cell.source, re.MULTILINE)
        cell.source += f"\n{variable} = {value!r}"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    where = {"metadata": {"path": str(SAMPLES)}}
    NotebookClient(notebook, timeout=LONGEST_CELL, resources=where).execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    data = [output["data"] for output in outputs if "data" in output]
    tables = "".join(each.get("text/html", "") for each in data)
    return text + tables, [each for each in data if "image/png" in each]


# --- what the notebooks show ------------------------------------------------------------------


def test_demo(tmp_path):
    class TinyCoco(FewOfAll, modellib.Config):
        NUM_CLASSES = 81
        IMAGES_PER_GPU = 1

    config = type("TinyCoco", (TinyCoco,), TINY)()
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
        "demo",
        {"PICTURES": str(folder), "WEIGHTS": str(tmp_path / "tiny.h5"), "SETTINGS": few | TINY},
        "assert [len(r) > 0 for r in results] == [True, True]\n"
        "assert [r['masks'].shape[:2] for r in results] == [(128, 128), (90, 128)]",
    )
    assert re.search(r"0\.png \['[a-z ]+ 0\.\d\d'.*\n1\.png \['[a-z ]+ 0\.\d\d'", text)
    assert len(pictures) == 2


def test_inspect_data():
    text, pictures = run(
        "inspect_data",
        {"DATA": "shapes"},
        "real = gt_boxes[0][gt_boxes[0].any(axis=1)]\n"
        "assert len(positive) and len(first)\n"
        "assert (utils.compute_overlaps(refined, real).max(axis=1) > 0.99).all()\n"
        "assert (utils.compute_overlaps(moved[ids > 0], real).max(axis=1) > 0.99).all()\n"
        "centers = central.reshape(5, ratios, 2, 2).mean(axis=2)\n"
        "assert (abs(centers - 64) <= 0.5).all()",
    )
    assert "100 images of 4 classes" in text and "<td>P6</td>" in text
    assert len(pictures) == 13


def test_inspect_model(tmp_path):
    """What its steps find one after the other is what the network finds at once."""
    text, pictures = run(
        "inspect_model",
        {"LOGS": str(tmp_path), "SETTINGS": TINY, "IMAGES": 2},
        "assert len(final) == len(detections) > 0\n"
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


def test_inspect_weights(tmp_path):
    text, pictures = run(
        "inspect_weights",
        {"LOGS": str(tmp_path), "SETTINGS": TINY, "LAYERS": "conv1|rpn_.*"},
        "assert [layer.name for layer in layers][0] == 'conv1' and len(layers) == 4",
    )
    assert "rpn_class_raw/kernel" in text and "how many" in text
    assert len(pictures) == 2


# --- how they are kept ------------------------------------------------------------------------


def test_all_notebooks_are_here():
    assert sorted(path.stem for path in SAMPLES.glob("*.ipynb")) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_clean_and_thin(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    first, second, *_ = notebook.cells
    assert first.source.startswith("# ") and second.id == "arguments"
    assert "**Needed:**" in first.source and "**Time:**" in first.source
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None
        assert not re.fullmatch("[0-9a-f]{8}", cell.id)  # as Jupyter draws them
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, NOT_THIN)]
        assert cell.source.count("\n") < LINES
    text = (SAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|Users|work|tmp|mnt)/", text)
    assert f"({name}.ipynb)" in (SAMPLES / "README.md").read_text(encoding="utf-8")
