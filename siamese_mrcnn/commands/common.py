"""What several commands share: the configuration, the model and kinds of arguments."""

import argparse
import ast
import contextlib
import json
import logging
import os
import sys


def shared_arguments():
    """A parser to inherit from: what every command understands."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--verbose", action="store_true", help="tell more of what happens")
    return parser


def load_backend(arguments):
    """Import Keras with its backend, without the page that TensorFlow writes past all logging."""
    import mrcnn  # noqa: F401 - says what to install where there is no backend

    quiet = not (getattr(arguments, "verbose", False) or getattr(arguments, "debug", False))
    with _closed_stderr() if quiet else contextlib.nullcontext():
        import keras  # noqa: F401
    if quiet:
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def _closed_stderr():
    """Lead file descriptor 2 nowhere, which reaches libraries written in C++ too."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def add_config_argument(parser):
    parser.add_argument(
        "--config",
        metavar="small|large|glyphs|shapes",
        help="the paper's small or large model, or that of drawn glyphs or shapes (default: what "
        "trained weights say of themselves, else small)",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        type=assignment,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a number of the configuration, say COMPARISON=cosine; may be given again",
    )


def refuse_settings(arguments, reasons):
    """Refuse to be told by --set what a command decides by itself.

    Args:
        arguments: of `add_config_argument`.
        reasons: {key: a sentence that says what decides}.

    Raises:
        ValueError: with the sentence.
    """
    for key, _ in arguments.settings:
        if key in reasons:
            raise ValueError(f"--set {key} would change nothing here. {reasons[key]}")


def add_data_arguments(parser, split):
    """Which data, and how it is asked for.

    Args:
        parser: to add to.
        split: what --split decides, for its help.
    """
    parser.add_argument(
        "--data",
        required=True,
        metavar="FOLDER|FILE",
        help="a folder in COCO's own layout; or data of your own, see import-data",
    )
    add_source_arguments(parser)
    splits = parser.add_mutually_exclusive_group()
    # The default is no text: argparse would take a given "1" for the default, not for a choice.
    splits.add_argument("--split", default=1, metavar="1|2|3|4|all", help=f"{split} (default: 1)")
    splits.add_argument(
        "--novel",
        dest="split",
        default=argparse.SUPPRESS,
        type=names,
        metavar="NAMES|FILE",
        help="a split of your own: names of the classes to leave out of training, separated by "
        "commas, or a file with one a line (or a list in JSON)",
    )
    parser.add_argument("--shots", type=positive, default=1, help="references a query")
    parser.add_argument("--workers", type=positive, default=2, help="threads that load")


def add_source_arguments(parser):
    """How to read data that is not in COCO's own layout."""
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        help="of an annotation file (default: where the file is, or images in there)",
    )
    parser.add_argument(
        "--attribute",
        metavar="NAME",
        help="of a VIA file: the region attribute that names the category (default: the only one)",
    )
    parser.add_argument(
        "--category", metavar="NAME", help="what everything is, where VIA or masks name none"
    )
    parser.add_argument(
        "--boxes-as-masks",
        action="store_true",
        help="of a COCO file: take boxes as outlines where there are none",
    )
    parser.add_argument(
        "--skip-missing",
        action="store_true",
        help="leave out images that are listed, but not there",
    )


def source_options(arguments):
    """What `add_source_arguments` asked for, as `own_data.load.load_dataset` takes it."""
    names = ("images", "attribute", "category", "boxes_as_masks", "skip_missing")
    return {name: getattr(arguments, name) for name in names}


def training_data(arguments):
    """Training and validation data, see `own_data.load.open_data`."""
    from mrcnn.files import in_hand
    from siamese_mrcnn.own_data.load import open_data

    with in_hand(arguments.data):
        return open_data(arguments.data, arguments.split, **source_options(arguments))


def test_data(arguments):
    """Data to measure on, see `own_data.load.load_dataset`."""
    from mrcnn.files import in_hand
    from siamese_mrcnn.own_data.load import load_dataset

    with in_hand(arguments.data):
        return load_dataset(arguments.data, portion="test", **source_options(arguments))


def add_weights_arguments(parser, default=None):
    """Which weights to load: by default a preset, or they have to be named."""
    parser.add_argument(
        "--weights",
        required=default is None,
        default=default,
        metavar="FILE|NAME|last",
        help="trained weights; of the box: photos, glyphs; or the latest run's"
        + (f" (default: {default})" if default else ""),
    )
    parser.add_argument(
        "--logs", default="logs", metavar="FOLDER", help="where runs are, for --weights last"
    )


def add_library_argument(parser, default="references"):
    """Of things that have names; without a default it can be told whether it was given."""
    parser.add_argument(
        "--library",
        default=default,
        metavar="FOLDER",
        help="of things that have names (default: references)",
    )


