"""What is an experiment: the paper's numbers for each, a trial's when the switch says so."""

import itertools
from pathlib import Path

import pytest

import mrcnn.config
import siamese_mrcnn.config
from mrcnn.weights.checkpoints import checkpoint_path
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.experiments import trial
from siamese_mrcnn.experiments.experiment import ExperimentError
from siamese_mrcnn.experiments.paper import EXPERIMENTS, GPUS, SPLITS, setting
from siamese_mrcnn.training.schedules import SCHEDULES
from tiny import arrays_of, assert_same_arrays


@pytest.fixture(autouse=True)
def not_a_trial(monkeypatch):
    monkeypatch.delenv(trial.SWITCH, raising=False)


@pytest.fixture
def a_trial(monkeypatch):
    monkeypatch.setenv(trial.SWITCH, "1")


def every_setting():
    for experiment, split, size in itertools.product(EXPERIMENTS, SPLITS, GPUS):
        if experiment != "plain" or split == "all":
            yield setting(experiment, split, size=size)


def made_checkpoint(run, name):
    """An empty file where a training of this name would leave its second epoch."""
    folder = run.logs / f"{name}20260101T000000"
    folder.mkdir(parents=True)
    path = checkpoint_path(folder, name, 2)
    path.touch()
    return path


def test_a_split_is_trained_as_in_the_paper():
    run = setting("one-shot", 3, "..")
    assert isinstance(run.config, siamese_mrcnn.config.LargeConfig)
    assert (run.config.GPU_COUNT, run.config.IMAGES_PER_GPU, run.config.BATCH_SIZE) == (4, 3, 12)
    assert (run.config.IMAGE_MAX_DIM, run.config.NUM_TARGETS) == (1024, 1)
    assert run.schedule == SCHEDULES["splits"]
    assert (run.runs, run.limit) == (5, None)
    assert (run.data, run.logs) == (Path("../data/coco"), Path("../logs"))
    assert run.published == Path("../checkpoints/large_siamese_mrcnn_coco_i3_0160.h5")


def test_the_large_model_of_all_classes_trains_twice_as_long():
    run = setting("one-shot", "all")
    assert run.schedule == SCHEDULES["all-classes"] and run.schedule[-1].epochs == 320
    assert run.published == Path("checkpoints/large_siamese_mrcnn_coco_full_0320.h5")
    assert setting("one-shot", "all", size="small").schedule == SCHEDULES["splits"]


def test_the_small_model_takes_one_device():
    run = setting("one-shot", 1, size="small")
    assert (run.config.GPU_COUNT, run.config.IMAGES_PER_GPU) == (1, 12)
    assert run.config.IMAGE_MAX_DIM == 512
    assert run.published is None


@pytest.mark.parametrize("gpus", [1, 2, 3, 12])
def test_the_batch_stays_whatever_the_number_of_devices(gpus):
    config = setting("one-shot", 1, gpus=gpus).config
    assert config.GPU_COUNT == gpus and config.BATCH_SIZE == 12


def test_five_references_are_of_training():
    run = setting("five-shot", 1)
    assert run.config.NUM_TARGETS == 5 and run.config.TARGET_SHAPE[0] == 5
    assert run.published is None  # the published ones were trained with one


def test_the_plain_model_has_the_sizes_of_the_siamese_one_and_cocos_classes():
    run, siamese = setting("plain"), setting("one-shot", "all")
    assert run.is_plain and not isinstance(run.config, siamese_mrcnn.config.Config)
    assert run.config.NUM_CLASSES == 81 and run.config.IMAGE_META_SIZE == 12 + 81
    assert run.schedule == siamese.schedule
    different = {
        name
        for name, value in run.config.items()
        if hasattr(mrcnn.config.Config, name) and repr(value) != repr(getattr(siamese.config, name))
    }
    assert different == {"NAME", "NUM_CLASSES"}
    assert run.config.BATCH_SIZE == 12 and run.config.TOP_DOWN_PYRAMID_SIZE == 256


@pytest.mark.parametrize("value", ["0", "1"])
def test_no_two_experiments_share_files(monkeypatch, value):
    monkeypatch.setenv(trial.SWITCH, value)
    runs = list(every_setting())
    assert len(runs) == 22
    assert len({run.config.NAME for run in runs}) == 22
    folders = {run.evaluation_folder("novel") for run in runs if not run.is_plain}
    assert len(folders) == 20


def test_a_trial_is_small_and_stays_in_its_folder(a_trial):
    run = setting("one-shot", 2, "..")
    home = Path("..") / trial.FOLDER
    for folder in (run.data, run.logs, run.evaluations, run.quick_look, run.figures):
        assert folder.is_relative_to(home)
    assert run.schedule == trial.SCHEDULE and run.limit == trial.LIMIT
    assert run.config.BATCH_SIZE * run.config.STEPS_PER_EPOCH <= 4
    assert run.config.NAME != setting("one-shot", 1).config.NAME
    assert setting("plain").config.NUM_CLASSES == 13  # twelve kinds of shapes


