"""The commands of `siamese-mrcnn`, one a file: `add_arguments(parser)` and `run(arguments)`."""
