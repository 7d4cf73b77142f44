"""What matching and the number of categories are worth: `python experiments/glyphs/ablations.py`.

Each row of the table is a model of its own that learned on the same short budget, about twenty
minutes of two cores, and is measured on the same scenes, on categories that none of them saw. When
repeated, it goes on where it was interrupted.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from mrcnn.drawing.tables import Table

# {categories to train on: categories drawn}; every fourth of the first 80 is left out, as of those
# of the test scenes by split 1
CATEGORIES = {20: 27, 60: 80, 200: 220, 800: 820}
COMPARISONS = ("distance", "none", "distance-alone", "correlation", "cosine")
ROWS = [(each, 800) for each in COMPARISONS] + [("distance", seen) for seen in (200, 60, 20)]
SCENES, TEST_SCENES, TEST_SEED = 6000, 100, 2718
# What naming did not train begins at random, as its own comparison needs it.
HEADS = ("fpn_distance.*", "rpn.*", "mrcnn.*")
NAMING = ("--epochs", 3, "--steps", 500)
TRAINING = ("--epochs", 2, "--steps", 500, "--learning-rate", 0.0005, "--warm-up", 200)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="logs/ablations", type=Path, metavar="FOLDER")
    folder = parser.parse_args().out
    test = folder / "test"
    run("make-glyphs", "--out", test, "--train", 2, "--val", TEST_SCENES, "--seed", TEST_SEED)
    cells = []
    for comparison, seen in ROWS:
        report = measured(folder, comparison, seen, test)
        precision = [report[kind]["AP50"]["mean"] for kind in ("bbox", "segm")]
        cells.append([comparison, str(seen), *(f"{100 * each:.1f}" for each in precision)])
    head = ["comparison", "categories", "boxes AP50", "masks AP50"]
    table = Table(head, cells)
    (folder / "ablations.md").write_text(table.to_markdown())
    print(table)


def measured(folder, comparison, seen, test):
    """Train one row and evaluate it: its report."""
    data, novel = drawn(folder, seen)
    start, row = folder / f"start_{seen}.weights.h5", folder / f"{comparison}_{seen}"
    of_data = ("--data", data, "--novel", novel, "--config", "glyphs")
    if not start.exists():
        run("pretrain", *of_data, *NAMING, "--out", start)
    own = ("--logs", row, "--set", f"COMPARISON={comparison}")
    if any(row.glob("*/*.weights.h5")):
        weights = ("--weights", "last")
    else:
        weights = ("--weights", start, "--exclude", *HEADS)
    run("train", *of_data, *own, *weights, "--validation-steps", 0, *TRAINING)
    of_test = ("--data", test, "--split", 1, "--config", "glyphs")
    run("evaluate", *of_test, *own, "--weights", "last", "--runs", 1, "--out", row / "novel")
    return json.loads((row / "novel" / "report.json").read_text())


def drawn(folder, seen):
    """Scenes of so many categories to train on, and a file that names the others in them."""
    data, novel = folder / f"data_{seen}", folder / f"novel_{seen}.txt"
    counts = ("--train", SCENES, "--val", 20, "--categories", CATEGORIES[seen])
    run("make-glyphs", "--out", data, *counts)
    annotations = json.loads((data / "annotations" / "instances_val2017.json").read_text())
    names = [each["name"] for each in annotations["categories"]]
    novel.write_text("\n".join(names[:80:4]))
    return data, novel


def run(*arguments):
    """Call `siamese-mrcnn` in a process of its own, and stop where it fails."""
    status = subprocess.call([sys.executable, "-m", "siamese_mrcnn.cli", *map(str, arguments)])
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