@pytest.mark.parametrize("value", ["yes", "2", "true"])
def test_the_switch_is_on_or_off(monkeypatch, value):
    monkeypatch.setenv(trial.SWITCH, value)
    with pytest.raises(trial.SwitchError, match=f"must be 1 .* but is '{value}'"):
        setting()


@pytest.mark.parametrize("value", ["", "0"])
def test_the_switch_is_off_by_default(monkeypatch, value):
    monkeypatch.setenv(trial.SWITCH, value)
    assert not setting().is_trial


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"experiment": "two-shot"}, "experiment must be one of 'one-shot', 'five-shot', 'plain'"),
        ({"split": 5}, "split must be one of 'all', 1, 2, 3, 4, but is 5"),
        ({"experiment": "plain", "split": 1}, "split must be one of 'all', but is 1"),
        ({"size": "huge"}, "size must be one of 'small', 'large'"),
        ({"gpus": 5}, "gpus must be one of None, 1, 2, 3, 4, 6, 12, but is 5"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, said):
    with pytest.raises(ExperimentError, match=said):
        setting(**arguments)


def test_the_groups_of_classes(shapes_folder):
    dataset = CocoDataset.from_folder(shapes_folder, "test")
    groups = setting("one-shot", 2).subsets(dataset)
    assert groups == {"seen": (1, 3, 4, 5, 7, 8, 9, 11, 12), "novel": (2, 6, 10)}
    assert setting("one-shot", "all").subsets(dataset) == {"all": tuple(range(1, 13))}


def test_the_last_weights_are_those_of_the_same_experiment(tmp_path):
    run, other = setting("one-shot", 1, tmp_path), setting("one-shot", 2, tmp_path)
    made_checkpoint(other, other.config.NAME)
    with pytest.raises(FileNotFoundError, match=run.config.NAME):
        run.trained_weights("last")
    path = made_checkpoint(run, run.config.NAME)
    assert run.trained_weights("last") == path


def test_in_a_trial_the_weights_of_another_split_do(a_trial, tmp_path):
    run, other = setting("one-shot", 2, tmp_path), setting("one-shot", 1, tmp_path)
    path = made_checkpoint(other, other.config.NAME)
    assert run.trained_weights("last") == path
    own = made_checkpoint(run, run.config.NAME)
    assert run.trained_weights("last") == own
    with pytest.raises(FileNotFoundError):
        setting("five-shot", 1, tmp_path).trained_weights("last")


def test_published_weights_are_looked_for_where_they_belong(tmp_path):
    run = setting("one-shot", 4, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"large_siamese_mrcnn_coco_i4_0160\.h5"):
        run.trained_weights("published")
    run.published.parent.mkdir()
    run.published.touch()
    assert run.trained_weights("published") == run.published
    with pytest.raises(ExperimentError, match=r"No weights of the model large-five-shot"):
        setting("five-shot", 4, tmp_path).trained_weights("published")


def test_a_file_is_taken_as_it_is(tmp_path):
    run = setting(root=tmp_path)
    with pytest.raises(FileNotFoundError, match="There are no weights"):
        run.trained_weights(tmp_path / "mine.h5")
    (tmp_path / "mine.h5").touch()
    assert run.trained_weights(str(tmp_path / "mine.h5")) == tmp_path / "mine.h5"


@pytest.mark.parametrize("experiment", ["one-shot", "plain"])
def test_training_starts_where_the_latest_one_stopped(a_trial, tmp_path, capsys, experiment):
    run = setting(experiment, root=tmp_path)
    first, training, _ = run.start_training()
    path = made_checkpoint(run, run.config.NAME)
    first.save_weights(path)
    second, _, _ = run.start_training()
    assert (first.epoch, second.epoch) == (0, 2)
    assert second.log_dir == str(path.parent) and f"Going on after epoch 2: {path}" in said(capsys)
    assert_same_arrays(arrays_of(second.keras_model), arrays_of(first.keras_model))
    assert training.active_classes == tuple(range(1, 13))


def test_training_follows_the_schedule():
    run, model = setting("one-shot", 1), StagesSeen()
    assert run.train(model, "training", "validation", callbacks=("watching",)) == "checkpoint 160"
    assert model.phases == [(0.02, 1, "heads"), (0.02, 120, "all"), (0.002, 160, "all")]
    assert model.others == [("training", "validation", ["watching"])] * 3


class StagesSeen:
    """A model that notes what it is to be trained with."""

    epoch = 0

    def __init__(self):
        self.phases, self.others = [], []

    def train(self, training, validation, rate, epochs, layers, custom_callbacks, workers):
        self.phases.append((rate, epochs, layers))
        self.others.append((training, validation, custom_callbacks))
        self.checkpoint = f"checkpoint {epochs}"


def said(capsys):
    return capsys.readouterr().out
