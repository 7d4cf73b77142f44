"""Train the second look: compare what is found with the reference once more, and say no.

Takes trained weights, which stay as they are, and writes them with those of the verifier; whoever
trains them further repeats this. An interrupted call goes on after its last whole epoch when it is
repeated. Then `calibrate`.
"""

from siamese_mrcnn.commands import common, written_weights


def add_arguments(parser):
    common.add_data_arguments(parser, split="classes to leave out")
    common.add_weights_arguments(parser)
    written_weights.add_out_argument(parser)
    parser.add_argument("--epochs", type=common.positive, default=16, metavar="N")
    parser.add_argument(
        "--steps", type=common.positive, metavar="N", help="batches of 64 crops an epoch"
    )
    parser.add_argument(
        "--turned",
        action="store_true",
        help="a category turned by a quarter or mirrored is another one: for symbols",
    )
    parser.add_argument(
        "--encode-once",
        type=common.positive,
        metavar="N",
        help="cut out and encode N batches once, and learn from them again and again: far quicker "
        "(default: each step has crops of its own)",
    )
    common.add_seed_argument(parser)
    common.add_config_argument(parser)


def run(arguments):
    rate = "This step has a rate of its own; LEARNING_RATE is that of train."
    common.refuse_settings(arguments, {"LEARNING_RATE": rate})
    common.load_backend(arguments)
    import keras

    from siamese_mrcnn.config import Config
    from siamese_mrcnn.modeling.verification import VERIFIER
    from siamese_mrcnn.training.verifier_training import VERIFIED_FINDS, train_verifier

    written_weights.refuse_other_names(arguments)
    training, _ = common.training_data(arguments)
    keras.utils.set_random_seed(Config.SEED if arguments.seed is None else arguments.seed)
    model = common.detection_model(
        arguments,
        may_be_missing=[VERIFIER],
        fold=False,
        usual={"VERIFIED_FINDS": VERIFIED_FINDS},
        NUM_TARGETS=arguments.shots,
        STEPS_PER_EPOCH=arguments.steps,
        SEED=arguments.seed,
    )
    with written_weights.unfinished(arguments) as backup:
        train_verifier(
            model,
            training,
            arguments.epochs,
            model.config.STEPS_PER_EPOCH,
            arguments.turned,
            arguments.workers,
            backup,
            encoded=arguments.encode_once,
        )
        model.save_weights(arguments.out)
    print(f"Weights with a verifier: {arguments.out}")
