"""Weights that a command writes: their name, and what an interrupted call goes on from."""

import contextlib
import shutil


def add_out_argument(parser):
    parser.add_argument("--out", required=True, metavar="FILE", help="a .weights.h5 file to write")


def refuse_other_names(arguments):
    """Refuse what `save_weights` would refuse, before the work is done.

    Raises:
        ValueError: --out is no name of Keras' weights files.
    """
    from mrcnn.weights.hdf5 import KERAS_SUFFIX

    if not arguments.out.endswith(KERAS_SUFFIX):
        raise ValueError(f"--out must end in {KERAS_SUFFIX}, but is {arguments.out}.")


@contextlib.contextmanager
def unfinished(arguments):
    """The folder of what a repeated call goes on from; it goes when the weights are written."""
    from mrcnn.locks import alone_in

    backup = f"{arguments.out}.unfinished"
    with alone_in(backup):
        yield backup
        shutil.rmtree(backup)
