"""What is registered with Keras as serialisable can be serialised, and comes back as it was."""

import importlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from mrcnn.modeling.conv_norm import NormalizedConvolution
from mrcnn.modeling.detection_layer import DetectionSelection
from mrcnn.modeling.proposals import Proposals
from mrcnn.modeling.roi_targets import RoiTargets
from mrcnn.ops.initializers import RandomKernel
from mrcnn.ops.roi_align import PyramidAverages, PyramidRoIAlign
from mrcnn.ops.roi_pooling import MapAverages, MapCrops, MapMaxima
from mrcnn.training.learning_rates import LearningRate, for_optimizer
from mrcnn.training.optimizer import GloballyClippedAdam, GloballyClippedSGD
from siamese_mrcnn.modeling.co_attention import LinearAttention
from siamese_mrcnn.modeling.matching import ComparisonMerge
from siamese_mrcnn.modeling.verification import SimilarityScore, SquareCrops, VerifiedSelection
from siamese_mrcnn.training.category_pretraining import CommonAccuracy, MeanCrossEntropy
from siamese_mrcnn.training.verifier_training import MarginLoss, NearestProxy, ProxyCosines

ROOT = Path(__file__).parents[1]
DEVIATIONS, LEAST = np.array([0.1, 0.1, 0.2, 0.2]), (0.01, 0.02)
ANCHORS = np.arange(8).reshape(2, 4) / 8
EXAMPLES = [
    lambda: NormalizedConvolution(4, 3, "conv", "bn", 2, "same", True, name="both"),
    lambda: DetectionSelection(9, 0.5, 0.3, DEVIATIONS, 4.1, LEAST, True, name="detect"),
    lambda: RandomKernel(scale=0.5),
    lambda: Proposals(ANCHORS, 5, 9, 0.7, DEVIATIONS, 4.1, LEAST, [1, 1], name="ROI"),
    lambda: RoiTargets(20, 0.25, (28, 14), False, DEVIATIONS, name="sample"),
    lambda: PyramidRoIAlign(7, (64, 128, 3)),
    lambda: PyramidAverages(7, (64, 128, 3)),
    lambda: MapCrops(14, (64, 128, 3), 2, True),
    lambda: MapAverages(14, (64, 128, 3), 2, True),
    lambda: MapMaxima(14, (64, 128, 3), 2, True),
    lambda: for_optimizer(LearningRate(0.1, warm_up_steps=5, drop_steps=(7, 9)), 3),
    lambda: GloballyClippedAdam(0.01, beta_1=0.7, global_clipnorm=5.0),
    lambda: GloballyClippedSGD(0.01, momentum=0.7, global_clipnorm=5.0),
    lambda: ComparisonMerge(6, "cosine"),
    lambda: LinearAttention(),
    lambda: CommonAccuracy(),
    lambda: MeanCrossEntropy(),
    lambda: SquareCrops(32),
    lambda: SimilarityScore(),
    lambda: VerifiedSelection(0.3),
    lambda: ProxyCosines(5),
    lambda: MarginLoss(8),
    lambda: NearestProxy(),
]


def settings(made):
    """The configuration of an object and its plain attributes, as texts."""
    shown = {name: str(value) for name, value in vars(made).items() if not name.startswith("_")} | {
        "config": json.dumps(made.get_config())
    }
    return {name: value for name, value in shown.items() if " at 0x" not in value}


@pytest.mark.parametrize("make", EXAMPLES, ids=lambda make: type(make()).__name__)
def test_it_comes_back_as_it_was(make):
    made = make()
    text = json.dumps(keras.saving.serialize_keras_object(made))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is type(made) and settings(again) == settings(made)


def test_every_class_that_is_registered_has_an_example():
    for package in (ROOT / "lib" / "mrcnn", ROOT / "siamese_mrcnn"):
        for path in package.rglob("*.py"):
            if "register_keras_serializable" in path.read_text():
                parts = path.relative_to(package.parent).with_suffix("").parts
                importlib.import_module(".".join(parts))
    registered = keras.saving.get_custom_objects().items()
    ours = {kind for name, kind in registered if name.split(">")[0] in ("mrcnn", "siamese_mrcnn")}
    assert ours == {type(make()) for make in EXAMPLES}
