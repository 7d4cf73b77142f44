"""Train on COCO or data of your own, by the paper's schedule or in a single phase.

Checkpoints, history.csv and TensorBoard's files go to a folder below --logs. `--weights last`
goes on with the latest run, exactly where it stopped.
"""

import logging

from siamese_mrcnn.commands import common
from siamese_mrcnn.training.schedules import SCHEDULES, WATCHED_IMAGES, Phase

logger = logging.getLogger(__name__)

# Without ImageNet's weights to start from, a higher rate lets the heads overshoot.
RATE, RATE_FROM_RANDOM = 0.02, 0.002


def add_arguments(parser):
    common.add_data_arguments(parser, split="classes to leave out")
    parser.add_argument(
        "--weights",
        default="imagenet",
        metavar="imagenet|last|none|FILE",
        help="start from ImageNet's (imagenet-687 for a split, imagenet-1k for all; or name one "
        "of them, or imagenet-771), go on with the latest run, start at random, or from a file "
        "(default: imagenet)",
    )
    parser.add_argument(
        "--exclude",
        nargs="+",
        metavar="LAYERS",
        help="layers (names or regular expressions) that start at random whatever the file holds, "
        "say where their shape is another: fpn_distance.*",
    )
    parser.add_argument("--logs", default="logs", metavar="FOLDER", help="where runs are saved")
    parser.add_argument(
        "--epochs", type=common.positive, metavar="N", help="one phase up to this epoch"
    )
    parser.add_argument(
        "--schedule",
        choices=tuple(SCHEDULES),
        help="phases of training (default, unless --epochs is given: glyphs or photos with the "
        "--config of that name, "
        "all-classes for the large model of all classes, else splits)",
    )
    parser.add_argument(
        "--layers", metavar="GROUP", help="heads, 3+, 4+, 5+, all or a regular expression"
    )
    parser.add_argument(
        "--learning-rate",
        type=common.above_zero,
        metavar="RATE",
        help="of a single phase (default: LEARNING_RATE of --set; else that of the run to go on "
        f"with; else {RATE}, from random weights {RATE_FROM_RANDOM})",
    )
    add_rate_arguments(parser)
    parser.add_argument("--steps", type=common.positive, metavar="N", help="batches an epoch")
    parser.add_argument(
        "--validation-steps", type=common.natural, metavar="N", help="0: no validation"
    )
    parser.add_argument("--batch-size", type=common.positive, metavar="N", help="images a device")
    parser.add_argument("--gpus", type=common.positive, metavar="N", help="devices (default: 1)")
    common.add_seed_argument(parser)
    add_watch_arguments(parser)
    common.add_config_argument(parser)


def add_rate_arguments(parser):
    parser.add_argument(
        "--warm-up",
        type=common.natural,
        metavar="STEPS",
        help="of a single phase: steps, counted from the very beginning, in which the rate is "
        "less, from a third of it on",
    )
    parser.add_argument(
        "--warm-up-kind",
        choices=("linear", "constant"),
        help="the rate grows evenly (default), or is a third until warm-up ends",
    )
    parser.add_argument(
        "--drop-at",
        type=common.positive,
        nargs="+",
        metavar="STEP",
        help="of a single phase: from each of these steps on, a tenth of the rate before",
    )


def add_watch_arguments(parser):
    parser.add_argument(
        "--watch",
        type=common.positive,
        metavar="N",
        help="after every N-th epoch, measure one-shot AP of the classes left out (of all, if none "
        "is) in validation images, for history.csv and TensorBoard (default: never)",
    )
    parser.add_argument(
        "--watch-images",
        type=common.positive,
        metavar="M",
        help=f"in the first M validation images (default: {WATCHED_IMAGES})",
    )


def run(arguments):
    refuse_mixed_phases(arguments)
    refuse_unwatched_images(arguments)
    common.load_backend(arguments)
    refuse_nothing_to_exclude(arguments)
    import keras

    from mrcnn.files import in_hand
    from mrcnn.training.fit import run_schedule
    from mrcnn.weights.checkpoints import saved_phase
    from siamese_mrcnn.model import SiameseMaskRCNN
    from siamese_mrcnn.own_data.load import describe_parts
    from siamese_mrcnn.training.starting_weights import start_from

    training, validation = common.training_data(arguments)
    print(describe_parts(training, validation, arguments.split))
    config = common.configuration(
        arguments,
        GPU_COUNT=arguments.gpus,
        IMAGES_PER_GPU=arguments.batch_size,
        NUM_TARGETS=arguments.shots,
        STEPS_PER_EPOCH=arguments.steps,
        VALIDATION_STEPS=arguments.validation_steps,
        SEED=arguments.seed,
    )
    keras.utils.set_random_seed(config.SEED)
    model = SiameseMaskRCNN("training", arguments.logs, config)
    watching = watch(arguments, model, validation)
    with in_hand(arguments.weights):
        start_from(model, arguments.weights, arguments.split, training, arguments.exclude)
    for each in watching:
        each.catch_up()
    run_schedule(
        model,
        choose_phases(arguments, saved_phase(model.checkpoint)),
        training,
        validation if config.VALIDATION_STEPS else None,
        workers=arguments.workers,
        custom_callbacks=watching,
    )
    print(f"Epoch {model.epoch} is done. Weights: {model.checkpoint}")


