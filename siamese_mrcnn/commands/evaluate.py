"""Measure one-shot average precision on test images.

Every image is searched for every chosen class that it shows, with references drawn from the other
images. Called again with the same arguments, an interrupted evaluation goes on.
"""

from pathlib import Path

from siamese_mrcnn.commands import common


def add_arguments(parser):
    common.add_data_arguments(parser, split="which classes are novel")
    common.add_weights_arguments(parser)
    common.add_classes_argument(parser)
    parser.add_argument(
        "--profile",
        choices=("clean", "official"),
        default="clean",
        help="official: as the published results were made (default: clean)",
    )
    parser.add_argument("--runs", type=common.positive, default=1, help="with new references each")
    parser.add_argument("--limit", type=common.positive, metavar="N", help="first N images only")
    parser.add_argument("--seed", type=common.natural, default=0, help="of the references' draw")
    parser.add_argument(
        "--references", metavar="FILE", help="use the references.json of an earlier evaluation"
    )
    parser.add_argument(
        "--random-boxes", action="store_true", help="measure chance: move what is found anywhere"
    )
    parser.add_argument(
        "--absent",
        type=common.natural,
        default=0,
        metavar="R",
        help="ask every image for R categories, too, that it does not show, half of them hard: "
        "how well the model says that a thing is not there (presence.md)",
    )
    parser.add_argument(
        "--same",
        choices=("thing", "category"),
        help="references of what the image shows: another view of the same thing, or another thing "
        "of the category (default: either), where annotations name their thing, as those of "
        "make-scenes",
    )
    parser.add_argument("--out", default="evaluation", metavar="FOLDER", help="where to write")
    common.add_config_argument(parser)


def run(arguments):
    common.load_backend(arguments)
    from siamese_mrcnn.evaluation import evaluate
    from siamese_mrcnn.evaluation.absent import read_answers, to_table
    from siamese_mrcnn.evaluation.one_shot import PROFILES
    from siamese_mrcnn.evaluation.presence import presence_numbers
    from siamese_mrcnn.figures.detections import save_figure
    from siamese_mrcnn.figures.presence_plots import draw_presence

    reasons = dict.fromkeys(PROFILES[arguments.profile], "The profile decides: see --profile.")
    common.refuse_settings(arguments, reasons | {"NUM_TARGETS": "Give --shots instead."})
    dataset = common.test_data(arguments)
    classes = common.choose_classes(arguments.classes, dataset, arguments.split)
    model = common.detection_model(arguments, IMAGES_PER_GPU=1, NUM_TARGETS=arguments.shots)
    report = evaluate(
        model,
        dataset,
        classes,
        runs=arguments.runs,
        shots=arguments.shots,
        profile=arguments.profile,
        limit=arguments.limit,
        seed=arguments.seed,
        output=arguments.out,
        references=arguments.references,
        random_boxes=arguments.random_boxes,
        workers=arguments.workers,
        split=arguments.split,
        absent=arguments.absent,
        threshold=model.threshold,
        same=arguments.same,
    )
    print(summary(report))
    if arguments.absent:
        answers = read_answers(arguments.out)
        figure = draw_presence(answers, presence_numbers(answers, model.threshold))
        save_figure(figure, Path(arguments.out) / "presence", ("png",))
        print(f"\n{to_table(report['presence'])}\n")
    print(f"All numbers: {arguments.out}/report.md")


def summary(report):
    """AP and AP50 of boxes and masks in percent, and what could not be asked; a line each."""
    from siamese_mrcnn.evaluation.reports import KIND_TITLES, percent

    lines = []
    for kind, title in KIND_TITLES.items():
        if kind in report:
            ap, ap50 = (percent(report[kind][name]) for name in ("AP", "AP50"))
            lines.append(
                f"{title}: AP {ap} %, AP50 {ap50} % "
                f"({report['images']} images, {report['queries']} queries, {report['runs']} runs)"
            )
    lines += [f"not asked: {count} x {why}" for why, count in report["failures"].items()]
    return "\n".join(lines)
