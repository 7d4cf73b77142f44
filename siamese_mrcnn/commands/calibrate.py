"""Measure what scores mean, and from which score on an answer counts: kept with the weights.

Asks images that training did not use for what they show and for what they do not; then the scores
tell how often a find is right, and `detect` shows what lies above a threshold: nine of ten of that
are right, or what --precision says.
"""

from siamese_mrcnn.commands import common, written_weights


def add_arguments(parser):
    common.add_data_arguments(parser, split="which classes are novel")
    common.add_weights_arguments(parser)
    written_weights.add_out_argument(parser)
    common.add_classes_argument(parser)
    parser.add_argument(
        "--absent",
        type=common.positive,
        default=2,
        metavar="R",
        help="categories to ask every image for that it does not show (default: 2)",
    )
    parser.add_argument(
        "--precision",
        type=common.fraction,
        default=0.9,
        metavar="SHARE",
        help="of the finds from the threshold on that are right (default: 0.9)",
    )
    parser.add_argument("--limit", type=common.positive, metavar="N", help="first N images only")
    parser.add_argument("--seed", type=common.natural, default=0, help="of the draws")
    common.add_config_argument(parser)


def run(arguments):
    common.load_backend(arguments)
    from siamese_mrcnn.training.calibration import calibrate

    written_weights.refuse_other_names(arguments)
    dataset = common.test_data(arguments)
    classes = common.choose_classes(arguments.classes, dataset, arguments.split)
    model = common.detection_model(arguments, fold=False)
    found = calibrate(
        model,
        dataset,
        classes,
        arguments.absent,
        arguments.seed,
        arguments.limit,
        arguments.workers,
        precision=arguments.precision,
    )
    model.save_weights(arguments.out)
    print(
        f"Of {found['detections']} detections {found['right']} are right. From the score "
        f"{found['threshold']:.3f} on, {arguments.precision:.0%} are. Calibration error: "
        f"{found['calibration_error']:.3f} on these. Written: {arguments.out}"
    )
