"""The folder of a run: named by the second, and never that of another run."""

import types
from datetime import datetime

import pytest

from mrcnn.locks import InUseError, alone_in
from mrcnn.matterport import model_methods


class Model(model_methods.MatterportMethods):
    config = types.SimpleNamespace(NAME="Mine")

    def __init__(self, folder):
        self.model_dir, self.checkpoint, self.log_dir = folder, None, None


@pytest.fixture(autouse=True)
def _one_second(monkeypatch):
    frozen = types.SimpleNamespace(now=lambda: datetime(2026, 1, 1, 23, 59, 59))
    monkeypatch.setattr(model_methods, "datetime", frozen)


def test_runs_named_in_one_second_have_a_folder_each(tmp_path):
    for expected in ("mine20260101T235959", "mine20260102T000000", "mine20260102T000001"):
        run = Model(tmp_path).run_folder()
        assert run.name == expected
        run.mkdir()


def test_runs_begun_at_once_have_a_folder_each(tmp_path):
    """Both have their names before either makes its folder."""
    first, second = Model(tmp_path), Model(tmp_path)
    assert first.run_folder() == second.run_folder()
    with first.alone_in_run_folder(), second.alone_in_run_folder():
        assert first.run_folder().name == "mine20260101T235959"
        assert second.run_folder().name == "mine20260102T000000"


def test_a_run_that_is_gone_on_with_is_not_renamed(tmp_path):
    model = Model(tmp_path)
    model.log_dir = tmp_path / "mine20260101T000000"
    with alone_in(model.log_dir), pytest.raises(InUseError, match="at work in"):
        with model.alone_in_run_folder():
            pass
