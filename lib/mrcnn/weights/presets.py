"""Weights that carry their configuration and threshold: models from a file or folder alone."""

import json
import logging
from pathlib import Path

import numpy as np

from mrcnn.weights.hdf5 import FACTS, KERAS_SUFFIX, WeightsError
from mrcnn.weights.hdf5_files import open_hdf5

logger = logging.getLogger(__name__)

PRESET_FILE = f"model{KERAS_SUFFIX}"  # in the folder of a preset


def read_facts(path):
    """What a weights file says of its model: {"settings": {...}, "threshold": number or None}.

    Empty for files of other programs and of earlier versions.

    Raises:
        FileNotFoundError, WeightsError: it cannot be read, or what it says is damaged.
    """
    with open_hdf5(path) as file:
        text = file.attrs.get(FACTS)
    if text is None:
        return {}
    try:
        facts = json.loads(text)
        threshold = facts["threshold"]
        sound = isinstance(facts["settings"], dict) and (
            threshold is None or 0 <= float(threshold) <= 1
        )
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise WeightsError(
            f"What {path} says of its configuration and threshold is damaged. Fetch or copy the "
            "file again."
        )
    return facts


def changed_settings(config, base):
    """{name: value} of what a configuration sets otherwise than its base class, as JSON has it."""
    return {
        name: _plain(value)
        for name, value in config.items()
        if hasattr(base, name) and not _same(value, getattr(base, name))
    }


def known_settings(settings, base):
    """The settings of a file that a configuration class has, in its types; others are told."""
    known = {
        name: tuple(value) if isinstance(getattr(base, name), tuple) else value
        for name, value in settings.items()
        if hasattr(base, name)
    }
    if unknown := sorted(set(settings) - set(known)):
        logger.warning("Settings that this version does not know: %s.", ", ".join(unknown))
    return known


class PresetMethods:
    """For `mrcnn.model.MaskRCNN`, whose attributes and methods these use."""

    built_in_presets = {}  # {name: path of its weights}

    @classmethod
    def from_preset(cls, preset, mode="inference", model_dir="logs", **settings):
        """A model with trained weights, from these alone.

        What scores less than the threshold that was measured for the weights is left out, unless
        DETECTION_MIN_CONFIDENCE is given.

        Args:
            preset: a name in `built_in_presets`, a folder of `save_to_preset`, or a weights file
                that carries its configuration.
            mode, model_dir: as of the class.
            settings: to change in the configuration.

        Raises:
            FileNotFoundError: there is no such preset.
            WeightsError: the file does not say which configuration it belongs to.
        """
        path = cls.preset_file(preset)
        facts = read_facts(path)
        if not facts:
            raise WeightsError(
                f"{path} does not say which configuration it belongs to, as files of other "
                "programs and of earlier versions do not. Make the model with a configuration, "
                "then call load_weights."
            )
        chosen = known_settings(facts["settings"], cls.config_class)
        if facts["threshold"] is not None:
            chosen["DETECTION_MIN_CONFIDENCE"] = facts["threshold"]
        config = type("PresetConfig", (cls.config_class,), chosen | {"GPU_COUNT": 1} | settings)()
        model = cls(mode=mode, config=config, model_dir=model_dir)
        model.load_weights(path)
        return model

    @classmethod
    def preset_file(cls, preset):
        """Path of a preset's weights.

        Raises:
            FileNotFoundError: there is no such preset.
        """
        path = Path(cls.built_in_presets.get(str(preset), preset))
        path = path / PRESET_FILE if path.is_dir() else path
        if not path.is_file():
            names = ", ".join(cls.built_in_presets) or "none"
            raise FileNotFoundError(
                f"There is no preset {preset}: expected a name ({names}), a folder that "
                f"save_to_preset wrote, or a weights file, but {path} is not there."
            )
        return path

    def save_to_preset(self, folder):
        """Write weights, configuration and threshold into a folder, for `from_preset`."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.save_weights(Path(folder) / PRESET_FILE)

    def facts(self):
        """What weights files are to say of this model, see `read_facts`."""
        settings = changed_settings(self.config, self.config_class)
        return {"settings": settings, "threshold": self.threshold}


def _same(one, other):
    return type(one) is type(other) and np.array_equal(np.asarray(one), np.asarray(other))


def _plain(value):
    """A setting as JSON has it: lists for arrays and tuples."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
