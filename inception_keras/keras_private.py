"""The parts of Keras that this package uses though they are not public. A new version of Keras may move them.

`tests/test_keras_private.py` tells which are missing, and that this list is complete.
"""

from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.saving.serialization_lib import SafeModeScope

__all__ = ["ATTRIBUTES", "WAITING", "SafeModeScope", "global_state", "in_stateless_scope"]

WAITING = "uninitialized_variables"  # Keras's list of weights that it allocates when the next model is trained

ATTRIBUTES = {  # by what has them
    "layer": ("_flatten_layers", "_inbound_nodes"),
    "tensor": ("_keras_history",),  # the layer that made it, and the number of the call
    "call": ("arguments", "input_tensors", "is_input", "operation", "outputs"),  # an item of `_inbound_nodes`
    "functional model": ("_nodes_by_depth",),
    "Sequential": ("_functional",),
    "compiled model": ("_compile_loss", "_symbolic_build"),  # the second builds the optimizer and the metrics
    "variable": ("_value",),  # None if it was never allocated
    "optimizer": ("_get_variable_index",),
    "Adam": ("_momentums", "_velocities"),
    "optimizer with averages": ("_model_variables_moving_average",),
}
