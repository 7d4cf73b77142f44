"""The command line: what it accepts, what it says when it cannot, what it writes."""

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mrcnn.results import Detections
from siamese_mrcnn import cli, watching
from siamese_mrcnn.coco import CocoDataset
from siamese_mrcnn.coco_results import decode_mask
from siamese_mrcnn.commands import common, detect, train


class Finder:
    """A model that finds the upper left quarter of every image."""

    def __init__(self, config):
        self.config, self.references = config, None

    def encode_references(self, references):
        self.references = references
        return "vectors"

    def encode_queries(self, images):
        return images

    def detect_encoded(self, queries, vectors):
        assert vectors == "vectors"
        (image,) = queries
        height, width = image.shape[:2]
        box = [0, 0, height // 2, width // 2]
        mask = np.zeros((height, width, 1), bool)
        mask[: box[2], : box[3]] = True
        return [
            Detections(
                rois=np.array([box], np.int32),
                class_ids=np.array([1], np.int32),
                scores=np.array([0.75], np.float32),
                masks=mask,
            )
        ]


@pytest.fixture
def finder(monkeypatch):
    made = []

    def make(config, weights, logs):
        made.append((Finder(config), weights))
        return made[-1][0]

    monkeypatch.setattr(common, "detection_model", make)
    return made


@pytest.fixture
def picture(tmp_path):
    """Writes a picture file and returns its path."""

    def write(name, height=40, width=60):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(path), pixels)
        return path

    return write


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    """The sentence on stderr of a call that ends with status 1."""
    assert call(*arguments) == 1
    text = capsys.readouterr().err
    assert text.startswith("siamese-mrcnn: ") and "Traceback" not in text
    return text.removeprefix("siamese-mrcnn: ")


