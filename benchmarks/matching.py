"""What comparing places costs: `python -m benchmarks.matching [--config glyphs|small]`.

CO_ATTENTION, ROI_COMPARISON and both beside the paper's matching, with the same weights, which find
the same until the new layers have trained: time of `detect` with one image, of `detect_encoded`
with an encoded image and 20 references, and what is kept of a reference.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROUNDS = 15
REFERENCES = 20
WAYS = {
    "paper": {},
    "co-attention": {"CO_ATTENTION": True},
    "on RoIs": {"ROI_COMPARISON": True},
    "both": {"CO_ATTENTION": True, "ROI_COMPARISON": True},
}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matching", description=__doc__)
    parser.add_argument("--config", choices=("glyphs", "small"), default="glyphs")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image, crops = draw(Path(folder) / "scenes")
        models = make_models(arguments.config, Path(folder))
        jobs = {"detect": {}, f"{REFERENCES} references": {}}
        for name, model in models.items():
            one, many, kept = prepare(model, image, crops)
            jobs["detect"][name], jobs[f"{REFERENCES} references"][name] = one, many
            print(f"{name:14} keeps {kept / 1000:7.1f} kB of a reference", flush=True)
        for job, ways in jobs.items():
            measure(job, ways, arguments.rounds)


def draw(folder):
    """A scene of glyphs, and crops of things of several others."""
    import numpy as np

    from siamese_mrcnn.config import GlyphConfig
    from siamese_mrcnn.data.coco import CocoDataset
    from siamese_mrcnn.data.references import sample_reference
    from siamese_mrcnn.synthetic.glyphs import make_glyphs

    make_glyphs(folder, train_images=2, val_images=12, seed=2718, workers=1, progress=False)
    scenes = CocoDataset.from_folder(folder, "test")
    first, *others = scenes.image_ids
    shown = {class_id: None for image_id in others for class_id in scenes.classes_in(image_id)}
    rng = np.random.default_rng(0)
    crops = [
        sample_reference(scenes, class_id, GlyphConfig(), rng).picture
        for class_id in list(shown)[:REFERENCES]
    ]
    if len(crops) < REFERENCES:
        raise RuntimeError(f"The scenes show {len(crops)} categories, too few to measure with.")
    return scenes.load_image(first), crops


def make_models(config_name, folder):
    """{name of the way: a model with the weights that all of them share}."""
    import keras

    from siamese_mrcnn.config import CONFIGS
    from siamese_mrcnn.model import PRESETS, SiameseMaskRCNN
    from siamese_mrcnn.modeling.co_attention import CO_ATTENTION
    from siamese_mrcnn.modeling.roi_comparison import ROI_COMPARISON

    path, models = PRESETS.get(config_name, folder / "random.h5"), {}
    for name, settings in WAYS.items():
        keras.utils.set_random_seed(0)
        settings = {"DETECTION_MIN_CONFIDENCE": 0.0, **settings}  # as many detections in all
        config = type("Changed", (CONFIGS[config_name],), settings)()
        model = models[name] = SiameseMaskRCNN("inference", str(folder), config)
        if not path.exists():
            model.save_weights(path)
        model.load_weights(path, may_be_missing=[CO_ATTENTION, ROI_COMPARISON])
        model.fold_batch_norm()
    return models


def prepare(model, image, crops):
    """Functions that detect and that detect with an encoded query; bytes kept of a reference."""
    import numpy as np
    from keras import ops

    from siamese_mrcnn.data.references import prepare_reference

    prepared = np.stack([[prepare_reference(crop, model.config)] for crop in crops])
    vectors = model.encode_references(prepared)
    kept = sum(ops.convert_to_numpy(each[0]).nbytes for each in vectors)
    query = model.encode_queries([image])
    functions = (
        lambda: model.detect(crops[0], [image]),
        lambda: model.detect_encoded(query, vectors),
    )
    for function in functions:  # compiles
        function()
    return *functions, kept


def measure(job, ways, rounds):
    """Print medians of seconds and of ratios to the first way, in turn on the same machine."""
    from benchmarks.measure import seconds

    taken = [{name: seconds(run) for name, run in ways.items()} for _ in range(rounds)]
    first = next(iter(ways))
    for name in ways:
        ratio = statistics.median(each[name] / each[first] for each in taken)
        second = statistics.median(each[name] for each in taken)
        print(f"{job:14} {name:14} {second:7.3f} s   ratio {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
