"""The nucleus sample: its data and its submission by hand, a tiny trial of all of it."""

import numpy as np
import pytest
from PIL import Image

from mrcnn.data.augmentation import augment
from mrcnn.data.dataset import DatasetError
from mrcnn.data.mask_folder import MaskFileError
from mrcnn.data.postprocessing import Detections
from sample_notebooks import NUCLEUS_STEP, SAMPLES

FOLDER = SAMPLES / "nucleus"


@pytest.fixture(scope="module")
def modules():
    """The script and its drawings, imported as a program beside them does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import drawn_nuclei
        import nucleus
    return nucleus, drawn_nuclei


@pytest.fixture(scope="module")
def sample(modules):
    return modules[0]


@pytest.fixture(scope="module")
def tiny(modules):
    """Configurations to train and to detect with."""
    drawn = modules[1]
    classes = (drawn.DrawnConfig, drawn.DrawnInferenceConfig)
    return [type("TinyConfig", (each,), NUCLEUS_STEP) for each in classes]


def stored(folder, names, masks=1):
    """Images of 6 x 8 pixels, each with masks of one pixel more from one to the next."""
    for name in names:
        for part, count in (("images", 1), ("masks", masks)):
            (folder / name / part).mkdir(parents=True)
            for number in range(count):
                picture = np.zeros((6, 8), np.uint8)
                picture.flat[10 * number : 11 * number + 1] = 255
                Image.fromarray(picture).save(folder / name / part / f"{number}.png")
    return folder.parent


# --- the data ---------------------------------------------------------------------------------


def test_every_tenth_image_validates(sample, tmp_path):
    names = [f"{number:02d}" for number in range(23)]
    folder = stored(tmp_path / "stage1_train", names)
    stored(tmp_path / "stage1_test", ["b", "a"], masks=0)

    def ids(subset):
        return [info["id"] for info in sample.nuclei(folder, subset).image_info]

    assert ids("val") == ["00", "10", "20"]
    assert sorted(ids("train") + ids("val")) == ids("stage1_train") == names
    assert ids("stage1_test") == ["a", "b"]
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*stage9"):
        ids("stage9")


def test_mask_files_become_masks(sample, tmp_path):
    dataset = sample.NucleusDataset()
    dataset.load_nucleus(stored(tmp_path / "stage1_train", ["a"], masks=3), "stage1_train")
    dataset.add_image("other", 1, tmp_path / "stage1_train" / "a" / "images" / "0.png")
    dataset.prepare()
    assert dataset.class_names == ["BG", "nucleus"]
    masks, class_ids = dataset.load_mask(0)
    assert masks.shape == (6, 8, 3) and class_ids.tolist() == [1, 1, 1]
    for number in range(3):
        pixels = np.flatnonzero(masks[..., number])
        assert pixels.tolist() == list(range(10 * number, 11 * number + 1))
    assert dataset.load_mask(1)[0].shape == (6, 8, 0)
    Image.fromarray(np.ones((5, 8), np.uint8)).save(dataset.image_info[0]["masks"][2])
    with pytest.raises(MaskFileError, match=r"2\.png has 5 x 8 pixels, but its image has 6 x 8"):
        dataset.load_mask(0)


def test_drawn_nuclei(modules, tmp_path):
    sample, drawn = modules
    for _ in range(2):  # drawn once
        drawn.draw_unless_there(tmp_path / "data", {"stage1_train": 11, "stage1_test": 1})
        (tmp_path / "data" / "mark").touch()
    dataset = sample.nuclei(tmp_path / "data", "train")
    assert dataset.num_images == 9
    for image_id in dataset.image_ids[:3]:
        image, (masks, _) = dataset.load_image(image_id), dataset.load_mask(image_id)
        assert masks.shape[:2] == image.shape[:2]
        assert min(image.shape[:2]) >= drawn.DrawnConfig.IMAGE_MIN_DIM  # a crop fits
        assert masks.shape[-1] > 3 and masks.sum(axis=-1).max() == 1
        inside = masks.any(axis=-1)
        assert image[inside].mean() > image[~inside].mean() + 50
    assert not sample.nuclei(tmp_path / "data", "stage1_test").image_info[0]["masks"]


@pytest.mark.parametrize("name", ["imgaug", "own"])
def test_augmentations_keep_masks_on_their_nuclei(modules, name):
    sample, drawn = modules
    if name == "imgaug":
        pytest.importorskip("imgaug")
    image, planes = drawn.draw_image(np.random.default_rng(2))
    masks = np.stack(planes, axis=-1)
    rng, changed = np.random.default_rng(0), 0
    for _ in range(6):
        new_image, new_masks = augment(image, masks, sample.AUGMENTATIONS[name](), rng)
        inside = new_masks.any(axis=-1)
        assert new_image[inside].mean() > new_image[~inside].mean() + 20
        changed += not np.array_equal(new_masks, masks)
    assert changed > 2


# --- the submission ---------------------------------------------------------------------------


def test_run_lengths_by_hand(sample):
    mask = np.zeros((3, 4), bool)
    assert sample.run_lengths(mask) == ""
    mask[1:, 0] = mask[0, 1] = mask[2, 3] = True  # pixels 2 to 4, and the last one, 12
    assert sample.run_lengths(mask) == "2 3 12 1"
    assert sample.run_lengths(np.ones((3, 4), bool)) == "1 12"


def test_run_lengths_come_back(sample):
    mask = np.random.default_rng(0).random((17, 9)) < 0.4
    numbers = [int(each) for each in sample.run_lengths(mask).split()]
    decoded = np.zeros(17 * 9, bool)
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        decoded[start - 1 : start - 1 + length] = True
    np.testing.assert_array_equal(decoded.reshape(9, 17).T, mask)


def test_the_best_keeps_what_several_claim(sample):
    masks = np.zeros((1, 6, 4), bool)
    masks[0, 0:3, 0] = masks[0, 1:5, 1] = masks[0, 2:4, 2] = masks[0, 4:6, 3] = True
    kept = sample.disjoint(masks, np.array([0.5, 0.9, 0.7, 0.6]))
    assert [np.flatnonzero(mask).tolist() for mask in kept] == [[1, 2, 3, 4], [5], [0]]
    assert sample.disjoint(masks[..., :0], np.zeros(0)) == []


def test_the_file_to_submit(sample, tmp_path):
    path = sample.write_submission(
        {"a": ["1 2", "5 1 9 3"], "none": []}, tmp_path / "new" / "s.csv"
    )
    expected = b"ImageId,EncodedPixels\na,1 2\na,5 1 9 3\nnone,\n"
    assert path.read_bytes() == expected


class Finds:
    """In place of a model: two overlapping squares in each image; broken off at one of them."""

    def __init__(self, asked, stop=None):
        self.asked, self.stop = asked, stop

    def find_last(self):
        return __file__

    def detect(self, images):
        if len(self.asked) == self.stop:
            raise KeyboardInterrupt
        self.asked.append(images[0])
        masks = np.zeros((*images[0].shape[:2], 2), bool)
        masks[0:2, 0:2, 0] = masks[1:3, 1:3, 1] = True
        rois = np.array([(0, 0, 2, 2), (1, 1, 3, 3)])
        scores, ids = np.array([0.4, 0.8], np.float32), np.array([1, 1])
        return [Detections(rois=rois, class_ids=ids, scores=scores, masks=masks)]


def test_an_interrupted_detection_goes_on(sample, tmp_path, monkeypatch):
    folder, out = stored(tmp_path / "stage1_test", ["b", "a", "c"], masks=0), tmp_path / "out"
    monkeypatch.setattr(sample, "load_starting_weights", lambda *arguments: None)
    config = sample.NucleusInferenceConfig()

    def detect(model):
        monkeypatch.setattr(sample.modellib, "MaskRCNN", lambda **keywords: model)
        return sample.detect(config, folder, tmp_path, "stage1_test", out=out)

    asked = []
    with pytest.raises(KeyboardInterrupt):
        detect(Finds(asked, stop=2))
    assert len(asked) == 2 and not (out / "submission.csv").exists()
    path = detect(Finds(asked))
    assert len(asked) == 3
    # 6 rows: column 0 holds pixels 1 to 6; the better square keeps the shared pixel, 8
    lines = [f"{name},{runs}" for name in "abc" for runs in ("8 2 14 2", "1 2 7 1")]
    assert path.read_text().splitlines() == ["ImageId,EncodedPixels", *lines]
    names = {each.name for each in out.iterdir() if each.suffix != ".jsonl"}
    assert names == {"a.png", "b.png", "c.png", "submission.csv"}
    config.DETECTION_MIN_CONFIDENCE = 0.5  # asks something else
    detect(Finds(asked))
    assert len(asked) == 6


# --- the stages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "epoch", "expected"),
    [
        ("imagenet", 0, [(20, "heads"), (40, "all")]),
        ("last", 20, [(40, "all")]),
        ("last", 40, [(40, "all")]),  # which tells that there is nothing left
        ("none", 0, [(20, "all"), (40, "all")]),
    ],
)
def test_stages_that_are_left_train(sample, tmp_path, monkeypatch, weights, epoch, expected):
    class Trains:
        def __init__(self, mode, config, model_dir):
            self.epoch, self.mode = epoch, mode

        def train(self, training, validation, learning_rate, epochs, layers, augmentation):
            assert (training.num_images, validation.num_images) == (1, 1)
            assert learning_rate == 0.001 and len(augmentation) == 3
            trained.append((epochs, layers))

        def find_last(self):
            return "path"

    trained, loaded = [], []
    monkeypatch.setattr(sample.modellib, "MaskRCNN", Trains)
    monkeypatch.setattr(sample, "load_starting_weights", lambda *given: loaded.append(given[1]))
    folder = stored(tmp_path / "stage1_train", ["a", "b"])
    config = sample.NucleusConfig()
    assert sample.train(config, folder, tmp_path, weights=weights) == "path"
    assert trained == expected and loaded == [weights]


# --- all of it --------------------------------------------------------------------------------


def test_a_trial(modules, tiny, tmp_path, monkeypatch, capsys):
    sample, drawn = modules
    monkeypatch.setattr(sample, "NucleusConfig", tiny[0])
    monkeypatch.setattr(sample, "NucleusInferenceConfig", tiny[1])
    monkeypatch.setattr(sample, "STAGES", ((1, "heads"),))
    drawn.draw_unless_there(tmp_path / "data", {"stage1_train": 4, "stage1_test": 1})
    given = ["--dataset", str(tmp_path / "data"), "--logs", str(tmp_path / "logs")]
    sample.main(["train", "--subset", "train", "--weights", "none", *given])
    names = sorted(path.name for path in tmp_path.glob("logs/*/*.weights.h5"))
    assert names == ["mask_rcnn_nucleus_0001.weights.h5"]
    out = tmp_path / "out"
    detect = ["detect", "--subset", "stage1_test", "--weights", "last", "--out", str(out)]
    sample.main([*detect, *given])
    assert f"Saved: {out / 'submission.csv'}" in capsys.readouterr().out
    assert (out / "submission.csv").read_text().startswith("ImageId,EncodedPixels\ndrawn0000,")
    assert Image.open(out / "drawn0000.png").width > 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--subset", "stage1_test", "--weights", "none"], "No image of .* stage1_test"),
        (["train", "--subset", "nothing", "--weights", "none"], "There is no folder .*nothing"),
        (["detect", "--subset", "val", "--weights", "last"], "No checkpoint was found"),
        (["detect", "--subset", "val", "--weights", "gone.h5"], r"gone\.h5"),
    ],
)
def test_errors_are_sentences(sample, tiny, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setattr(sample, "NucleusConfig", tiny[0])
    monkeypatch.setattr(sample, "NucleusInferenceConfig", tiny[1])
    folder = stored(tmp_path / "stage1_train", ["a", "b"])
    stored(tmp_path / "stage1_test", ["a"], masks=0)
    with pytest.raises(SystemExit, match=rf"^nucleus\.py: .*{words}"):
        sample.main([*arguments, "--dataset", str(folder), "--logs", str(tmp_path)])


def test_only_images_with_masks_train(sample, tmp_path):
    folder = stored(tmp_path / "stage1_train", ["a", "b"], masks=0)
    with pytest.raises(DatasetError, match="has masks, which training needs"):
        sample.train(sample.NucleusConfig(), folder, tmp_path)
