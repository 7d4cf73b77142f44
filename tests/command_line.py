"""Calls of `siamese-mrcnn`, and what it says to those that make no sense."""

import pytest

from siamese_mrcnn import cli


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
