"""What evaluating five runs at once saves: `python -m benchmarks.reuse [--data COCO]`.

Five runs that share the features of each query image, and encode references in batches, against
five times one run that detects with every query from the pixels on.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RUNS = 5
IMAGES = 4
REPETITIONS = 3


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reuse", description=__doc__)
    parser.add_argument("--data", type=Path, help="COCO folder; by default drawn shapes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(_data(arguments.data, Path(folder)), Path(folder))


def measure(data, folder):
    """Print seconds and their ratio, alternating so that both meet the same machine."""
    from benchmarks.cases import detecting_model
    from siamese_mrcnn.data.coco import CocoDataset
    from siamese_mrcnn.evaluation.queries import QueryLoader

    model = detecting_model(folder)
    dataset = CocoDataset.from_folder(data, "test")
    image_ids = [i for i in dataset.image_ids if dataset.classes_in(i)][:IMAGES]

    def loader(runs):
        return QueryLoader(
            dataset, dataset.class_ids[1:], model.config, runs, 1, seed=0, same_image=True
        )

    queries = sum(len(loader(1).classes_in(image_id)) for image_id in image_ids)
    print(f"{len(image_ids)} images, {queries} queries a run, {RUNS} runs")
    ratios = []
    for number in range(REPETITIONS + 1):
        shared = _shared(model, loader(RUNS), image_ids, folder / f"{number}.jsonl")
        apart = RUNS * _apart(model, loader(1), image_ids)
        if number:  # the first compiles
            ratios.append(shared / apart)
            print(f"together {shared:6.1f} s   apart {apart:6.1f} s   ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}")


def _shared(model, loader, image_ids, log_path):
    from siamese_mrcnn.evaluation.detect_queries import search_images
    from siamese_mrcnn.evaluation.progress_log import EvaluationLog

    start = time.perf_counter()
    search_images(model, loader, image_ids, EvaluationLog(log_path), progress=False)
    return time.perf_counter() - start


def _apart(model, loader, image_ids):
    from siamese_mrcnn.evaluation.coco_metrics import encode_detections

    start = time.perf_counter()
    for image_id in image_ids:
        image, queries = loader.load(image_id)
        for query in queries:
            if query.failure:
                raise RuntimeError(query.detail)
            (found,) = model.detect([[each.picture for each in query.references]], [image])
            encode_detections(found, query.source_image_id, query.category_id)
    return time.perf_counter() - start


def _data(data, folder):
    if data is not None:
        return data
    from siamese_mrcnn.synthetic.shapes import make_shapes

    return make_shapes(folder / "shapes", train_images=2, val_images=3 * IMAGES, image_size=640)


if __name__ == "__main__":
    sys.exit(main())