def watch(arguments, model, validation):
    """The callbacks that --watch asks for: a list of one, or none.

    Raises:
        EvaluationError: there is nothing to measure on.
    """
    if arguments.watch is None:
        return []
    if validation is None:
        raise ValueError(
            "--watch measures on validation images, but there are none that can serve. Train "
            "without it, and evaluate afterwards."
        )
    from siamese_mrcnn.data.splits import seen_and_novel
    from siamese_mrcnn.training.one_shot_ap import OneShotAP

    seen, novel = seen_and_novel(validation, arguments.split)
    return [
        OneShotAP(
            model,
            validation,
            novel or seen,
            every=arguments.watch,
            limit=arguments.watch_images or WATCHED_IMAGES,
            workers=arguments.workers,
        )
    ]


def choose_phases(arguments, before):
    """The phases to train: the paper's, or a single one.

    Args:
        arguments: of the command line.
        before: phase that the starting weights were saved in, {"layers", "learning_rate"}; {} if
            there was none. What the arguments leave open goes on as it was.
    """
    if arguments.epochs is None:
        return SCHEDULES[arguments.schedule or usual_schedule(arguments)]
    usual_rate = RATE_FROM_RANDOM if arguments.weights == "none" else RATE
    layers = arguments.layers or before.get("layers", "all")
    return [Phase(arguments.epochs, layers, choose_rate(arguments, before, usual_rate))]


def choose_rate(arguments, before, usual_rate):
    """The learning rate of a single phase: a number, or a `LearningRate` where it changes."""
    from mrcnn.training.learning_rates import learning_rate

    given = {
        "base": arguments.learning_rate or set_rate(arguments),
        "warm_up_steps": arguments.warm_up,
        "warm_up": arguments.warm_up_kind,
        "drop_steps": arguments.drop_at,
    }
    rate = learning_rate(before.get("learning_rate", usual_rate))
    rate = learning_rate(rate._replace(**{key: v for key, v in given.items() if v is not None}))
    return rate if rate.changes else rate.base


def set_rate(arguments):
    """The learning rate that --set LEARNING_RATE=RATE names, or None.

    Raises:
        ValueError: it is none.
    """
    value = dict(arguments.settings).get("LEARNING_RATE")
    if value is not None and not (isinstance(value, int | float) and value > 0):
        raise ValueError(f"LEARNING_RATE must be a number above 0, but is {value!r}.")
    return value


def usual_schedule(arguments):
    """Name of the schedule for a configuration and split."""
    if arguments.config in ("glyphs", "photos"):
        return arguments.config
    return "all-classes" if (arguments.config, arguments.split) == ("large", "all") else "splits"


def refuse_mixed_phases(arguments):
    """Refuse what describes a single phase together with a schedule of several.

    Raises:
        ValueError: names the arguments.
    """
    single = {
        "--epochs": arguments.epochs,
        "--layers": arguments.layers,
        "--learning-rate": arguments.learning_rate,
        "--warm-up": arguments.warm_up,
        "--warm-up-kind": arguments.warm_up_kind,
        "--drop-at": arguments.drop_at,
        "--set LEARNING_RATE": set_rate(arguments),
    }
    given = [name for name, value in single.items() if value is not None]
    if given and (arguments.schedule or arguments.epochs is None):
        raise ValueError(
            f"{' and '.join(given)} cannot be combined with a schedule, which sets epochs, layers "
            "and learning rates itself. Give --epochs without --schedule for a single phase."
        )


def refuse_unwatched_images(arguments):
    """Refuse to be told where to measure, but not when.

    Raises:
        ValueError: names the arguments.
    """
    if arguments.watch_images is not None and arguments.watch is None:
        raise ValueError(
            "--watch-images says on how many images to measure. Give --watch N as well, to say "
            "after how many epochs."
        )


def refuse_nothing_to_exclude(arguments):
    """Refuse to leave layers out where no file is named.

    Raises:
        ValueError: names the arguments.
    """
    from mrcnn.converters.imagenet import PRETRAININGS

    if arguments.exclude and arguments.weights in ("last", "none", "imagenet", *PRETRAININGS):
        raise ValueError(
            "--exclude leaves layers out of the file that --weights names, but that is "
            f"{arguments.weights}. Name a file, or go without --exclude."
        )
