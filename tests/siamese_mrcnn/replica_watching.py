"""Two epochs on two devices, watched; a program, since devices are per process.

Saves what each measurement found, and what a model finds that loads the last checkpoint.

usage: python replica_watching.py FOLDER DATA
"""

import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=2 "
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from siamese_mrcnn import watching
from siamese_mrcnn.coco import CocoDataset
from siamese_mrcnn.evaluation import evaluate
from tiny import tiny_siamese_model

LIMIT = 3  # images
SETTINGS = {
    "IMAGE_MIN_DIM": 64,
    "IMAGE_MAX_DIM": 64,
    "STEPS_PER_EPOCH": 1,
    "RUN_EAGERLY": True,
}


def main():
    folder, data = Path(sys.argv[1]), CocoDataset.from_folder(sys.argv[2], "train")
    found = {}

    def noting(model, output=None, **arguments):
        report = evaluate(model, output=output, **arguments)
        if isinstance(model, watching.FindsNothing):
            return report
        found[f"watched {len(found) + 1}"] = results(output)
        return report

    watching.evaluate = noting
    model = tiny_siamese_model("training", folder, GPU_COUNT=2, IMAGES_PER_GPU=1, **SETTINGS)
    callback = watching.OneShotAP(model, data, limit=LIMIT, progress=False)
    history = model.train(data, None, 0.01, 2, "heads", custom_callbacks=[callback])

    finder = tiny_siamese_model("inference", folder, **SETTINGS)
    finder.load_latest_checkpoint()
    evaluate(finder, data, limit=LIMIT, output=folder / "loaded", progress=False)
    found["loaded 2"] = results(folder / "loaded")
    logs = {name: values for name, values in history.history.items() if "one_shot" in name}
    (folder / "found.json").write_text(json.dumps({"found": found, "logs": logs}))


def results(folder):
    return json.loads((Path(folder) / "results_run0.json").read_text())


if __name__ == "__main__":
    main()
