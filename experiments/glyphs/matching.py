"""What saying no is made of: `python experiments/glyphs/matching.py --out logs/matching`.

Each row of the table goes on from the model of the box, whose own 8000 steps knew no negative
queries, for 3200 steps from its third stage up, so that what its second look stands on stays. Then
it is measured as it is, and again with that second look, calibrated on scenes of their own (but for
the one that looks at no reference). Half an
hour to an hour of two cores a row; on JAX with a GPU (`KERAS_BACKEND=jax`) some minutes. When
repeated, it goes on where it was interrupted.
"""

import argparse
import json
from pathlib import Path

from ablations import run

from mrcnn.drawing.tables import Table

NEGATIVE = {"NEGATIVE_QUERIES": 0.3}
ALL = {"ROI_LOSS_WEIGHING": 0.25, "CO_ATTENTION": True, "ROI_COMPARISON": True}
ROWS = {  # name: settings beside the paper's
    "paper": {},
    "negatives": NEGATIVE,
    "negatives, weighed loss": NEGATIVE | {"ROI_LOSS_WEIGHING": 0.25},
    "negatives, co-attention": NEGATIVE | {"CO_ATTENTION": True},
    "negatives, comparison on RoIs": NEGATIVE | {"ROI_COMPARISON": True},
    "all of these": NEGATIVE | ALL,
    "no reference": {"COMPARISON": "none"},
}
FINDS = 12  # that the second look sees
SCENES, SEED = 5000, 11
TEST_SCENES, TEST_SEED, CALIBRATION_SEED = 300, 2718, 99
PHASES = ((13, 0.0003), (16, 0.00003))  # up to this epoch of 200 steps, at this rate
COLUMNS = {
    "AUROC": ("auroc", 1),
    "false alarms": ("false_alarms", 100),
    "found": ("found", 100),
    "wrong references": ("wrong_ap50", 100),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="logs/matching", type=Path, metavar="FOLDER")
    parser.add_argument("--weights", default="checkpoints/glyphs_split1.weights.h5", metavar="FILE")
    arguments = parser.parse_args()
    folder, start = arguments.out, arguments.weights
    counts = ("--categories", 800, "--train", SCENES, "--val", 8, "--seed", SEED)
    run("make-glyphs", "--out", folder / "data", *counts)
    for seed in (TEST_SEED, CALIBRATION_SEED):
        counts = ("--train", 64, "--val", TEST_SCENES, "--seed", seed)
        run("make-glyphs", "--out", folder / f"scenes{seed}", *counts)
    cells = []
    for name, settings in ROWS.items():
        said = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        plain = trained(folder, name, said, start)
        cells.append([name, *measured(folder, name, plain, "--config", "glyphs", *said)])
        if "COMPARISON" in settings:
            continue
        verified = with_second_look(folder, plain, start, settings)
        name += ", second look"
        cells.append([name, *measured(folder, name, verified)])
    head = ["model", "boxes novel", "masks novel", "boxes seen", "masks seen", *COLUMNS]
    table = Table(head, cells)
    (folder / "matching.md").write_text(table.to_markdown())
    print(table)


def trained(folder, name, said, start):
    """Weights of a row, trained by what the command line says beside the usual."""
    row = folder / file_name(name)
    usual = ("--data", folder / "data", "--split", 1, "--config", "glyphs", "--logs", row, *said)
    usual += ("--steps", 200, "--validation-steps", 0, "--layers", "3+", "--warm-up", 150)
    weights = (start, "--exclude", "fpn_distance.*") if "COMPARISON=none" in said else (start,)
    for epochs, rate in PHASES:
        if any(row.glob("*/*.weights.h5")):
            weights = ("last",)
        run("train", *usual, "--weights", *weights, "--epochs", epochs, "--learning-rate", rate)
    return max(row.glob(f"*/*_{PHASES[-1][0]:04}.weights.h5"))


def with_second_look(folder, plain, start, settings):
    """Weights with the second look of those that they began with, calibrated."""
    from siamese_mrcnn.config import make_config
    from siamese_mrcnn.model import SiameseMaskRCNN
    from siamese_mrcnn.modeling.co_attention import CO_ATTENTION
    from siamese_mrcnn.modeling.roi_comparison import ROI_COMPARISON
    from siamese_mrcnn.modeling.verification import VERIFIER

    config = make_config("glyphs", VERIFIED_FINDS=FINDS, **settings)
    model = SiameseMaskRCNN("inference", folder, config)
    model.load_weights(start, may_be_missing=[CO_ATTENTION, ROI_COMPARISON])
    model.load_weights(plain, may_be_missing=[VERIFIER])
    verified = plain.with_name("verified.weights.h5")
    calibrated = plain.with_name("calibrated.weights.h5")
    model.save_weights(verified)
    scenes = folder / f"scenes{CALIBRATION_SEED}"
    of_scenes = ("--data", scenes, "--weights", verified, "--absent", 1, "--out", calibrated)
    run("calibrate", *of_scenes)
    return calibrated


def measured(folder, name, weights, *said):
    """Cells of a row: precision of novel and of seen categories, and presence of novel ones."""
    cells = {}
    for classes in ("novel", "seen"):
        out = folder / "reports" / f"{file_name(name)}_{classes}"
        asked = ("--classes", classes, "--absent", 2, "--runs", 2, "--out", out, *said)
        run("evaluate", "--data", folder / f"scenes{TEST_SEED}", "--weights", weights, *asked)
        report = json.loads((out / "report.json").read_text())
        cells[classes] = [f"{100 * report[kind]['AP50']['mean']:.1f}" for kind in ("bbox", "segm")]
        if classes == "novel":
            numbers = json.loads((out / "presence.json").read_text())
    presence = [f"{scale * numbers[key]['mean']:.3g}" for key, scale in COLUMNS.values()]
    return [*cells["novel"], *cells["seen"], *presence]


def file_name(name):
    return name.replace(", ", "_").replace(" ", "_")


if __name__ == "__main__":
    main()
