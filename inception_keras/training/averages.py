"""Moving averages of the weights, which an optimizer may keep."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """A context in which the model has the averages of its weights, if its optimizer keeps them.

    Afterwards the model has its own weights again.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema or not int(optimizer.iterations.numpy()):
        yield
        return
    own = [v.numpy() for v in model.trainable_variables]
    for variable, average in zip(model.trainable_variables, optimizer._model_variables_moving_average, strict=True):
        variable.assign(average.numpy())
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)
