"""The optimizer of a recipe. SGD and Adam take their step as a single op for each weight.

A single op moves less memory than Keras's several, which speeds up large dense layers.
"""

from types import ModuleType
from typing import TYPE_CHECKING

import keras
from keras import KerasTensor

from ..layers._support import register, tensorflow
from .recipe import Recipe

if TYPE_CHECKING:
    import tensorflow as tf


@register
class SGD(keras.optimizers.SGD):
    """Keras's `SGD` with the same results. With momentum and on one device, its step is a single op."""

    def update_step(self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor) -> None:
        """Momentum: m = momentum * m - learning_rate * gradient; variable += m."""
        tf = tensorflow()
        if tf is None or not self.momentum or _elsewhere(tf, gradient):
            return super().update_step(gradient, variable, learning_rate)
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(self.momentums[self._get_variable_index(variable)]),
            lr=tf.cast(learning_rate, gradient.dtype),
            grad=gradient,
            momentum=tf.cast(self.momentum, gradient.dtype),
            use_nesterov=self.nesterov,
        )
        return None


@register
class Adam(keras.optimizers.Adam):
    """Keras's `Adam` with the same results. On one device, its step is a single op."""

    def update_step(self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor) -> None:
        """Algorithm 1 of the Adam paper, in the order of computation that its authors call efficient."""
        tf = tensorflow()
        if tf is None or self.amsgrad or _elsewhere(tf, gradient):
            return super().update_step(gradient, variable, learning_rate)
        step, kind = tf.cast(self.iterations + 1, gradient.dtype), gradient.dtype
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(tf.cast(self.beta_1, kind), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, kind), step),
            lr=tf.cast(learning_rate, kind),
            beta1=tf.cast(self.beta_1, kind),
            beta2=tf.cast(self.beta_2, kind),
            epsilon=tf.cast(self.epsilon, kind),
            grad=gradient,
        )
        return None


def _elsewhere(tf: ModuleType, gradient: KerasTensor) -> bool:
    """Whether Keras's own step must be used: on several devices, or for sparse gradients."""
    return tf.distribute.has_strategy() or isinstance(gradient, tf.IndexedSlices)


def _handle(variable: keras.Variable) -> "tf.Tensor":
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


_OPTIMIZERS = {
    "adam": Adam,
    "adamw": Adam,  # weight decay of every Keras optimizer works as in AdamW
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda **options: SGD(momentum=0.9, **options),
}


def build_optimizer(recipe: Recipe, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe for a model. Biases and norms, which have one axis, get no weight decay."""
    ema = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    optimizer = _OPTIMIZERS[recipe.optimizer](
        learning_rate=float(recipe.learning_rate), weight_decay=recipe.weight_decay or None, **ema
    )
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    return optimizer
