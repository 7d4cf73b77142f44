"""What is installed is told apart from what is not, and only the latter is asked of pip."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = spec_from_file_location("installation", ROOT / "experiments" / "installation.py")
installation = module_from_spec(spec)
spec.loader.exec_module(installation)
InstallationError, requirements = installation.InstallationError, installation.requirements
install, show = installation.install, installation.show

VERSIONS = {"mine": "0.1", "fits": "2.5", "old": "1.0"}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """Packages that seem to be installed; returns the dict, to be changed."""
    versions = dict(VERSIONS)
    monkeypatch.delenv(installation.TRIAL, raising=False)
    monkeypatch.setattr(installation, "_version", versions.get)
    return versions


@pytest.fixture
def commands(monkeypatch):
    """What would have been run."""
    called = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: called.append((command, check)))
    return called


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path)


def write_project(folder, python=">=3.11", dependencies=("fits>=2,<3", "old>=2")):
    listed = ", ".join(f'"{each}"' for each in dependencies)
    text = f"""
        [project]
        name = "mine"
        requires-python = "{python}"
        dependencies = [{listed}]
        [project.optional-dependencies]
        cpu = ["absent"]
        gpu = []
    """
    (folder / "pyproject.toml").write_text(text.replace("        ", ""))
    return folder


def test_it_can_be_imported_where_nothing_is_installed():
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-S", "-c", "import experiments.installation"]  # no site-packages
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def test_each_package_is_compared_with_its_allowed_versions(project):
    assert requirements("cpu", project) == [
        ("mine", "", "0.1", True),
        ("fits", "<3,>=2", "2.5", True),
        ("old", ">=2", "1.0", False),
        ("absent", "", None, False),
    ]


def test_the_table_marks_what_is_wrong(project, capsys):
    show("cpu", project)
    _, fits, old, absent = capsys.readouterr().out.splitlines()
    assert "<-" not in fits
    assert old.split()[:3] == ["old", ">=2", "1.0"] and old.endswith("  <- another version")
    assert absent.endswith("<- missing")


def test_pip_installs_what_is_missing(project, commands):
    install("cpu", project)
    pip = [sys.executable, "-m", "pip", "install", "--editable", f"{project}[cpu]"]
    assert commands == [(pip, True)]


def test_a_complete_installation_is_left_alone(project, commands, installed, capsys):
    installed |= {"old": "2.0", "absent": "1"}
    install("cpu", project)
    assert not commands and "installed already" in capsys.readouterr().out


def test_a_trial_installs_nothing(project, commands, monkeypatch, capsys):
    monkeypatch.setenv(installation.TRIAL, "1")
    install("cpu", project)
    assert not commands
    assert f"python -m pip install --editable {project}[cpu]" in capsys.readouterr().out


@pytest.mark.parametrize(("extra", "other"), [("gpu", "tensorflow-cpu"), ("cpu", "tensorflow")])
def test_two_wheels_of_tensorflow_are_refused(project, commands, installed, extra, other):
    installed[other] = "2.21"
    with pytest.raises(InstallationError, match=f"Uninstall {other} first"):
        install(extra, project)
    assert not commands


def test_an_unknown_extra_is_refused(project):
    with pytest.raises(InstallationError, match="no extra 'tpu': use one of 'cpu', 'gpu'"):
        show("tpu", project)


def test_another_python_is_refused(tmp_path):
    with pytest.raises(InstallationError, match=r"runs on Python 3.*, but >=4 is needed"):
        show("cpu", write_project(tmp_path, python=">=4"))
