"""Optimisers that clip the norm of all gradients of all devices together."""

import keras

from mrcnn.training.distribution import replica_count, sum_over_replicas

# Forgets squares of gradients faster than Keras' 0.999, for trainings of some thousand steps.
ADAM_SQUARES = 0.99


class _GlobalClipping:
    """Makes `global_clipnorm` mean the same on one device and on several.

    Keras clips the gradients of each device and adds them up afterwards, which bounds another
    norm than that of the whole batch. Here they are added up first.
    """

    def _clip_gradients(self, grads):
        replicas = replica_count()
        if replicas == 1:
            return super()._clip_gradients(grads)
        clipped = super()._clip_gradients(sum_over_replicas(list(grads)))
        return [gradient / replicas for gradient in clipped]  # Keras adds them up once more


@keras.saving.register_keras_serializable("mrcnn")
class GloballyClippedSGD(_GlobalClipping, keras.optimizers.SGD):
    """SGD with momentum: the originals' optimiser."""


@keras.saving.register_keras_serializable("mrcnn")
class GloballyClippedAdam(_GlobalClipping, keras.optimizers.Adam):
    """Adam, for training from random weights."""

    @property
    def momentums(self):
        """Running means of the gradients, as SGD calls its own."""
        return self._momentums

    @property
    def velocities(self):
        """Running means of the gradients' squares."""
        return self._velocities


def make_optimizer(config, learning_rate):
    """A fresh optimiser of the kind that the configuration names.

    Args:
        config: `Config` with OPTIMIZER, LEARNING_MOMENTUM and GRADIENT_CLIP_NORM.
        learning_rate: number.
    """
    clip_norm = config.GRADIENT_CLIP_NORM
    if config.OPTIMIZER == "adam":
        return GloballyClippedAdam(
            learning_rate,
            beta_1=config.LEARNING_MOMENTUM,
            beta_2=ADAM_SQUARES,
            global_clipnorm=clip_norm,
        )
    return GloballyClippedSGD(
        learning_rate, momentum=config.LEARNING_MOMENTUM, global_clipnorm=clip_norm
    )
