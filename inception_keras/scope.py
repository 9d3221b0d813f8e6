"""Models without weights: names, shapes and nothing that takes memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope

_WAITING = (
    "uninitialized_variables"  # Keras's list of the weights that it allocates with those of the next model it trains
)


@contextmanager
def structure() -> Iterator[None]:
    """Models built inside have names and shapes, and weights that are never allocated: to be counted, drawn, compared.

    Keras's own `StatelessScope(initialize_variables=False)` only puts that off: it remembers the weights of every such
    model, and allocates them all as soon as any other model is trained.

    Examples:
        >>> with structure():
        ...     model = create_model("vgg19")
        >>> model.count_params()
        143667240
    """
    waiting = list(global_state.get_global_attribute(_WAITING) or [])
    with keras.StatelessScope(initialize_variables=False):
        try:
            yield
        finally:
            global_state.set_global_attribute(_WAITING, waiting)


def check_values(model: keras.Model, action: str) -> None:
    """Raises if the variables of a model have no values, because it was built inside `structure()`.

    Args:
        model: The model.
        action: What is to be done with the values, such as "be saved", for the error's sentence.

    Raises:
        ValueError: If they have none, or if this is itself called inside `structure()`.
    """
    if in_stateless_scope():
        raise ValueError(f"{model.name} cannot {action} inside structure(), where variables have no values.")
    if any(getattr(variable, "_value", variable) is None for variable in model.variables):
        raise ValueError(
            f"{model.name} was built inside structure() and cannot {action}: its variables have no values."
        )
