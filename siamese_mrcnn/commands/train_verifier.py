"""Train the second look: compare what is found with the reference once more, and say no.

Takes trained weights, which stay as they are, and writes them with those of the verifier; whoever
trains them further repeats this. An interrupted call goes on after its last whole epoch when it is
repeated. Then `calibrate`.
"""

import shutil

from siamese_mrcnn.commands import common


def add_arguments(parser):
    common.add_data_arguments(parser, split="classes to leave out")
    common.add_weights_arguments(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="a .weights.h5 file to write")
    parser.add_argument("--epochs", type=common.positive, default=16, metavar="N")
    parser.add_argument(
        "--steps", type=common.positive, metavar="N", help="batches of 64 crops an epoch"
    )
    parser.add_argument(
        "--turned",
        action="store_true",
        help="a category turned by a quarter or mirrored is another one: for symbols",
    )
    common.add_seed_argument(parser)
    common.add_config_argument(parser)


def run(arguments):
    rate = "This step has a rate of its own; LEARNING_RATE is that of train."
    common.refuse_settings(arguments, {"LEARNING_RATE": rate})
    common.load_backend(arguments)
    import keras

    from mrcnn.locks import alone_in
    from mrcnn.weights.hdf5 import KERAS_SUFFIX
    from siamese_mrcnn.config import Config
    from siamese_mrcnn.modeling.verification import VERIFIER
    from siamese_mrcnn.own_data.load import open_data
    from siamese_mrcnn.training.verifier_training import VERIFIED_FINDS, train_verifier

    if not arguments.out.endswith(KERAS_SUFFIX):
        raise ValueError(f"--out must end in {KERAS_SUFFIX}, but is {arguments.out}.")
    training, _ = open_data(arguments.data, arguments.split, **common.source_options(arguments))
    keras.utils.set_random_seed(Config.SEED if arguments.seed is None else arguments.seed)
    model = common.detection_model(
        arguments,
        may_be_missing=[VERIFIER],
        fold=False,
        VERIFIED_FINDS=VERIFIED_FINDS,
        NUM_TARGETS=arguments.shots,
        STEPS_PER_EPOCH=arguments.steps,
        SEED=arguments.seed,
    )
    backup = f"{arguments.out}.unfinished"
    with alone_in(backup):
        train_verifier(
            model,
            training,
            arguments.epochs,
            model.config.STEPS_PER_EPOCH,
            arguments.turned,
            arguments.workers,
            backup,
        )
        model.save_weights(arguments.out)
        shutil.rmtree(backup)
    print(f"Weights with a verifier: {arguments.out}")
