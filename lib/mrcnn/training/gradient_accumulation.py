"""A training step in parts, one after another: the step of the whole batch in less memory.

A loss is a sum over the batch divided by a count over the batch (`mrcnn.training.losses`), and some
counts, like that of the positive RoIs, are known only once the network has proposed. So all parts
are gone through twice: first to count, without gradients and, unless a count depends on them,
without the heads; then to add up the gradients of each part's sums, divided by the counts of the
whole batch.
"""

import keras
from keras import ops

from mrcnn.training.distribution import replica_count, sum_over_replicas


def step_in_parts(model, *state_and_data):
    """`keras.Model.train_step` in as many parts as `model.subdivisions` says.

    Args:
        model: `mrcnn.training.losses.TrainableModel`.
        state_and_data: what Keras calls `train_step` of the backend with.
    """
    return STEPS[keras.backend.backend()](model, *state_and_data)


def split(batch, parts):
    """Arrays [B, ...] as [parts, B / parts, ...], in any nesting.

    Part p has the images p, p + parts, ...: so each part is spread over devices as the batch is.
    """

    def split_array(array):
        array = ops.reshape(array, (-1, parts, *array.shape[1:]))
        return ops.swapaxes(array, 0, 1)

    return keras.tree.map_structure(split_array, batch)


def add_up_parts(model, x, y, loop, differentiate):
    """Gradients of the loss of a whole batch, part by part.

    Args:
        model: `TrainableModel`.
        x, y: the batch.
        loop: function (step, start, parts) -> the last of start, step(start, first part), ...
        differentiate: function of a function of no arguments that returns (loss, other) ->
            (gradients of the loss by the model's trainable variables, other).

    Returns:
        gradients; sums and counts of the losses, as `TrainableModel.total_loss` wants them. The
        gradients and sums are those of this device's images, the counts of all devices'.
    """
    parts = split((x, y), model.subdivisions)
    active = model.active_classes(x)

    def losses_of(part):
        part_x, part_y = part
        pairs = model.named_losses(part_y, model(part_x, training=True), active).values()
        return [each for each, _ in pairs], [count for _, count in pairs]

    def count(counts, part):
        return _add(counts, losses_of(part)[1])

    def learn(totals, part):
        def loss():
            sums, _ = losses_of(part)
            share = 1 / model.subdivisions  # of what is no mean over images
            return model.total_loss(sums, counts, share), sums

        return _add(totals, differentiate(loss))

    zeros = model.no_sums()
    counts = sum_over_replicas(loop(count, zeros, parts))
    no_gradients = [ops.zeros(each.shape, each.dtype) for each in model.trainable_variables]
    gradients, sums = loop(learn, (no_gradients, zeros), parts)
    return gradients, sums, counts


def _add(totals, values):
    return keras.tree.map_structure(ops.add, totals, values)


def _tensorflow_step(model, data):
    import tensorflow as tf

    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)

    def loop(step, start, parts):
        def body(index, total):
            part = keras.tree.map_structure(lambda array: array[index], parts)
            return index + 1, step(total, part)

        _, total = tf.while_loop(
            lambda index, _: index < model.subdivisions,
            body,
            (tf.constant(0), start),
            parallel_iterations=1,  # or the parts would share the memory again
        )
        return total

    def differentiate(function):
        with tf.GradientTape() as tape:
            loss, other = function()
        variables = [variable.value for variable in model.trainable_variables]
        return tape.gradient(loss, variables, unconnected_gradients="zero"), other

    gradients, sums, counts = add_up_parts(model, x, y, loop, differentiate)
    model.optimizer.apply(gradients, model.trainable_variables)
    _record(model, x, sums, counts)
    return model.get_metrics_result()


def _jax_step(model, state, data):
    import jax

    trainable, non_trainable, optimizer, metrics = state
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)

    def with_weights(trainable):
        pairs = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, non_trainable, strict=True),
        ]
        return keras.StatelessScope(state_mapping=pairs)

    def loop(step, start, parts):
        return jax.lax.scan(lambda total, part: (step(total, part), None), start, parts)[0]

    def differentiate(function):
        def with_other_weights(trainable):
            with with_weights(trainable):
                return function()

        return jax.grad(with_other_weights, has_aux=True)(trainable)

    with with_weights(trainable):
        gradients, sums, counts = add_up_parts(model, x, y, loop, differentiate)
    pairs = [
        *zip(model.metrics_variables, metrics, strict=True),
        *zip(model.trainable_variables, trainable, strict=True),  # weight decay is in the logs
    ]
    with keras.StatelessScope(state_mapping=pairs) as scope:
        _record(model, x, sums, counts)
        logs = model.get_metrics_result()
    metrics = [scope.get_current_value(variable) for variable in model.metrics_variables]
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
    return logs, (trainable, non_trainable, optimizer, metrics)


def _record(model, x, sums, counts):
    """Update what is shown in the logs, as `fit` does for a step in one piece."""
    total = model.total_loss(sums, counts) * replica_count()
    images = ops.shape(x["images"])[0]
    (tracker,) = [metric for metric in model.metrics if metric.name == "loss"]
    tracker.update_state(total, sample_weight=images)
    model.update_means(sums, counts)


STEPS = {"tensorflow": _tensorflow_step, "jax": _jax_step}
