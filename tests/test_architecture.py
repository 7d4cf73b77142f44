"""The layout is the architecture: arrows point one way, files and functions stay small."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "lib" / "mrcnn").rglob("*.py"))
SIAMESE = sorted((ROOT / "siamese_mrcnn").rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 350, 50  # lines


def imported_modules(path):
    """Names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(path):
    """Name and number of lines of every function of a file, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            docstring = (ast.get_docstring(node, clean=False) or "").count("\n") + 1
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_does_not_know_the_siamese_model(path):
    assert not [name for name in imported_modules(path) if name.startswith("siamese")]
    # Matterport's name for a data source, and the name of the distribution
    words = re.sub(r"image_reference|siamese-mask-rcnn\[", "", path.read_text())
    assert not re.search(r"siamese|\breferences?\b", words, re.IGNORECASE)


def test_the_core_has_no_import_cycles():
    arrows = {
        f"mrcnn.{path.stem}": {name for name in imported_modules(path) if name != "mrcnn"}
        for path in CORE
    }
    remaining = {name: {to for to in targets if to in arrows} for name, targets in arrows.items()}
    while leaves := [name for name, targets in remaining.items() if not targets & set(remaining)]:
        for name in leaves:
            del remaining[name]
    assert not remaining


@pytest.mark.parametrize("path", CORE + SIAMESE, ids=lambda path: path.name)
def test_files_and_functions_are_small(path):
    assert path.read_text().count("\n") <= LONGEST_FILE
    assert not [item for item in functions(path) if item[1] > LONGEST_FUNCTION]


@pytest.mark.parametrize("path", CORE + SIAMESE, ids=lambda path: path.name)
def test_nobody_touches_the_import_path(path):
    assert "sys.path" not in path.read_text()
