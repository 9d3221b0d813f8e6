"""Models without weights: they have names and shapes, but need no memory for weights."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import keras

from .checks import warn_of_old_name
from .keras_private import WAITING, global_state, in_stateless_scope


@contextmanager
def without_weights() -> Iterator[None]:
    """A context for models that are only counted, drawn or compared: their weights are never allocated.

    Models built inside have names and shapes. Keras's own `StatelessScope(initialize_variables=False)` only delays the
    allocation: it remembers the weights of every such model, and allocates them all as soon as any other model is
    trained.

    Examples:
        >>> with without_weights():
        ...     model = create_model("vgg19")
        >>> model.count_params()
        143667240
    """
    waiting = list(global_state.get_global_attribute(WAITING) or [])
    with keras.StatelessScope(initialize_variables=False):
        try:
            yield
        finally:
            global_state.set_global_attribute(WAITING, waiting)


def structure() -> AbstractContextManager[None]:
    """The old name of `without_weights`."""
    warn_of_old_name("structure()", "without_weights()")
    return without_weights()


def check_values(model: keras.Model, action: str) -> None:
    """Raises an error if a model's variables have no values because it was built inside `without_weights()`.

    Args:
        model: The model.
        action: What needs the values, such as "be saved"; used in the error message.

    Raises:
        ValueError: If the variables have no values, or the function is called inside `without_weights()`.
    """
    if in_stateless_scope():
        raise ValueError(f"{model.name} cannot {action} inside without_weights(), where variables have no values.")
    if any(getattr(variable, "_value", variable) is None for variable in model.variables):
        raise ValueError(
            f"{model.name} was built inside without_weights() and cannot {action}: its variables have no values."
        )
