"""The paper's experiments: which model, classes, schedule and weights, and where files go.

    run = setting("one-shot", split=1, root="..")
    run.train(*run.start_training())

A setting is that of the paper (COCO, its schedules), or of a trial, see
`siamese_mrcnn.experiments.trial`.
"""

from pathlib import Path

from siamese_mrcnn.config import make_config
from siamese_mrcnn.evaluation.plain_mask_rcnn import plain_config
from siamese_mrcnn.experiments import trial
from siamese_mrcnn.experiments.experiment import Experiment, ExperimentError
from siamese_mrcnn.synthetic.shape_outlines import OUTLINES
from siamese_mrcnn.training.schedules import SCHEDULES

EXPERIMENTS = {  # references a query in training; 0: the plain model, which takes none
    "one-shot": 1,
    "five-shot": 5,
    "plain": 0,
}
SPLITS = ("all", 1, 2, 3, 4)
GPUS = {"small": 1, "large": 4}  # of 12 GB, as in the paper
BATCH = 12  # images a step, on however many GPUs (paper, section 4.3)
RUNS = 5  # evaluations, each with other references (paper, section 5.2)
COCO_CLASSES = 80


def setting(experiment="one-shot", split="all", root=".", size="large", gpus=None):
    """Everything that a notebook needs to know of an experiment, as a `Experiment`.

    Args:
        experiment: "one-shot", "five-shot" (five references a query in training) or "plain"
            (Mask R-CNN without references, all classes).
        split: 1, 2, 3, 4 or "all".
        root: the folder that holds data/, checkpoints/ and figures/, as seen from here.
        size: "small" or "large"; the paper's numbers are of the large model.
        gpus: devices to train on, which divide a batch of 12; by default 1 for the small and 4
            for the large model.

    Raises:
        ExperimentError: one of them does not exist.
    """
    _check(experiment, split, size, gpus)
    root, is_trial = Path(root), trial.is_trial()
    home = root / trial.FOLDER if is_trial else root
    config = _config(experiment, split, size, gpus or GPUS[size], is_trial)
    # To save time, a trial evaluates any split with the weights of another one.
    other = [_name(experiment, each, size, is_trial) for each in SPLITS] if is_trial else []
    return Experiment(
        label=_label(experiment, size),
        split=split,
        is_plain=experiment == "plain",
        is_trial=is_trial,
        config=config,
        schedule=trial.SCHEDULE if is_trial else _schedule(split, size),
        runs=trial.RUNS if is_trial else RUNS,
        limit=trial.LIMIT if is_trial else None,
        trained=(config.NAME, *other),
        published=_published(experiment, split, size, root / "checkpoints"),
        data=home / ("shapes" if is_trial else "data/coco"),
        checkpoints=root / "checkpoints",
        logs=home / "logs",
        evaluations=home / "evaluations",
        quick_look=home / "evaluation",
        figures=home / "figures",
    )


def _config(experiment, split, size, gpus, is_trial):
    settings = {"NUM_TARGETS": max(EXPERIMENTS[experiment], 1)}
    settings |= trial.SETTINGS if is_trial else {"GPU_COUNT": gpus, "IMAGES_PER_GPU": BATCH // gpus}
    settings["NAME"] = _name(experiment, split, size, is_trial)
    config = make_config("shapes" if is_trial else size, **settings)
    if experiment == "plain":
        return plain_config(config, 1 + (len(OUTLINES) if is_trial else COCO_CLASSES))
    return config


def _schedule(split, size):
    return SCHEDULES["all-classes" if (size, split) == ("large", "all") else "splits"]


def _published(experiment, split, size, folder):
    """Where the published weights belong; None where there are none."""
    if (experiment, size) != ("one-shot", "large"):
        return None
    part = "full_0320" if split == "all" else f"i{split}_0160"
    return folder / f"large_siamese_mrcnn_coco_{part}.h5"


def _name(experiment, split, size, is_trial):
    """How trainings are called."""
    part = "full" if split == "all" else f"i{split}"
    name = f"{_label(experiment, size)}_coco_{part}".replace("-", "_")
    return f"trial_{name}" if is_trial else name


def _label(experiment, size):
    """What reports call the model."""
    return size if experiment == "one-shot" else f"{size}-{experiment}"


def _check(experiment, split, size, gpus):
    for name, value, allowed in (
        ("experiment", experiment, list(EXPERIMENTS)),
        ("split", split, ["all"] if experiment == "plain" else list(SPLITS)),
        ("size", size, list(GPUS)),
        ("gpus", gpus, [None, *(count for count in range(1, BATCH + 1) if BATCH % count == 0)]),
    ):
        if value not in allowed:
            options = ", ".join(map(repr, allowed))
            raise ExperimentError(f"{name} must be one of {options}, but is {value!r}.")
