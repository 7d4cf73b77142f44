"""Learning rates that change within a phase, as data: warm-up at its beginning, drops later on.

The rate depends on the global step alone, the number of batches trained since the very beginning.
So a training that is resumed goes on with the rate that it would have had.
"""

import json
from typing import NamedTuple

import keras
from keras import ops

KINDS = ("linear", "constant")


class LearningRate(NamedTuple):
    """A learning rate, and how it changes: plain data, which a `Phase` or `train` can be given.

        LearningRate(0.02, warm_up_steps=500, drop_steps=(120000, 160000))

    grows from a third of 0.02 to 0.02 within 500 steps, is 0.002 from step 120000 on, and 0.0002
    from step 160000 on. Steps count from 0.
    """

    base: float
    warm_up_steps: int = 0  # before the base is reached; 0: no warm-up
    warm_up: str = "linear"  # the factor grows evenly; "constant": it is the same until the end
    warm_up_factor: float = 1 / 3  # at step 0
    drop_steps: tuple = ()  # from each of these steps on, the rate is multiplied ...
    drop_factor: float = 0.1  # ... by this

    @property
    def changes(self):
        """Whether it is more than one number."""
        return bool(self.warm_up_steps or self.drop_steps)

    def at(self, step):
        """The rate of a global step: float."""
        factor = self.drop_factor ** sum(step >= drop for drop in self.drop_steps)
        if step < self.warm_up_steps:
            gone = step / self.warm_up_steps if self.warm_up == "linear" else 0.0
            factor *= self.warm_up_factor + (1 - self.warm_up_factor) * gone
        return self.base * factor


def learning_rate(value):
    """A number, a `LearningRate` or what `as_setting` made of one, as a `LearningRate`.

    Raises:
        ValueError: it makes no sense.
    """
    if isinstance(value, str):
        try:
            value = LearningRate(**json.loads(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{value!r} describes no learning rate: {error}.") from error
    if not isinstance(value, LearningRate):
        value = LearningRate(value)
    drops = tuple(value.drop_steps)
    if value.warm_up not in KINDS:
        raise ValueError(f"warm_up must be one of {', '.join(KINDS)}, but is {value.warm_up!r}.")
    if value.warm_up_steps < 0 or min(drops, default=1) < 1 or list(drops) != sorted(set(drops)):
        raise ValueError(
            "warm_up_steps must be a number of steps, and drop_steps such numbers in order, but "
            f"they are {value.warm_up_steps} and {drops}."
        )
    return value._replace(base=float(value.base), drop_steps=drops)


def as_setting(value):
    """The number of a rate that does not change, else JSON: one entry of a saved phase."""
    value = learning_rate(value)
    return json.dumps(value._asdict()) if value.changes else value.base


def for_optimizer(value, first_step=0):
    """What a Keras optimizer takes: a number, or a schedule of its iterations.

    `first_step` is the global step at which its iterations begin to count.
    """
    value = learning_rate(value)
    return ChangingRate(value._asdict(), first_step) if value.changes else value.base


@keras.saving.register_keras_serializable("mrcnn")
class ChangingRate(keras.optimizers.schedules.LearningRateSchedule):
    """`LearningRate.at` for the iterations of an optimizer.

    Args:
        fields: of the `LearningRate`, a dict.
        first_step: the global step at which the iterations begin to count.
    """

    def __init__(self, fields, first_step=0):
        self.rate, self.first_step = learning_rate(LearningRate(**fields)), first_step

    def __call__(self, step):
        rate, step = self.rate, ops.cast(step, "float32") + self.first_step
        drops = range(len(rate.drop_steps) + 1)
        levels = ops.array([rate.base * rate.drop_factor**n for n in drops], "float32")
        behind = ops.array(rate.drop_steps or (float("inf"),), "float32")
        level = ops.take(levels, ops.sum(ops.cast(step >= behind, "int32")))
        gone = step / max(rate.warm_up_steps, 1) if rate.warm_up == "linear" else 0.0
        warming = rate.warm_up_factor + (1 - rate.warm_up_factor) * gone
        return ops.where(step < rate.warm_up_steps, level * warming, level)

    def get_config(self):
        return {"fields": self.rate._asdict(), "first_step": self.first_step}
