"""Batch norm and the convolution before it: in inference oneDNN does both, and the activation, in one pass."""

import math
from typing import Any

from keras import layers

from . import winograd
from ._support import register, tensorflow

DEPTHWISE = "DepthwiseConv2dNative"
_UNKNOWN = 8  # images of a batch, or pixels, where the shape does not tell


def folded(tf: Any, y: Any, training: bool | None) -> Any:
    """`y` as a convolution with a bias, if it is the batch norm of one in a graph for inference, else `y`.

    TensorFlow fuses these two, as four passes over each tile of the output, but no depthwise convolution, no sum and no
    hard swish with them; a bias is one pass, and it fuses all. Scaling the kernel at each call costs more than that
    where it has more weights than the output has elements.
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
        return y
    per_output = tf.reshape(factor, kernel.shape[2:]) if conv.type == DEPTHWISE else factor
    scaled = _convolve(tf, conv, kernel * per_output)
    if not training:  # a frozen batch norm comes here in training, too
        scaled = winograd.faster(tf, scaled)
    return tf.nn.bias_add(scaled, offset + (bias - mean) * factor)


def widened(tf: Any, x: Any, extra: int) -> Any:
    """`x` with `extra` channels of zeros; in a graph the convolution before it, if plain, makes them without a copy."""
    if tf.is_symbolic_tensor(x) and x.op.type == "Conv2D":
        image, kernel = x.op.inputs
        if image.shape[-1] == kernel.shape[2]:  # no groups
            zeros = tf.zeros((*kernel.shape[:3], extra), kernel.dtype)
            return _convolve(tf, x.op, tf.concat([kernel, zeros], -1))  # a pad would be taken for the image's
    return tf.pad(x, [(0, 0), (0, 0), (0, 0), (0, extra)])


def _convolve(tf: Any, conv: Any, kernel: Any) -> Any:
    """The convolution with another kernel."""
    names = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
    options = {name: conv.get_attr(name) for name in names}
    return getattr(tf.raw_ops, conv.type)(input=conv.inputs[0], filter=kernel, **options)


@register
class HardSwish(layers.Activation):
    """x * relu6(x + 3) / 6, MobileNet v3's activation; the shape stays.

    What Keras calls `hard_silu`; in inference on CPU it is one pass with the convolution and batch norm before it.

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

    def call(self, inputs: Any) -> Any:
        """(n, ...) -> (n, ...)."""
        tf = tensorflow()
        if tf is None:
            return super().call(inputs)
        return inputs * (tf.nn.relu6(inputs + 3.0) * (1 / 6))  # as TensorFlow's graph optimiser looks for it

    def get_config(self) -> dict:
        """What `from_config` needs."""
        config = super().get_config()
        del config["activation"]
        return config
