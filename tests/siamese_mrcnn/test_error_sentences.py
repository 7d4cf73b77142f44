"""One sentence, whatever was raised: the file in hand, harmless, and --debug for the traceback."""

import errno
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from command_line import call, refused
from mrcnn.converters import formats
from mrcnn.files import in_hand
from mrcnn.weights.hdf5_files import existing_file
from siamese_mrcnn.error_sentences import REPORT, sentence_of
from siamese_mrcnn.own_data import load

FULL = os.strerror(errno.ENOSPC)


def caught(function, *arguments):
    try:
        function(*arguments)
    except (ValueError, OSError) as error:
        return error
    raise AssertionError


def raised(error, *files):
    """The error, as it comes out of blocks that have files in hand, the innermost first."""
    for file in files:
        with pytest.raises(type(error)), in_hand(file):
            raise error
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.EACCES, "Permission denied", "a"), "a: Permission denied."),
        (OSError(errno.EACCES, "Permission denied", b"\xff"), "\\udcff: Permission denied."),
        (OSError(errno.ENOSPC, FULL, "source", None, "target"), f"target: {FULL}."),
        (OSError(errno.ENOSPC, FULL), f"A file could not be written: {FULL}. Free some space."),
        (ValueError("the box\x1b[2J is\nnone"), "the box\\x1b[2J is\nnone"),
        (KeyError("x"), f"KeyError: 'x' ({REPORT})."),
        (OSError(errno.EBADF, "Bad file"), f"OSError: [Errno 9] Bad file ({REPORT})."),
    ],
)
def test_sentences_by_hand(error, sentence):
    assert sentence_of(error) == sentence


def test_the_files_in_hand_are_named_once_and_the_innermost_first():
    error = raised(KeyError("x"), "a.jpg", "a.jpg", "data\x07.json")
    error.add_note("Keras says something.")
    files = "in hand: a.jpg; in hand: data\\x07.json"
    assert sentence_of(error) == f"KeyError: 'x' ({files}; {REPORT})."


@pytest.mark.parametrize("words", ["(-4:Insufficient memory) Failed", "OOM when allocating tensor"])
def test_too_little_memory_in_the_words_of_libraries(words):
    text = sentence_of(raised(RuntimeError(words), "a.jpg"))
    assert text.startswith(f"There is not enough memory: {words} (in hand: a.jpg). Take smaller")


def test_too_little_memory_names_the_file():
    error = raised(MemoryError("9 GB"), "a.jpg")
    assert sentence_of(error).startswith("There is not enough memory: 9 GB (in hand: a.jpg). Take")


def test_words_of_this_program_are_told_as_they_are_those_of_libraries_are_not(tmp_path):
    assert sentence_of(caught(existing_file, tmp_path / "a")).startswith("There is no weights file")
    assert sentence_of(caught(json.loads, "{")).endswith(f"({REPORT}).")


@pytest.mark.parametrize("is_ours", [True, False])
def test_words_come_from_other_processes_too(tmp_path, is_ours):
    function, argument = (existing_file, tmp_path / "a") if is_ours else (json.loads, "{")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        error = caught(pool.submit(function, argument).result)
    assert (REPORT in sentence_of(error)) != is_ours


COMMANDS = {
    "train": ["train", "--data", "FILE"],
    "pretrain": ["pretrain", "--out", "a.weights.h5", "--data", "FILE"],
    "evaluate": ["evaluate", "--weights", "a.h5", "--data", "FILE"],
    "import-data": ["import-data", "--out", "out", "FILE"],
    "weights inspect": ["weights", "inspect", "FILE"],
    "weights convert": ["weights", "convert", "FILE", "a.pth"],
}


@pytest.fixture
def _nobody_foresaw(monkeypatch):
    def fail(*_):
        raise KeyError("surprise")

    monkeypatch.setattr(load, "_recognised", fail)
    monkeypatch.setattr(formats, "existing_file", fail)


@pytest.mark.usefixtures("_nobody_foresaw")
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_every_command_names_the_file_in_hand(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = refused(capsys, *arguments)
    assert text == f"KeyError: 'surprise' (in hand: FILE; {REPORT}).\n"
    with pytest.raises(KeyError, match="surprise"):
        call(*arguments, "--debug")
