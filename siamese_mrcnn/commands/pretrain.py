"""Make weights to start training from, where none fit: learn to name crops of the seen categories.

Writes weights of the whole model; `train --weights FILE` goes on from there. An interrupted call
goes on after its last whole epoch when it is repeated.
"""

from siamese_mrcnn.commands import common, written_weights


def add_arguments(parser):
    common.add_data_arguments(parser, split="classes to leave out")
    written_weights.add_out_argument(parser)
    parser.add_argument("--epochs", type=common.positive, default=10, metavar="N")
    parser.add_argument(
        "--steps", type=common.positive, metavar="N", help="batches of 32 crops an epoch"
    )
    common.add_seed_argument(parser)
    common.add_config_argument(parser)


def run(arguments):
    rate = "This step has a rate of its own; LEARNING_RATE is that of train."
    common.refuse_settings(arguments, {"LEARNING_RATE": rate})
    common.load_backend(arguments)
    import keras

    from siamese_mrcnn.model import SiameseMaskRCNN
    from siamese_mrcnn.training.category_pretraining import pretrain

    written_weights.refuse_other_names(arguments)
    training, _ = common.training_data(arguments)
    config = common.configuration(
        arguments,
        NUM_TARGETS=arguments.shots,
        STEPS_PER_EPOCH=arguments.steps,
        SEED=arguments.seed,
    )
    keras.utils.set_random_seed(config.SEED)
    model = SiameseMaskRCNN("training", "logs", config)
    with written_weights.unfinished(arguments) as backup:
        steps = config.STEPS_PER_EPOCH
        pretrain(model, training, arguments.epochs, steps, arguments.workers, backup)
        model.save_weights(arguments.out)
    print(f"Weights to start from: {arguments.out}")
