"""The notebooks run from top to bottom, are thin, and are kept without what they printed."""

import ast
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from siamese_mrcnn.experiments import trial

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT, ROOT / "experiments")
NOTEBOOKS = sorted(
    str(path.relative_to(ROOT)) for folder in FOLDERS for path in folder.glob("*.ipynb")
)
# What a notebook takes up was made by another one, which therefore runs first.
NEEDED = {
    "evaluation.ipynb": "training.ipynb",
    "experiments/evaluate.ipynb": "experiments/train-splits.ipynb",
    "experiments/evaluate-baseline.ipynb": "experiments/train-baseline.ipynb",
    "experiments/random-baseline.ipynb": "experiments/train-splits.ipynb",
    "experiments/results.ipynb": "experiments/evaluate.ipynb",
}
LINES = 12  # of a thin cell
NOT_THIN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.If,
    ast.IfExp,
    ast.While,
    ast.Try,
)


class WorkingCopy:
    """A copy of the notebooks to run, and of nothing that they write into."""

    def __init__(self, folder, kernel):
        self.folder, self.kernel, self.executed = folder, kernel, {}
        for name in (*NOTEBOOKS, "pyproject.toml", "experiments/installation.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.copied = files_below(folder)

    def execute(self, name):
        """Run a notebook once, after the one that it needs; returns it with its outputs."""
        if name not in self.executed:
            if name in NEEDED:
                self.execute(NEEDED[name])
            notebook = read(name)
            self.kernel.execute(notebook, (self.folder / name).parent, {trial.SWITCH: "1"})
            self.executed[name] = notebook
        return self.executed[name]


@pytest.fixture(scope="module")
def working_copy(tmp_path_factory, kernel):
    return WorkingCopy(tmp_path_factory.mktemp("repository"), kernel)


def read(name):
    return nbformat.read(ROOT / name, as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def files_below(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom(working_copy, name):
    notebook = working_copy.execute(name)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]


def test_a_trial_writes_into_its_own_folder_only(working_copy):
    working_copy.execute("experiments/results.ipynb")
    written = files_below(working_copy.folder) - working_copy.copied
    home = working_copy.folder / trial.FOLDER
    assert written and all(path.is_relative_to(home) for path in written)
    assert {"splits.png", "classes.pdf"} <= {path.name for path in (home / "figures").iterdir()}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_clean(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}  # no version of somebody's Python
    assert not [cell for cell in code_cells(notebook) if cell.outputs or cell.execution_count]
    # ids that Jupyter draws at random are of eight hexadecimal digits
    assert not [cell.id for cell in notebook.cells if re.fullmatch("[0-9a-f]{8}", cell.id)]
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|Users|work|tmp|mnt|data)/", text)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_thin_and_explains_itself(name):
    notebook = read(name)
    for cell in code_cells(notebook):
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, NOT_THIN)]
        assert cell.source.count("\n") < LINES
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    for told in ("**Needed:**", "**Time:**", trial.SWITCH):
        assert told in first.source


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_overview_names_every_notebook(name):
    overview = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    link = name.removeprefix("experiments/") if name.startswith("experiments/") else f"../{name}"
    assert f"({link})" in overview


def test_every_notebook_of_the_paper_is_there():
    assert len(NOTEBOOKS) == 11
    assert set(NEEDED) | set(NEEDED.values()) <= set(NOTEBOOKS)