def misunderstood(capsys, *arguments):
    """What argparse says to arguments that make no sense."""
    with pytest.raises(SystemExit) as stopped:
        call(*arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


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


def test_detect_writes_picture_and_data(finder, picture, tmp_path, capsys):
    folder = picture("queries/a.jpg").parent
    picture("queries/b.PNG", 50, 30)
    (folder / "notes.txt").write_text("no picture")
    reference, out = picture("thing.png"), tmp_path / "out"
    arguments = ("--reference", reference, "--image", folder, "--weights", "w.h5", "--out", out)
    assert call("detect", *arguments, "--threshold", "0.3") == 0
    assert {path.name for path in out.iterdir()} == {
        "a_found.png",
        "a_found.json",
        "b_found.png",
        "b_found.json",
    }
    data = json.loads((out / "b_found.json").read_text())
    assert (data["height"], data["width"]) == (50, 30)
    assert data["references"] == [str(reference)]
    (found,) = data["detections"]
    assert found["box"] == [0, 0, 25, 15] and found["score"] == 0.75
    assert decode_mask(found["mask"]).sum() == 25 * 15
    model, weights = finder[0]
    assert weights == "w.h5" and model.config.DETECTION_MIN_CONFIDENCE == 0.3
    assert capsys.readouterr().out.count("1 found") == 2


def test_detect_cuts_references(finder, picture, tmp_path):
    reference = picture("thing.png")
    boxes = ("--box", "10,20,26,52", "--box", "0,0,40,60")
    twice = ("--reference", reference, "--reference", reference)
    arguments = ("--image", reference, "--weights", "w", "--out", tmp_path / "out")
    assert call("detect", *twice, *boxes, *arguments) == 0
    ((first, second),) = finder[0][0].references
    crop = cv2.imread(str(reference))[10:26, 20:52, ::-1]
    assert first.shape == second.shape == (96, 96, 3)
    assert np.abs(first[28:68, 10:86].mean() - crop.mean()) < 20
    (one,) = detect.read_references([reference], [(10, 20, 26, 52)])
    np.testing.assert_array_equal(one, crop)


def test_one_broken_picture_does_not_stop_the_others(finder, picture, tmp_path, capsys):
    folder = picture("queries/a.jpg").parent
    (folder / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    text = refused(
        capsys,
        *("detect", "--reference", folder / "a.jpg", "--image", folder),
        *("--weights", "w", "--out", out),
    )
    assert "broken.jpg" in text and "1 of 2 failed" in text
    assert (out / "a_found.json").is_file()


def test_same_names_do_not_overwrite(tmp_path):
    paths = [tmp_path / name for name in ("x/a.jpg", "y/a.jpg", "y/a.png")]
    names = [path.name for path in detect.output_names(paths, tmp_path)]
    assert names == ["a_found", "a_2_found", "a_3_found"]


def test_detect_names_what_is_wrong(finder, picture, tmp_path, capsys):
    reference = picture("thing.png")
    rest = ("--image", reference, "--weights", "w", "--out", tmp_path / "out")
    assert "There is no picture" in refused(
        capsys, "detect", "--reference", reference, "--image", "no.jpg", "--weights", "w"
    )
    assert "no.png" in refused(capsys, "detect", "--reference", "no.png", *rest)
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(
        capsys,
        *("detect", "--reference", reference, "--image", tmp_path / "empty", "--weights", "w"),
    )
    assert "of 40 x 60 pixels" in refused(
        capsys, "detect", "--reference", reference, "--box", "0,0,41,9", *rest
    )
    assert "2 references need as many --box" in refused(
        capsys, "detect", *["--reference", reference] * 2, "--box", "0,0,9,9", *rest
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["detect", "--box", "9,0,3,4"], "y1 < y2 and x1 < x2, got '9,0,3,4'"),
        (["detect", "--threshold", "2"], "a number from 0 to 1, got '2'"),
        (["evaluate", "--runs", "0"], "a whole number of at least 1, got '0'"),
        (["evaluate", "--seed", "x"], "a whole number of at least 0, got 'x'"),
        (["evaluate", "--profile", "best"], "invalid choice: 'best'"),
        (["train", "--learning-rate", "-1"], "a number above 0, got '-1'"),
        (["train", "--config", "huge"], "invalid choice: 'huge'"),
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


def test_weights_of_the_latest_run(picture, tmp_path, capsys, monkeypatch):
    class Model(Finder):
        def __init__(self, mode, model_dir, config):
            super().__init__(config)
            self.model_dir = model_dir

        def load_latest_checkpoint(self):
            raise FileNotFoundError(f"No checkpoint below {self.model_dir}.")

    monkeypatch.setattr("siamese_mrcnn.model.SiameseMaskRCNN", Model)
    reference = picture("thing.png")
    arguments = ("--image", reference, "--weights", "last", "--logs", "runs")
    text = refused(capsys, "detect", "--reference", reference, *arguments)
    assert text == "No checkpoint below runs.\n"


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        call("train", "--data", tmp_path, "--weights", "none", "--debug")


def test_interruption(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(common, "load_backend", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert call("evaluate", "--data", tmp_path, "--weights", "w") == 130
    assert "interrupted" in capsys.readouterr().err


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


def stages(*arguments, before=None):
    arguments = cli._parser().parse_args(["train", "--data", "d", *arguments])
    train.refuse_mixed_stages(arguments)
    return list(train.choose_stages(arguments, before or {}))


def test_stages():
    assert stages() == [(1, "heads", 0.02), (120, "all", 0.02), (160, "all", 0.002)]
    assert stages("--config", "large")[-1] == (160, "all", 0.002)
    assert stages("--config", "large", "--split", "all")[-1] == (320, "all", 0.002)
    assert stages("--schedule", "all-classes")[1] == (240, "all", 0.02)
    assert stages("--epochs", "3") == [(3, "all", 0.02)]
    assert stages("--epochs", "3", "--weights", "none") == [(3, "all", 0.002)]
    single = ("--epochs", "3", "--layers", "4+", "--learning-rate", "0.1")
    assert stages(*single) == [(3, "4+", 0.1)]
    with pytest.raises(ValueError, match="--layers cannot be combined with a schedule"):
        stages("--layers", "heads")
    with pytest.raises(ValueError, match="--epochs cannot be combined"):
        stages("--epochs", "3", "--schedule", "splits")


def test_a_resumed_stage_goes_on_as_it_was():
    before = {"layers": "heads", "learning_rate": 0.004}
    assert stages("--epochs", "3", before=before) == [(3, "heads", 0.004)]
    assert stages("--epochs", "3", "--layers", "all", before=before) == [(3, "all", 0.004)]


def test_watching(shapes_folder, monkeypatch, capsys):
    trained, made = [], []

    class Model:
        epoch, checkpoint = 0, None

        def __init__(self, mode, model_dir, config):
            self.config = config

        def load_weights(self, path, may_be_missing):
            return "loaded"

    class Noting(watching.OneShotAP):
        def __init__(self, model, dataset, classes, **arguments):
            made.append((model.config.NAME, len(dataset.image_ids), list(classes), arguments))
            super().__init__(model, dataset, classes, **arguments)

    monkeypatch.setattr("siamese_mrcnn.model.SiameseMaskRCNN", Model)
    monkeypatch.setattr(watching, "OneShotAP", Noting)
    monkeypatch.setattr(
        "siamese_mrcnn.coco.training_and_validation", lambda ids: (ids[:10], ids[10:])
    )
    monkeypatch.setattr(
        "siamese_mrcnn.schedules.run_schedule",
        lambda *_, custom_callbacks, **__: trained.append(custom_callbacks),
    )
    arguments = ("--data", shapes_folder, "--config", "demo", "--weights", "w.h5")
    assert call("train", *arguments) == 0
    assert trained == [[]] and not made
    assert call("train", *arguments, "--watch", 5, "--workers", 1) == 0
    assert call("train", *arguments, "--split", "all", "--watch", 2, "--watch-images", 1) == 0
    usual = {"every": 5, "limit": watching.IMAGES, "workers": 1}
    few = {"every": 2, "limit": 1, "workers": 2}
    assert made == [("demo", 20, [1, 5, 9], usual), ("demo", 20, list(range(1, 13)), few)]
    assert [type(each) for each in trained[1] + trained[2]] == [Noting, Noting]
    capsys.readouterr()
    text = refused(capsys, "train", *arguments, "--watch-images", 9)
    assert "Give --watch N as well" in text
    assert len(trained) == 3


def test_configuration():
    config = common.make_config("large", IMAGES_PER_GPU=2, NUM_TARGETS=5, SEED=None)
    assert (config.BATCH_SIZE, config.NAME, config.SEED) == (2, "large_coco", 0)
    assert config.TARGET_SHAPE == (5, 192, 192, 3)


def test_what_training_starts_from(capsys):
    class Model:
        def load_latest_checkpoint(self):
            return "the latest"

        def load_imagenet_weights(self, pretraining):
            return f"ImageNet: {pretraining}"

        def load_weights(self, path, may_be_missing):
            assert re.fullmatch(may_be_missing, "fpn_p2")
            assert not re.fullmatch(may_be_missing, "res2a_branch2a")
            return f"file: {path}"

    for weights, split, start in (
        ("imagenet", "1", "ImageNet: imagenet-687"),
        ("imagenet", "all", "ImageNet: imagenet-1k"),
        ("imagenet-771", "2", "ImageNet: imagenet-771"),
        ("last", "1", "the latest"),
        ("imagenet_687.h5", "all", "file: imagenet_687.h5"),
    ):
        train.start_from(Model(), weights, split, training=None)
        assert capsys.readouterr().out == f"{start}\n"


def test_imagenet_weights_are_missing_with_a_sentence(shapes_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no checkpoints are here
    text = refused(capsys, "train", "--data", shapes_folder, "--config", "demo", "--split", "1")
    assert "no weights checkpoints/imagenet_687.h5" in text
    assert f"put it into {tmp_path / 'checkpoints'}" in text
    assert not list(tmp_path.iterdir())


def test_shapes_command(tmp_path, capsys):
    arguments = ("--train-images", 3, "--val-images", 2, "--image-size", 64)
    assert call("shapes", tmp_path / "shapes", *arguments) == 0
    assert "3 + 2 scenes" in capsys.readouterr().out
    assert (tmp_path / "shapes" / "annotations" / "instances_val2017.json").is_file()
    assert "already holds something else" in refused(capsys, "shapes", tmp_path)