def add_classes_argument(parser):
    parser.add_argument(
        "--classes",
        default="novel",
        metavar="CLASSES",
        help="novel, seen, all, or names separated by commas (default: novel)",
    )


def add_seed_argument(parser):
    parser.add_argument(
        "--seed",
        type=natural,
        metavar="N",
        help="of all that is drawn: first weights and samples (default: SEED of --config)",
    )


def add_contour_argument(parser):
    parser.add_argument(
        "--contour", action="store_true", help="draw the outlines of masks, and do not fill them"
    )


def configuration(arguments, **overrides):
    """The configuration to train: that of --config, changed by --set, see `make_config`."""
    from siamese_mrcnn.config import make_config

    return make_config(arguments.config or "small", arguments.settings, **overrides)


def detection_model(arguments, may_be_missing=(), fold=True, usual=None, **overrides):
    """A model for detection, with its weights: those of a file, a preset or the latest run.

    Args:
        arguments: with those of `add_weights_arguments` and `add_config_argument`. Without --config
            the configuration is what the weights carry, if they do.
        may_be_missing: regular expressions of layers that the file need not hold.
        fold: whether batch norm is folded, which detects faster, and changes the weights.
        usual: values of settings for weights that carry none, or 0.
        overrides: of the configuration; those whose value is None are left out.
    """
    from mrcnn.files import in_hand
    from siamese_mrcnn.model import SiameseMaskRCNN

    carried, path = {}, None
    if arguments.weights != "last":
        path = SiameseMaskRCNN.preset_file(arguments.weights)
        carried = _carried_settings(path) if arguments.config is None else {}
    unset = {name: value for name, value in (usual or {}).items() if not carried.get(name)}
    given = {name: value for name, value in overrides.items() if value is not None}
    config = configuration(arguments, **{**carried, **unset, "GPU_COUNT": 1, **given})
    model = SiameseMaskRCNN("inference", arguments.logs, config)
    path = path or model.find_last()
    with in_hand(path):
        model.load_weights(path, may_be_missing=may_be_missing)
    if fold:
        model.fold_batch_norm()
    return model


def _carried_settings(path):
    from mrcnn.weights.presets import known_settings, read_facts
    from siamese_mrcnn.config import Config

    return known_settings(read_facts(path).get("settings", {}), Config)


def positive(text):
    """A whole number of at least 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number of at least 1")


def natural(text):
    """A whole number of at least 0."""
    return _number(text, int, lambda value: value >= 0, "a whole number of at least 0")


def above_zero(text):
    """A number above 0."""
    return _number(text, float, lambda value: value > 0, "a number above 0")


def fraction(text):
    """A number from 0 to 1."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def assignment(text):
    """KEY=VALUE: the key, and the value as a Python literal, or as text if it is none."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        value = ast.literal_eval(value)
    return key, value


def names(text):
    """A tuple of names: separated by commas, or those of a file, a line each or a JSON list."""
    if os.path.isfile(text):
        return _names_of_file(text)
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"expected names separated by commas, got {text!r}")
    return found


def box(text):
    """Four whole numbers "y1,x1,y2,x2" in pixels, y2 and x2 outside."""
    try:
        y1, x1, y2, x2 = (int(part) for part in text.split(","))
    except ValueError:
        y1 = x1 = y2 = x2 = 0
    if not (0 <= y1 < y2 and 0 <= x1 < x2):
        raise argparse.ArgumentTypeError(
            f"expected y1,x1,y2,x2 in pixels with y1 < y2 and x1 < x2, got {text!r}"
        )
    return y1, x1, y2, x2


def _names_of_file(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
        found = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
        stripped = tuple(name.strip() for name in found if name.strip())
    except (OSError, ValueError, AttributeError) as error:
        raise argparse.ArgumentTypeError(
            f"expected a file with a name a line or with a JSON list of names, but {path} cannot "
            f"be read as such: {error}"
        ) from error
    if not stripped:
        raise argparse.ArgumentTypeError(f"expected a file with names, but {path} holds none")
    return stripped


def _number(text, kind, allowed, expected):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not allowed(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


def choose_classes(text, dataset, split):
    """Class ids from "novel", "seen", "all", or names separated by commas.

    Raises:
        ValueError: a name that the data set does not have, or a split without novel classes.
    """
    from siamese_mrcnn.data.splits import class_ids_of, seen_and_novel

    seen, novel = seen_and_novel(dataset, split)
    subsets = {"all": dataset.class_ids[1:].tolist(), "seen": seen, "novel": novel}
    if text not in subsets:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        return class_ids_of(chosen or [text], dataset)
    if not subsets[text]:
        raise ValueError(
            f"Split {split} has no {text} classes. Choose --split 1, 2, 3 or 4, name them by "
            "--novel, or choose --classes all."
        )
    return list(subsets[text])
