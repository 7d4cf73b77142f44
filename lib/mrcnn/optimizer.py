"""Stochastic gradient descent that clips the norm of all gradients of all devices together."""

import keras

from mrcnn.distribution import replica_count, sum_over_replicas


@keras.saving.register_keras_serializable("mrcnn")
class GloballyClippedSGD(keras.optimizers.SGD):
    """SGD with momentum and `global_clipnorm`, equal on one device and on several.

    Keras clips the gradients of each device and adds them up afterwards, which bounds another
    norm than that of the whole batch. Here they are added up first.
    """

    def _clip_gradients(self, grads):
        replicas = replica_count()
        if replicas == 1:
            return super()._clip_gradients(grads)
        clipped = super()._clip_gradients(sum_over_replicas(list(grads)))
        return [gradient / replicas for gradient in clipped]  # Keras adds them up once more
