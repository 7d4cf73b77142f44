"""The command line: what it accepts, and what it says when it cannot."""

import argparse
import os
import subprocess
import sys

import pytest

from command_line import call, misunderstood, refused
from mrcnn.config import ConfigError
from siamese_mrcnn import cli
from siamese_mrcnn.commands import common
from siamese_mrcnn.commands.evaluate import summary
from siamese_mrcnn.config import make_config
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.reports import summarize


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        call(command, "--help")
    assert stopped.value.code == 0
    assert f"usage: siamese-mrcnn {command}" in capsys.readouterr().out


def test_help_imports_nothing_slow():
    code = (
        "import sys\nfrom siamese_mrcnn import cli\n"
        "try:\n    cli.main(['evaluate', '--help'])\nexcept SystemExit:\n    pass\n"
        "slow = {'numpy', 'keras', 'tensorflow', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_backend_that_is_not_known_is_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "siamese_mrcnn.cli", "weights", "inspect", "a.h5"],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("siamese-mrcnn: Keras is to compute with 'numpy' here")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["detect", "--box", "9,0,3,4"], "y1 < y2 and x1 < x2, got '9,0,3,4'"),
        (["detect", "--threshold", "2"], "a number from 0 to 1, got '2'"),
        (["evaluate", "--runs", "0"], "a whole number of at least 1, got '0'"),
        (["evaluate", "--seed", "x"], "a whole number of at least 0, got 'x'"),
        (["evaluate", "--profile", "best"], "invalid choice: 'best'"),
        (["train", "--learning-rate", "-1"], "a number above 0, got '-1'"),
        (["train"], "required: --data"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "required: COMMAND"),
    ],
)
def test_arguments_that_make_no_sense(arguments, sentence, capsys):
    assert sentence in misunderstood(capsys, *arguments)


def test_evaluate_and_train_need_a_coco_folder(tmp_path, capsys):
    for command in ("evaluate", "train"):
        arguments = ("--data", tmp_path, "--weights", "none")
        assert "instances_" in refused(capsys, command, *arguments)


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        call("train", "--data", tmp_path, "--weights", "none", "--debug")


