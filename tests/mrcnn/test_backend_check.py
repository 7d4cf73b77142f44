"""Without a backend's wheel the import fails with a sentence that says what to install."""

import os
import subprocess
import sys

import keras
import pytest

from mrcnn import backend_check

BLOCKED_IMPORT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in {blocked!r}:
            raise ModuleNotFoundError(name)

import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {blocked!r} else real(name)
sys.meta_path.insert(0, Blocker())
import mrcnn.config
"""


def import_without(*blocked, **environment):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED_IMPORT.format(blocked=blocked)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that has not imported Keras, with nothing installed and no settings."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    installed = set()
    monkeypatch.setattr(backend_check, "_is_installed", installed.__contains__)
    return installed


def test_import_fails_with_a_sentence(tmp_path):
    result = import_without(
        "tensorflow", "jax", "torch", KERAS_BACKEND="tensorflow", KERAS_HOME=str(tmp_path)
    )
    last_line = result.stderr.strip().splitlines()[-1]
    assert result.returncode != 0
    assert last_line.startswith("ImportError: Keras computes with tensorflow here")
    assert "pip install 'siamese-mask-rcnn[cpu]'" in last_line


def test_import_works_with_the_chosen_backend(tmp_path):
    backend = keras.backend.backend()
    others = {"tensorflow", "jax", "torch"} - {backend}
    result = import_without(*others, KERAS_BACKEND=backend, KERAS_HOME=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")


def test_default_is_tensorflow(fresh):
    with pytest.raises(ImportError, match=r"tensorflow here \(its default\).*\[cpu\]"):
        backend_check.require_backend()
    fresh.add("tensorflow")
    backend_check.require_backend()


def test_another_installed_backend_is_offered(fresh):
    fresh.add("jax")
    with pytest.raises(ImportError, match="KERAS_BACKEND=jax, which is installed"):
        backend_check.require_backend()


def test_environment_beats_settings_file(fresh, monkeypatch, tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    with pytest.raises(ImportError, match=r"jax here \(set in .*keras.json\)"):
        backend_check.require_backend()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ImportError, match=r"torch here \(set by KERAS_BACKEND\).*\[torch\]"):
        backend_check.require_backend()


@pytest.mark.parametrize("backend", ["numpy", "openvino", "junk", "7"])
def test_other_backends_are_refused(fresh, monkeypatch, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    words = rf"'{backend}' here \(set by KERAS_BACKEND\), but .* one of tensorflow, jax, torch"
    with pytest.raises(ImportError, match=words):
        backend_check.require_backend()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "5",
        '{"floatx": 5}',
        '{"floatx": []}',
        '{"epsilon": "x"}',
        '{"image_data_format": "channels"}',
    ],
)
def test_settings_that_keras_cannot_use_are_told(fresh, monkeypatch, tmp_path, content):
    fresh.add("jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    (tmp_path / "keras.json").write_text(content)
    with pytest.raises(ImportError, match=r"keras.json does not hold settings .* or delete it"):
        backend_check.require_backend()


def test_a_backend_of_the_settings_that_is_no_name(fresh, tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": 7}')
    with pytest.raises(ImportError, match=r"with 7 here \(set in .*keras.json\), but this program"):
        backend_check.require_backend()


def test_broken_settings_file_means_the_default(fresh, tmp_path):
    (tmp_path / "keras.json").write_text("{")
    with pytest.raises(ImportError, match="its default"):
        backend_check.require_backend()


def test_a_folder_of_the_name_is_not_an_installation(tmp_path, monkeypatch):
    (tmp_path / "some_backend").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not backend_check._is_installed("some_backend")
    assert backend_check._is_installed("json")
