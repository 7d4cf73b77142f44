"""Runs every case in a process of its own and prints a table: `python -m benchmarks`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cases import CASES

# The originals (TF1 code run by TensorFlow 2 in compatibility mode) on a machine with two cores.
ORIGINALS = {"detect": 4.3, "train_step": 36.0, "sample_small": 0.8, "sample_large": 2.7}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all of them")
    parser.add_argument(
        "--data",
        type=Path,
        help="COCO folder to load samples from; by default scenes of drawn shapes",
    )
    arguments = parser.parse_args()
    names = arguments.cases or list(CASES)
    print("unit: one 3000 x 3000 float32 matrix product by TensorFlow, measured in between\n")
    print(f"{'case':46} {'units':>7} {'original':>9} {'seconds':>8} {'unit s':>7} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            row = _run(name, arguments.data or _shapes(Path(folder) / "shapes"))
            print(
                f"{CASES[name].title:46} {row['units']:7.3g} {ORIGINALS[name]:9} "
                f"{row['seconds']:8.3g} {row['unit_seconds']:7.3g} {row['peak_megabytes']:8.0f}",
                flush=True,
            )


def _run(name, data):
    """Measure one case in a fresh process, so that peaks of memory do not mix."""
    command = [sys.executable, "-m", "benchmarks.measure", name, str(data)]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _shapes(folder):
    """The embedded data set, in the size of COCO's images."""
    if not folder.exists():
        from siamese_mrcnn.synthetic.shapes import make_shapes

        make_shapes(folder, train_images=40, val_images=4, image_size=640)
    return folder


if __name__ == "__main__":
    main()