def test_interruption(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(common, "load_backend", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert call("evaluate", "--data", tmp_path, "--weights", "w") == 130
    assert "interrupted" in capsys.readouterr().err


def test_output_that_nobody_reads(tmp_path, monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ("--train-images", 2, "--val-images", 1, "--image-size", 64)
    with os.fdopen(writing, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        assert call("shapes", tmp_path / "shapes", *arguments) == 141
        print("goes nowhere")
    assert "siamese-mrcnn" not in capsys.readouterr().err
    assert (tmp_path / "shapes" / "annotations" / "instances_val2017.json").is_file()


def test_classes(shapes_folder):
    dataset = CocoDataset.from_folder(shapes_folder, "test")
    assert common.choose_classes("novel", dataset, "2") == [2, 6, 10]
    assert common.choose_classes("seen", dataset, "2") == [1, 3, 4, 5, 7, 8, 9, 11, 12]
    assert common.choose_classes("all", dataset, "2") == list(range(1, 13))
    assert common.choose_classes("star, circle", dataset, "2") == [4, 1]
    with pytest.raises(ValueError, match=r"no class 'dog'\. It has: circle, square"):
        common.choose_classes("star,dog", dataset, "2")
    with pytest.raises(ValueError, match="Split all has no novel classes"):
        common.choose_classes("novel", dataset, "all")
    with pytest.raises(ValueError, match="no split '5'"):
        common.choose_classes("novel", dataset, "5")


def test_classes_of_an_own_split(shapes_folder):
    dataset = CocoDataset.from_folder(shapes_folder, "test")
    assert common.choose_classes("novel", dataset, ("star", "circle")) == [1, 4]
    assert common.choose_classes("seen", dataset, ("star", "circle")) == [2, 3, *range(5, 13)]
    with pytest.raises(ValueError, match=r"no class 'cirle'\. Did you mean 'circle'\?"):
        common.choose_classes("novel", dataset, ("star", "cirle"))


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_splits_by_number_and_by_name(command, tmp_path, capsys):
    def split_of(*arguments):
        shared = (command, "--data", "d", "--weights", "w")
        return cli._parser().parse_args([*shared, *map(str, arguments)]).split

    assert (split_of(), split_of("--split", "3"), split_of("--split", "all")) == (1, "3", "all")
    assert split_of("--novel", " rose, sea lily,") == ("rose", "sea lily")
    lines, listed = tmp_path / "novel.txt", tmp_path / "novel.json"
    lines.write_text("\ufeffrose\n\n sea lily, wild\n", "utf-8")
    assert split_of("--novel", lines) == ("rose", "sea lily, wild")
    listed.write_text('["rose", "sea lily"]')
    assert split_of("--novel", listed) == ("rose", "sea lily")
    for text in ("", "[1]", "[rose"):
        listed.write_text(text)
        for_both = (command, "--data", "d", "--weights", "w", "--novel", listed)
        assert "expected a file with" in misunderstood(capsys, *for_both)
    both = (command, "--data", "d", "--weights", "w", "--novel", "rose", "--split", "1")
    assert "not allowed with argument" in misunderstood(capsys, *both)
    none = (command, "--data", "d", "--weights", "w", "--novel", ",")
    assert "expected names separated by commas" in misunderstood(capsys, *none)


def test_configuration():
    config = make_config("large", IMAGES_PER_GPU=2, NUM_TARGETS=5, SEED=None)
    assert (config.BATCH_SIZE, config.NAME, config.SEED) == (2, "large_coco", 0)
    assert config.TARGET_SHAPE == (5, 192, 192, 3)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match=r"must be one of 'resnet18', .*, 'efficientnet-lite2'"):
        make_config("small", [common.assignment("BACKBONE=efficientnet-lite9")])
    with pytest.raises(ValueError, match="huge"):
        make_config("huge", [])


def test_single_settings():
    texts = ("COMPARISON=cosine", "IMAGES_PER_GPU=3", "BBOX_STD_DEV=[1, 1, 2, 2]")
    config = make_config("small", [*map(common.assignment, texts)], IMAGES_PER_GPU=2)
    assert (config.COMPARISON, config.IMAGES_PER_GPU) == ("cosine", 3)
    assert list(config.BBOX_STD_DEV) == [1, 1, 2, 2]
    with pytest.raises(ValueError, match=r"no key COMPARISION\. Did you mean COMPARISON"):
        make_config("small", [("COMPARISION", "cosine")])
    for text in ("COMPARISON", "=cosine", "COMPARISON="):
        with pytest.raises(argparse.ArgumentTypeError, match="expected KEY=VALUE"):
            common.assignment(text)


@pytest.mark.parametrize("number", [0, 1001, 10**9])
def test_references_of_a_query_have_a_limit(number):
    with pytest.raises(ConfigError, match=f"NUM_TARGETS must be from 1 to 1000, but is {number}"):
        make_config("shapes", NUM_TARGETS=number)


@pytest.mark.parametrize(
    "text", ["NUM_TARGETS=x", "TARGET_MAX_DIM=big", "SEED=" + "-" * 5000 + "1"]
)
def test_settings_of_another_kind_are_a_short_sentence(text):
    with pytest.raises(ConfigError, match=f"{text.split('=')[0]} must be a whole number") as caught:
        make_config("glyphs", [common.assignment(text)])
    assert len(str(caught.value)) < 120


def test_shapes_command(tmp_path, capsys):
    arguments = ("--train-images", 3, "--val-images", 2, "--image-size", 64)
    assert call("shapes", tmp_path / "shapes", *arguments) == 0
    assert "3 + 2 scenes" in capsys.readouterr().out
    assert (tmp_path / "shapes" / "annotations" / "instances_val2017.json").is_file()
    assert "already holds something else" in refused(capsys, "shapes", tmp_path)


def test_the_summary_of_an_evaluation():
    report = {
        "bbox": {"AP": summarize([0.1, 0.2]), "AP50": summarize([0.25])},
        "segm": {"AP": summarize([-1.0]), "AP50": summarize([0.5, 0.5])},
        "images": 9,
        "queries": 12,
        "runs": 2,
        "failures": {"the image could not be read": 3},
    }
    of = "(9 images, 12 queries, 2 runs)"
    assert summary(report).splitlines() == [
        f"boxes: AP 15.0 ± 6.9 %, AP50 25.0 % {of}",  # 1.96 * 5 / sqrt(2)
        f"masks: AP - %, AP50 50.0 ± 0.0 % {of}",
        "not asked: 3 x the image could not be read",
    ]
