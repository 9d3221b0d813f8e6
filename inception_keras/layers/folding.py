"""Folds a batch norm into the convolution before it.

In inference, oneDNN then computes convolution, batch norm and activation in one pass.
"""

import math
from types import ModuleType
from typing import Any

from keras import KerasTensor, layers

from . import winograd
from ._support import register, tensorflow

DEPTHWISE = "DepthwiseConv2dNative"
_UNKNOWN = 8  # assumed batch size, height or width where the shape leaves it open


def folded(tf: ModuleType, y: KerasTensor, training: bool | None) -> KerasTensor:
    """Replaces convolution and batch norm by one convolution with a bias, in graphs for inference.

    `y` is the output of the batch norm. It is returned as it is if there is no convolution before the batch norm, if
    the batch norm is training, or if the call is eager.

    TensorFlow itself can fuse a convolution with its batch norm, but the result makes four passes over each tile of the
    output. It does not fuse the batch norm of a depthwise convolution, nor a sum or a hard swish after a batch norm. A
    bias takes one pass, and TensorFlow fuses it in all these cases.

    The kernel is scaled at each call. If a plain convolution has more weights than its output has elements, scaling
    would cost more than it saves: then the output is scaled if Winograd's algorithm computes it, and else `y` is
    returned as it is.
    """
    if not tf.is_symbolic_tensor(y) or y.dtype != tf.float32 or y.op.type != "FusedBatchNormV3":
        return y
    norm, conv, bias = y.op, y.op.inputs[0].op, 0.0
    if conv.type == "BiasAdd":
        conv, bias = conv.inputs[0].op, conv.inputs[1]
    if norm.get_attr("is_training") or conv.type not in ("Conv2D", DEPTHWISE):
        return y
    scale, offset, mean, variance = norm.inputs[1:5]
    factor = scale * tf.math.rsqrt(variance + norm.get_attr("epsilon"))
    kernel = conv.inputs[1]
    elements = math.prod(n or _UNKNOWN for n in y.shape)
    if conv.type == "Conv2D" and kernel.shape.num_elements() > elements:
        made = conv.outputs[0] if training else winograd.faster(tf, conv.outputs[0])
        return y if made is conv.outputs[0] else made * factor + (offset + (bias - mean) * factor)
    per_output = tf.reshape(factor, kernel.shape[2:]) if conv.type == DEPTHWISE else factor
    scaled = _convolve(tf, conv, kernel * per_output)
    if not training:  # in training, a frozen batch norm comes here, too
        scaled = winograd.faster(tf, scaled)
    return tf.nn.bias_add(scaled, offset + (bias - mean) * factor)


def widened(tf: ModuleType, x: KerasTensor, extra: int) -> KerasTensor:
    """`x` with `extra` channels of zeros appended.

    In a graph, if `x` comes from a convolution without groups, that convolution computes the zeros, without a copy.
    """
    if tf.is_symbolic_tensor(x) and x.op.type == "Conv2D":
        image, kernel = x.op.inputs
        if image.shape[-1] == kernel.shape[2]:  # no groups
            zeros = tf.zeros((*kernel.shape[:3], extra), kernel.dtype)
            return _convolve(tf, x.op, tf.concat([kernel, zeros], -1))  # tf.pad would be taken for the image's padding
    return tf.pad(x, [(0, 0), (0, 0), (0, 0), (0, extra)])


def _convolve(tf: ModuleType, conv: Any, kernel: KerasTensor) -> KerasTensor:
    """The same convolution with a different kernel."""
    names = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
    options = {name: conv.get_attr(name) for name in names}
    return getattr(tf.raw_ops, conv.type)(input=conv.inputs[0], filter=kernel, **options)


@register
class HardSwish(layers.Activation):
    """x * relu6(x + 3) / 6, the activation of MobileNetV3; the shape stays.

    Keras calls it `hard_silu`. In inference on CPU, this layer is computed in one pass with the convolution and batch
    norm before it.

    Args:
        **kwargs: As for `keras.layers.Layer`.

    Reference:
        Howard et al., Searching for MobileNetV3, arXiv:1905.02244, section 5.2.

    Examples:
        >>> HardSwish()(keras.ops.array([-4.0, 0.0, 1.5, 4.0])).numpy().tolist()
        [-0.0, 0.0, 1.125, 4.0]
    """

    def __init__(self, **kwargs: Any):
        super().__init__("hard_silu", **kwargs)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, ...) -> (n, ...)."""
        tf = tensorflow()
        if tf is None:
            return super().call(inputs)
        return inputs * (tf.nn.relu6(inputs + 3.0) * (1 / 6))  # the form that TensorFlow's graph optimiser recognises

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        config = super().get_config()
        del config["activation"]
        return config
