"""Tensor -> tensor functions that several families use. Every layer that they make has a name."""

from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, layers

from .arguments import InputShape, check_image_shape, checked
from .checks import check_count, got, renamed
from .layers import BatchNormalization, CeilMaxPooling2D, Conv2D, DepthwiseConv2D, HardSwish, MaxPooling2D


@renamed(least="min_size")
def image_input(shape: InputShape, min_size: int = 1) -> KerasTensor:
    """The Input named "image" for a shape (height, width, channels). None stands for a side of any size.

    Raises:
        ValueError: If the shape is not valid, or a side is smaller than `min_size`, the smallest side that the net
            accepts.
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("image_data_format must be 'channels_last', got 'channels_first'.")
    return keras.Input(check_image_shape(shape, min_size), name="image")


def fixed_input(shape: InputShape, min_size: int, net: str) -> KerasTensor:
    """The Input of a net whose dense layers read every pixel, so that its height and width must be known."""
    image = image_input(shape, min_size)
    if None in image.shape[1:3]:
        raise ValueError(f"The dense layers of {net} need an input of a fixed size, got {tuple(shape)}.")
    return image


def unique_name(block: str) -> str:
    """The block's name, with a number appended from the second block on; for blocks that the caller did not name."""
    count = keras.backend.get_uid(f"inception_keras-{block}")
    return block if count == 1 else f"{block}_{count}"


def conv(
    x: KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    strides: int = 1,
    *,
    name: str,
    **kwargs: Any,
) -> KerasTensor:
    """Convolution with bias and ReLU: (h, w, c) -> (h / strides, w / strides, filters).

    The padding is the same on all sides. A `padding` among the keywords is Keras's: `"valid"`, or `"same"` as in
    TensorFlow.
    """
    check_count(f"{name}: filters", filters)
    kwargs = {"activation": "relu", "name": name} | kwargs
    if "padding" in kwargs:
        return layers.Conv2D(filters, kernel_size, strides, **kwargs)(x)
    return Conv2D(filters, kernel_size, strides=strides, **kwargs)(x)


def conv_bn(
    x: KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    strides: int = 1,
    *,
    name: str,
    epsilon: float = 1e-3,
    activation: str | None = "relu",
    **kwargs: Any,
) -> KerasTensor:
    """Convolution without bias, batch norm, activation: (h, w, c) -> (h / strides, w / strides, filters)."""
    kwargs = {"use_bias": False} | kwargs
    x = conv(x, filters, kernel_size, strides, name=name, activation=None, **kwargs)
    return bn(x, name, epsilon, activation)


def depthwise_bn(
    x: KerasTensor,
    kernel_size: int,
    strides: int = 1,
    *,
    name: str,
    epsilon: float = 1e-3,
    activation: str | None = "relu",
) -> KerasTensor:
    """Depthwise convolution without bias, batch norm, activation: (h, w, c) -> (h / strides, w / strides, c)."""
    x = DepthwiseConv2D(kernel_size, strides=strides, use_bias=False, name=name)(x)
    return bn(x, name, epsilon, activation)


def bn(x: KerasTensor, name: str, epsilon: float = 1e-3, activation: str | None = "relu") -> KerasTensor:
    """Batch norm and an optional activation. Both are named after the convolution before them. The shape stays."""
    # momentum 0.9: Keras's 0.99 needs thousands of steps before the moving statistics can be used
    x = BatchNormalization(momentum=0.9, epsilon=epsilon, name=f"{name}-bn")(x)
    if activation == "hard_silu":
        return HardSwish(name=f"{name}-{activation}")(x)
    return layers.Activation(activation, name=f"{name}-{activation}")(x) if activation else x


@checked
def squeeze_excite(x: KerasTensor, filters: int, name: str | None = None, *, gate: str = "sigmoid") -> KerasTensor:
    """Scales each channel by a gate that is computed from the means of all channels; the shape stays (h, w, c).

    Args:
        x: Feature maps.
        filters: Width of the bottleneck between the means and the gates; in the paper, a sixteenth of the channels.
        name: Name of the output; the layers inside are `name-pool`, `name-reduce` and `name-expand`.
        gate: Activation of the gates: `"sigmoid"` as in the paper, or `"hard_sigmoid"` as in MobileNet v3.

    Returns:
        `x`, with each channel multiplied by its gate.

    Raises:
        ValueError: If `filters` is not a positive int, or `gate` is not an activation.

    Reference:
        Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, figure 2.

    Examples:
        >>> squeeze_excite(keras.Input((28, 28, 192)), 192 // 16).shape
        (None, 28, 28, 192)
    """
    name = name or unique_name("squeeze_excite")
    try:
        keras.activations.get(gate)
    except (ValueError, TypeError):
        raise ValueError(f"gate must be the name of an activation, such as 'sigmoid', got {got(gate)}.") from None
    gates = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}-pool")(x)
    gates = conv(gates, filters, 1, name=f"{name}-reduce")
    gates = conv(gates, x.shape[-1], 1, activation=gate, name=f"{name}-expand")
    return layers.Multiply(name=name)([x, gates])


def max_pool(x: KerasTensor, pool_size: int, strides: int, *, ceil: bool = True, name: str) -> KerasTensor:
    """Max pooling. With strides of 1 the size stays; otherwise it is rounded up, as in Caffe.

    Without `ceil`, strided pooling pads all sides alike.
    """
    if strides == 1:
        return layers.MaxPooling2D(pool_size, 1, padding="same", name=name)(x)
    if not ceil:
        return MaxPooling2D(pool_size, strides, name=name)(x)
    return CeilMaxPooling2D(pool_size, strides, name=name)(x)


def classifier(
    x: KerasTensor, classes: int, activation: str | None = "softmax", *, name: str = "predictions"
) -> KerasTensor:
    """Dense layer that gives a score for each class: (c,) -> (classes,). With `activation=None` it gives logits."""
    check_count("classes", classes, least=2)  # the softmax of a single class is always 1
    # float32 even with mixed precision, as a softmax in half precision loses small probabilities
    return layers.Dense(classes, activation=activation, dtype="float32", name=name)(x)


def make_divisible(channels: float) -> int:
    """A number of channels, rounded to the nearest multiple of 8, but to no less than 90 % of it.

    Examples:
        >>> make_divisible(18), make_divisible(28.8), make_divisible(3)
        (24, 32, 8)
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def as_model(block: Callable, input_shape: InputShape, *args: Any, name: str, **kwargs: Any) -> keras.Model:
    """A block as a Model of its own, which can be drawn, counted and run."""
    image = image_input(input_shape)
    return keras.Model(image, block(image, *args, name=name, **kwargs), name=name)
