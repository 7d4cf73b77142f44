"""Find what one picture shows: coins in photographs, and symbols that the model never saw.

Searches photographs that come with scikit-image for one coin, with the model for photographs. Then,
with the model for symbols, draws scenes of 80 symbols from a seed that training never used and
measures the model on the 20 symbols that were left out of its training and on the others, with one
reference and with five, and chance, and asks for symbols that scenes do not show; draws what was
found; then trains some steps from nothing, to show that this works too.
"""

import statistics
from pathlib import Path

from siamese_mrcnn.commands import common

SEED = 2718  # the weights of the repository were trained on scenes of seed 0
STEPS_AVERAGED = 5  # of training, since the loss of a single batch says little


def add_arguments(parser):
    parser.add_argument("--out", default="demo_output", metavar="FOLDER", help="where to write")
    parser.add_argument("--weights", metavar="FILE", help="default: those in checkpoints/")
    parser.add_argument(
        "--scenes", type=common.positive, default=300, metavar="N", help="to search (default: 300)"
    )
    parser.add_argument(
        "--runs", type=common.positive, default=1, help="with new references each (default: 1)"
    )
    parser.add_argument(
        "--seed", type=common.natural, default=SEED, metavar="N", help="of the scenes"
    )
    parser.add_argument(
        "--steps", type=common.natural, default=30, metavar="N", help="of training (default: 30)"
    )
    common.add_contour_argument(parser)


def run(arguments):
    common.load_backend(arguments)
    from siamese_mrcnn import demo
    from siamese_mrcnn.evaluation.absent import to_table as presence_table
    from siamese_mrcnn.experiments.benchmark import run_benchmark, to_table
    from siamese_mrcnn.model import SiameseMaskRCNN
    from siamese_mrcnn.photo_demo import said, search_for_a_coin

    weights = demo.shipped_weights(arguments.weights)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    print("1. Searching photographs for one coin", flush=True)
    picture, found = search_for_a_coin(SiameseMaskRCNN.from_preset("photos"), out)
    print("   " + ", ".join(f"{name}: {said(each)}" for name, each in found.items()))
    print(f"   Look at {picture}", flush=True)
    count, seed, benchmark = arguments.scenes, arguments.seed, out / "benchmark"
    print(f"2. Drawing {count} scenes with seed {seed}", flush=True)
    training, testing = demo.draw_scenes(out / f"glyphs_seed{seed}_{count}", count, seed)
    print(f"3. Searching them with {weights}", flush=True)
    model = demo.load_model(weights, out)
    reports = run_benchmark(
        model, testing, demo.SPLIT, benchmark, absent=demo.ABSENT, runs=arguments.runs
    )
    print(f"In percent; novel categories were never trained on:\n\n{to_table(reports)}\n")
    print(presence_table(next(iter(reports.values()))["presence"]), end="\n\n")
    pictures = demo.draw_sheets(model, testing, benchmark, out, not arguments.contour)
    if arguments.steps:
        print(f"4. Training {arguments.steps} steps from random weights", flush=True)
        losses = demo.train(training, arguments.steps, out)
        count = min(STEPS_AVERAGED, max(1, len(losses) // 2))
        first, last = (statistics.fmean(part) for part in (losses[:count], losses[-count:]))
        print(f"   The loss went from {first:.2f} to {last:.2f} (means of {count} steps).")
    print("Look at " + ", ".join(map(str, pictures)))
    print(f"All numbers: {benchmark}")
