"""Notebooks of samples run with other arguments, and models of few weights for them."""

import re
from pathlib import Path

import nbformat

SAMPLES = Path(__file__).parents[1] / "samples"
FEW_WEIGHTS = {
    "BACKBONE": "resnet18",
    "BACKBONE_WIDTH": 16,
    "TOP_DOWN_PYRAMID_SIZE": 16,
    "RPN_CHANNELS": 16,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 16,
    "MASK_HEAD_CHANNELS": 8,
}
ONE_STEP = {
    **FEW_WEIGHTS,
    "RUN_EAGERLY": True,
    "IMAGES_PER_GPU": 2,
    "STEPS_PER_EPOCH": 1,
    "VALIDATION_STEPS": 1,
    "DETECTION_MIN_CONFIDENCE": 0,
}
NUCLEUS_STEP = {**ONE_STEP, "DETECTION_MAX_INSTANCES": 5}


def read(name):
    return nbformat.read(SAMPLES / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def changed_settings(module, config="DrawnConfig", settings=ONE_STEP, **counts):
    """Lines of set-up: another configuration in a module beside the notebook.

    Args:
        module: its name.
        config: the class in it whose settings change.
        settings: {name: value} of them.
        **counts: of pictures, in modules that draw them into files.
    """
    counted = f"{module}.COUNTS.update({counts})" if counts else ""
    return f"""
import {module}
{counted}
for name, value in {settings}.items():
    setattr({module}.{config}, name, value)
"""


def run(kernel, name, arguments, set_up="", check=""):
    """Run a notebook of samples/ with other arguments.

    Args:
        kernel: the fixture.
        name: path below samples/, without its ending.
        arguments: {variable of the cell "arguments": value}.
        set_up: lines to run after them.
        check: lines to run at the end.

    Returns:
        text that was printed or shown in tables, and the outputs with a picture.
    """
    notebook = read(name)
    (cell,) = [cell for cell in code_cells(notebook) if cell.id == "arguments"]
    for variable, value in arguments.items():
        assert re.search(rf"^{variable} = ", cell.source, re.MULTILINE)
        cell.source += f"\n{variable} = {value!r}"
    cell.source += f"\n{set_up}"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    kernel.execute(notebook, (SAMPLES / name).parent)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    data = [output["data"] for output in outputs if "data" in output]
    tables = "".join(each.get("text/html", "") for each in data)
    return text + tables, [each for each in data if "image/png" in each]
