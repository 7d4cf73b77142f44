"""Training on several devices: which ones, and sums over them."""

import contextlib
import functools

import keras


def devices_scope(count):
    """Context in which a model for `count` devices has to be built and trained.

    TensorFlow: `tf.distribute.MirroredStrategy`; JAX: `keras.distribution.DataParallel`; the
    devices are the GPUs or, without any, the (logical) CPUs. One device needs no context.

    Raises:
        ValueError: fewer devices are there, or the backend trains on one device only.
    """
    if count == 1:
        return contextlib.nullcontext()
    scopes = {"tensorflow": _tensorflow_scope, "jax": _jax_scope}
    backend = keras.backend.backend()
    if backend not in scopes:
        raise ValueError(
            f"GPU_COUNT is {count}, but the {backend} backend trains on one device here. Set "
            "GPU_COUNT = 1, or use the TensorFlow or JAX backend."
        )
    return scopes[backend](count)


def _tensorflow_scope(count):
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    _require(count, devices)
    return _tensorflow_strategy(tuple(device.name for device in devices[:count])).scope()


@functools.cache
def _tensorflow_strategy(devices):
    """The same object for every model and phase: TensorFlow refuses to mix two of them."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def _jax_scope(count):
    devices = keras.distribution.list_devices()
    _require(count, devices)
    return keras.distribution.DataParallel(devices=devices[:count]).scope()


def _require(count, devices):
    if len(devices) < count:
        raise ValueError(
            f"GPU_COUNT is {count}, but this machine has {len(devices)} device(s). Set GPU_COUNT "
            f"to at most {len(devices)}; BATCH_SIZE is IMAGES_PER_GPU * GPU_COUNT."
        )


def replica_count():
    """Devices that run the current step side by side, each on its part of the batch."""
    context = _tensorflow_replica_context()
    return context.num_replicas_in_sync if context else 1


def sum_over_replicas(values):
    """Add a tensor, or a list of tensors, up over the devices of the current step."""
    context = _tensorflow_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values  # JAX shards one program: its sums run over all devices by themselves
    return context.all_reduce("sum", values)


def first_over_replicas(value):
    """The tensor of the first device of the current step, on all of them."""
    context = _tensorflow_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    is_first = keras.ops.equal(context.replica_id_in_sync_group, 0)
    return context.all_reduce("sum", keras.ops.where(is_first, value, 0))


def _tensorflow_replica_context():
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()
