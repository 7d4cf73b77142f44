"""`siamese-mrcnn`: detect, train, evaluate and look after weights from the command line."""

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading

try:
    from mrcnn.harmless_text import for_terminal
    from siamese_mrcnn.commands.common import shared_arguments
    from siamese_mrcnn.error_sentences import sentence_of
except ImportError as error:  # a backend of Keras that is not there, or not known
    sys.exit(f"siamese-mrcnn: {error}")

COMMANDS = {
    "detect": "find in pictures what a reference shows",
    "references": "keep things by name, to detect several at once",
    "serve": "open a page to search photos by a box around a thing, and a REST interface",
    "pretrain": "make weights to start training from, where none fit",
    "train": "train on COCO or data of your own",
    "train-verifier": "train the second look, which says no",
    "calibrate": "measure what scores mean, and keep it with the weights",
    "evaluate": "measure one-shot average precision",
    "weights": "look into weights files and convert them",
    "download": "fetch COCO 2017 into a folder",
    "import-data": "bring data of your own into COCO's layout",
    "shapes": "draw the small data set that needs no download",
    "make-glyphs": "draw a one-shot benchmark of cluttered symbols, of any size",
    "make-scenes": "paste cut-outs of your own on photos, to train on",
    "demo": "find coins in photographs, and symbols that the model never saw",
}
DATA_SETS = ("download", "import-data", "shapes", "make-glyphs", "make-scenes")
INTERRUPTED = 130  # what shells report for Ctrl-C
TERMINATED = 143  # for SIGTERM, by which systems ask a program to end
UNREAD = 141  # and for a program whose reader, say `head`, has ended


def main(argv=None):
    """Run one command.

    Args:
        argv: list of arguments; those of the process by default.

    Returns:
        0 if all went well, 1 after an error (a sentence on stderr says which), 130 after Ctrl-C,
        143 after SIGTERM, 141 if nobody reads what is printed. Arguments that cannot be understood
        end the process with 2, as argparse does.
    """
    _print_anything()
    arguments = _parser().parse_args(argv)
    _quieten(getattr(arguments, "verbose", False))
    try:
        with _terminated_as_interrupted():
            status = arguments.run(arguments) or 0
            sys.stdout.flush()
        return status
    except TerminatedError:
        print("siamese-mrcnn: terminated.", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        print("siamese-mrcnn: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more when it ends: to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except Exception as error:
        if getattr(arguments, "debug", False):
            raise
        print(f"siamese-mrcnn: {sentence_of(error)}", file=sys.stderr)
        return 1


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


@contextlib.contextmanager
def _terminated_as_interrupted():
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _terminate(number, frame):
    raise TerminatedError


def _print_anything():
    """Names of files may hold what the terminal's encoding cannot write, or no text at all."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _parser():
    parser = argparse.ArgumentParser(
        prog="siamese-mrcnn",
        description="One-shot instance segmentation: show a picture of a thing, find every such "
        "thing, pixel by pixel.",
        epilog="`siamese-mrcnn COMMAND --help` explains a command.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        folder = "commands.data_sets" if name in DATA_SETS else "commands"
        command = importlib.import_module(f"siamese_mrcnn.{folder}.{name.replace('-', '_')}")
        subparser = commands.add_parser(
            name,
            help=summary,
            description=command.__doc__,
            parents=[shared_arguments()],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


class _Harmless(logging.Formatter):
    """Messages name files, which may be called anything."""

    def format(self, record):
        return for_terminal(super().format(record), keep="\n")


def _quieten(verbose):
    """Warnings and errors only, from TensorFlow's own machinery not even those."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler()
    handler.setFormatter(_Harmless("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    logging.getLogger("absl").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
