"""What has to be installed, and what of it is: works before anything is.

It needs Python's own library and `packaging`, which every Jupyter kernel brings along; so it
imports nothing of the project's.
"""

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

TRIAL = "SIAMESE_MRCNN_TRIAL"  # see `siamese_mrcnn.experiments.trial`
TENSORFLOW = {"cpu": "tensorflow-cpu", "gpu": "tensorflow", "tensorflow": "tensorflow"}


class InstallationError(RuntimeError):
    """An environment that the packages cannot be installed into as asked."""


def install(extra="cpu", root="."):
    """Install this project and what is missing with pip into the running Python.

    A complete installation is left alone, and a trial (`siamese_mrcnn.experiments.trial`)
    installs nothing: then it says what it would do.

    Args:
        extra: "cpu", "gpu", "tensorflow", "jax" or "torch": the backend.
        root: the folder of the project.

    Raises:
        InstallationError: the Python is too old or new, there is no such extra, or another
            TensorFlow is in the way.
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    lacking = [line for line in requirements(extra, root) if not line[-1]]
    if not lacking:
        print("Everything is installed already.")
        return
    _check_tensorflow(extra)
    command = [sys.executable, "-m", "pip", "install", "--editable", f"{Path(root)}[{extra}]"]
    if os.environ.get(TRIAL, "").strip() == "1":
        print(f"To install what is missing: {' '.join(['python', *command[1:]])}")
        return
    subprocess.run(command, check=True)


def show(extra="cpu", root="."):
    """Print every required package, the version that is installed, and whether it will do."""
    for name, needed, installed, fits in requirements(extra, root):
        verdict = "" if fits else "  <- missing" if installed is None else "  <- another version"
        print(f"{name:26} {needed:18} {installed or '-':12}{verdict}")


def requirements(extra="cpu", root="."):
    """What the project needs: [(name, allowed versions, installed version or None, fits)].

    Raises:
        InstallationError: see `install`.
    """
    from packaging.requirements import Requirement

    with open(Path(root) / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    _check_python(project["requires-python"])
    extras = project["optional-dependencies"]
    if extra not in extras:
        raise InstallationError(
            f"There is no extra {extra!r}: use one of {', '.join(map(repr, extras))}."
        )
    wanted = [Requirement(text) for text in (*project["dependencies"], *extras[extra])]
    own = Requirement(project["name"])
    return [_line(each) for each in (own, *wanted)]


def _line(requirement):
    version = _version(requirement.name)
    fits = version is not None and requirement.specifier.contains(version, prereleases=True)
    return requirement.name, str(requirement.specifier), version, fits


def _version(name):
    """The installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_python(allowed):
    from packaging.specifiers import SpecifierSet

    version = ".".join(map(str, sys.version_info[:3]))
    if version not in SpecifierSet(allowed):
        raise InstallationError(
            f"This notebook runs on Python {version}, but {allowed} is needed. Make an environment "
            "with another Python and choose it as the kernel."
        )


def _check_tensorflow(extra):
    """Two wheels of TensorFlow overwrite each other's files."""
    wanted = TENSORFLOW.get(extra)
    for other in set(TENSORFLOW.values()) - {wanted}:
        if wanted is not None and _version(other) is not None:
            raise InstallationError(
                f"{other} is installed, and {wanted} would be installed into the same folder. "
                f"Uninstall {other} first, or choose another extra."
            )
