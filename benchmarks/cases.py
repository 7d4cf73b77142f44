"""What is measured: each case prepares itself once and gives the function to time."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    title: str
    prepare: Any  # function of the data folder that gives the function to time
    repetitions: int


def detecting_model(folder):
    """A small siamese model, random weights, that fills all 30 rows of detections."""
    import keras

    from mrcnn.weights.hdf5 import named_variables
    from siamese_mrcnn.config import SmallConfig
    from siamese_mrcnn.model import SiameseMaskRCNN

    class Config(SmallConfig):
        DETECTION_MIN_CONFIDENCE = 0.0
        IMAGES_PER_GPU = 1  # as in the commands

    keras.utils.set_random_seed(0)  # with some weights fewer boxes survive suppression
    model = SiameseMaskRCNN("inference", folder, Config())
    named_variables(model.keras_model)["mrcnn_class_logits/bias"].assign([-9.0, 9.0])
    return model


def _detect(folder):
    import numpy as np

    model = detecting_model(folder)
    model.fold_batch_norm()  # as `siamese-mrcnn detect` does; benchmarks.folding has it without
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    reference = rng.integers(0, 256, (120, 90, 3), dtype=np.uint8)

    def detect():
        (found,) = model.detect(reference, [image])
        if len(found) < model.config.DETECTION_MAX_INSTANCES:
            raise RuntimeError(f"Only {len(found)} detections: the measurement would flatter.")

    return detect


def _train_step(folder):
    from mrcnn.data.training_batches import Batches
    from mrcnn.training.fit import compile_phase
    from mrcnn.training.losses import TrainableModel
    from siamese_mrcnn.config import SmallConfig
    from siamese_mrcnn.data.coco import CocoDataset
    from siamese_mrcnn.data.training_samples import load_sample
    from siamese_mrcnn.modeling.siamese_network import SiameseNetwork

    class Config(SmallConfig):
        IMAGES_PER_GPU = 2

    config = Config()
    model = TrainableModel(SiameseNetwork(config), config.IMAGE_SHAPE)
    compile_phase(model, config, 1e-6, "all")
    dataset = CocoDataset.from_folder(folder, "train")
    x, y = Batches(dataset, config, 1, workers=0, sample_loader=load_sample)[0]
    return lambda: model.train_on_batch(x, y)


def _sample(config_name):
    def prepare(folder):
        import itertools

        import cv2
        import numpy as np

        from siamese_mrcnn import config as configurations
        from siamese_mrcnn.data.coco import CocoDataset
        from siamese_mrcnn.data.training_samples import load_sample

        cv2.setNumThreads(0)
        config = getattr(configurations, config_name)()
        dataset = CocoDataset.from_folder(folder, "train")
        numbers = itertools.count()

        def load():
            number = next(numbers)
            image_id = dataset.image_ids[number % len(dataset.image_ids)]
            load_sample(dataset, image_id, config, np.random.default_rng(number))

        return load

    return prepare


CASES = {
    "detect": Case("detect, folded, 512 px, small, batch 1", _detect, 15),
    "train_step": Case("training step, 512 px, small, batch 2, all", _train_step, 6),
    "sample_small": Case("one training sample, small (512 px)", _sample("SmallConfig"), 60),
    "sample_large": Case("one training sample, large (1024 px)", _sample("LargeConfig"), 60),
}
