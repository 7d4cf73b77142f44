"""Three training steps on one device and on two; a program, since devices are per process.

Saves losses, weights and momenta of each run, and the length of its first step. On TensorFlow there
are two more runs: in one, each of two devices trains on one image after the other; in the other, it
clips as Keras does, for each device on its own.

usage: python replica_steps.py FOLDER
"""

import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=2 "
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["JAX_ENABLE_X64"] = "1"

import keras
import numpy as np

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # Three steps are not worth optimising graphs for.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
else:
    # Sums in another order can turn a near tie of two proposals: not with so many digits.
    # (TensorFlow's kernel of crop-and-resize answers in float32 alone.)
    keras.config.set_floatx("float64")

from mrcnn.checkpoints import save_optimizer
from mrcnn.distribution import devices_scope
from mrcnn.trainable import TrainableModel
from mrcnn.training import compile_stage
from mrcnn.weights import named_variables, save_keras_weights, weight_array
from siamese_mrcnn.network import SiameseNetwork
from small import RandomBatches
from tiny import TinySiameseConfig, few_weights, fill

LEARNING_RATE = 0.01
STEPS = 3


class ReplicaConfig(TinySiameseConfig):
    IMAGES_PER_GPU = 4  # of the one device, or of both together
    RUN_EAGERLY = False
    GRADIENT_CLIP_NORM = 0.5  # exceeded in every step
    PRE_NMS_LIMIT = 500
    POST_NMS_ROIS_TRAINING = 100
    TRAIN_ROIS_PER_IMAGE = 40


class Recorder(keras.callbacks.Callback):
    """Keeps the losses after every step, and how far the first step went."""

    def on_train_begin(self, logs=None):
        self.losses, self.start, self.first_step = [], self._position(), None

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs)
        if not batch:
            self.first_step = np.linalg.norm(self._position() - self.start)

    def _position(self):
        variables = self.model.trainable_variables
        return np.concatenate([weight_array(each).ravel() for each in variables])


def keras_sgd():
    """Clips for each device on its own."""
    return keras.optimizers.SGD(
        LEARNING_RATE,
        momentum=ReplicaConfig.LEARNING_MOMENTUM,
        global_clipnorm=ReplicaConfig.GRADIENT_CLIP_NORM,
    )


def train(devices, folder, layers="all", make_optimizer=None, steps=STEPS, **settings):
    """Everything worth comparing, by name. Building and training enter the devices' scope anew."""
    config, recorder = type("Changed", (ReplicaConfig,), settings)(), Recorder()
    with devices_scope(devices), few_weights():
        model = fill(TrainableModel(SiameseNetwork(config), (128, 128)))
    with devices_scope(devices):
        compile_stage(model, config, LEARNING_RATE, layers)
        if make_optimizer is not None:
            model.compile(make_optimizer(), run_eagerly=True)
        model.fit(RandomBatches(config, steps), verbose=0, shuffle=False, callbacks=[recorder])
        save_optimizer(model, folder / "state_0001.weights.h5", {})
        save_keras_weights(model, folder / "state_0001.weights.h5")
    momenta = zip(model.trainable_variables, model.optimizer.momentums, strict=True)
    return {
        **{f"weight/{name}": weight_array(v) for name, v in named_variables(model).items()},
        **{f"momentum/{weight.path}": weight_array(each) for weight, each in momenta},
        **{
            f"loss/{name}": np.array([logs[name] for logs in recorder.losses])
            for name in recorder.losses[0]
        },
        "first_step": recorder.first_step / LEARNING_RATE,
    }


def main():
    folder = Path(sys.argv[1])
    # The measure of the others, on JAX compiled as they are: run eagerly there, it ends 1e-6 apart.
    one = train(1, folder, RUN_EAGERLY=keras.backend.backend() == "tensorflow")
    runs = {"one": one, "two": train(2, folder)}
    if keras.backend.backend() == "tensorflow":
        runs["two_in_parts"] = train(2, folder, SUBDIVISIONS=2, RUN_EAGERLY=True)
        runs["each_on_its_own"] = train(2, folder, "heads", keras_sgd, steps=1)
    for run, found in runs.items():
        np.savez(folder / run, **{name.replace("/", "|"): each for name, each in found.items()})


if __name__ == "__main__":
    main()
