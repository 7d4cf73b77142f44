"""Draw shapes, train on nine kinds for minutes, and find three other kinds.

Each of the three is shown by a single picture. The model starts from random weights, so this
shows that everything works, not how well it can work.
"""

from pathlib import Path

from siamese_mrcnn.commands import common
from siamese_mrcnn.commands.evaluate import summary


def add_arguments(parser):
    parser.add_argument("--out", default="demo_output", metavar="FOLDER", help="where to write")
    parser.add_argument(
        "--steps", type=common.positive, default=320, metavar="N", help="of training (default: 320)"
    )
    common.add_contour_argument(parser)


def run(arguments):
    common.load_backend(arguments)
    from siamese_mrcnn import demo
    from siamese_mrcnn.model import SiameseMaskRCNN

    out = Path(arguments.out)
    print("1. Drawing scenes of shapes")
    training, testing, novel = demo.open_shapes(out / "shapes")
    novel_names = ", ".join(testing.class_names[class_id] for class_id in novel)
    print(f"2. Training on all kinds of shapes but {novel_names}", flush=True)
    weights = out / "demo.weights.h5"
    demo.train(training, arguments.steps, weights)
    print(f"3. Looking for {novel_names}: each shown by one picture", flush=True)
    model = SiameseMaskRCNN("inference", str(out), demo.DemoConfig())
    model.load_weights(weights)
    report, chance = demo.measure(model, testing, novel, out)
    print(summary(report))
    print(f"with the same boxes and masks at random places:\n{summary(chance)}")
    overview, panels = demo.draw_results(model, testing, novel, out, filled=not arguments.contour)
    print(f"4. Look at {panels} and {overview}")
    print(f"   All numbers: {out / 'evaluation' / 'report.md'}; weights: {weights}")
