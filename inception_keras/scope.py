"""Models without weights: names, shapes and nothing that takes memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras.src.backend.common import global_state

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
