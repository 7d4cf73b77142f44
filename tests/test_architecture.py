"""The layout is the architecture: arrows point one way, folders, files and functions stay small."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "lib" / "mrcnn").rglob("*.py"))
SIAMESE = sorted((ROOT / "siamese_mrcnn").rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, LARGEST_FOLDER = 350, 50, 13  # lines, lines, modules

# Folders and single files of each package from low to high: what stands in one row may import what
# stands in rows above it, and nothing of its own row but itself.
CORE_ORDER = [
    ["locks", "harmless_text"],
    ["files", "conventions", "backend_check", "progress"],
    ["resumable_download"],
    ["config", "ops", "images"],
    ["data", "modeling", "metrics"],
    ["weights", "drawing"],
    ["training", "converters"],
    ["matterport"],
    ["model", "utils", "visualize", "parallel_model"],
]
SIAMESE_ORDER = [
    ["config", "data", "modeling", "fingerprints", "error_sentences"],
    ["named_things"],
    ["tiles"],
    ["synthetic", "own_data", "evaluation", "model"],
    ["cut_paste", "figures"],
    ["training", "visualize"],
    ["experiments", "search", "weights_info"],
    ["demo", "photo_demo"],
    ["service"],
    ["weights_conversion"],
    ["commands"],
    ["cli"],
]


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


def module_name(path):
    """Dotted name of a file of one of the packages."""
    base = ROOT / "lib" if path.is_relative_to(ROOT / "lib") else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def rooms(path, package):
    """The folder or file that a module of a package lies in, and those that it imports from."""
    parts = [name.split(".") for name in [module_name(path), *imported_modules(path)]]
    own, *others = [part[1] if part[0] == package and len(part) > 1 else "" for part in parts]
    return own, set(others) - {own, ""}


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_the_core_does_not_know_the_siamese_model(path):
    assert not [name for name in imported_modules(path) if name.startswith("siamese")]
    # Matterport's name for a data source, and the name of the distribution
    words = re.sub(r"image_reference|siamese-mask-rcnn\[", "", path.read_text())
    assert not re.search(r"siamese|\breferences?\b", words, re.IGNORECASE)


@pytest.mark.parametrize("package", ["mrcnn", "siamese_mrcnn"])
def test_folders_import_from_lower_ones_only(package):
    files, order = (CORE, CORE_ORDER) if package == "mrcnn" else (SIAMESE, SIAMESE_ORDER)
    height = {room: row for row, rooms_of_row in enumerate(order) for room in rooms_of_row}
    upwards = [
        f"{module_name(path)} -> {other}"
        for path in files
        for own, others in [rooms(path, package)]
        for other in others & set(height)
        if own and height[other] >= height[own]
    ]
    assert not upwards


@pytest.mark.parametrize("package", ["mrcnn", "siamese_mrcnn"])
def test_every_room_has_its_place_in_the_order(package):
    files, order = (CORE, CORE_ORDER) if package == "mrcnn" else (SIAMESE, SIAMESE_ORDER)
    own = {rooms(path, package)[0] for path in files} - {""}
    assert own == {room for row in order for room in row}


def test_there_are_no_import_cycles():
    known = {module_name(path): path for path in CORE + SIAMESE}
    remaining = {
        name: {to for to in imported_modules(path) if to in known and to != name} - {"mrcnn"}
        for name, path in known.items()
        if path.name != "__init__.py"
    }
    while leaves := [name for name, targets in remaining.items() if not targets & set(remaining)]:
        for name in leaves:
            del remaining[name]
    assert not remaining


def test_folders_are_small():
    folders = {path.parent for path in CORE + SIAMESE}
    counts = {
        str(folder.relative_to(ROOT)): len(set(folder.glob("*.py")) - {folder / "__init__.py"})
        for folder in folders
    }
    assert {name: count for name, count in counts.items() if count > LARGEST_FOLDER} == {}


@pytest.mark.parametrize("path", CORE + SIAMESE, ids=module_name)
def test_files_and_functions_are_small(path):
    assert path.read_text().count("\n") <= LONGEST_FILE
    assert not [item for item in functions(path) if item[1] > LONGEST_FUNCTION]


@pytest.mark.parametrize("path", CORE + SIAMESE, ids=module_name)
def test_nobody_touches_the_import_path(path):
    assert "sys.path" not in path.read_text()
