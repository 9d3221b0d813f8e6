"""Variants of GoogLeNet: TF-Slim's, which torchvision copied, and two for small images."""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv, conv_bn, image_input, max_pool
from ..layers import AdaptiveAveragePooling2D
from .googlenet import aux_head, inception, naive_inception, table_1


@checked
def build_googlenet_slim(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    aux: bool = False,
    classifier_activation: str | None = "softmax",
    name: str = "googlenet_slim",
) -> Model:
    """Builds GoogLeNet as in TF-Slim's `inception_v1` and torchvision's `googlenet`.

    It differs from the paper's net in these points: batch norm replaces biases and local response normalization, each
    5x5 convolution is a 3x3, the last max pool is 2x2, and dropout is 0.2 instead of 0.4. The auxiliary heads are
    torchvision's: they start with an adaptive average pool to 4x4.

    Args:
        input_shape: (height, width, channels), at least 15 pixels; height and width may be None for any size.
        classes: Number of classes.
        aux: Adds the two auxiliary heads, after 4a and 4d.
        classifier_activation: `"softmax"`, or None for logits; for every head.
        name: Name of the model.

    Returns:
        A Model with one output, or with the outputs `{"predictions", "aux_1", "aux_2"}`.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `research/slim/nets/inception_v1.py` of tensorflow/models; `torchvision/models/googlenet.py`.

    Examples:
        >>> build_googlenet_slim().count_params()
        6639464
    """
    image = image_input(input_shape, min_size=15)
    x = conv_bn(image, 64, 7, strides=2, name="conv_1")                 # (112, 112, 64)
    x = max_pool(x, 3, strides=2, name="pool_1")                        # (56, 56, 64)
    x = conv_bn(x, 64, 1, name="conv_2-reduce")                         # (56, 56, 64)
    x = conv_bn(x, 192, 3, name="conv_2")                               # (56, 56, 192)
    x = max_pool(x, 3, strides=2, name="pool_2")                        # (28, 28, 192)

    def head(x: KerasTensor, name: str) -> KerasTensor:
        pool, activation = AdaptiveAveragePooling2D(4, name=f"{name}-pool"), classifier_activation
        return aux_head(x, classes, classifier_activation=activation, pool=pool, conv_block=conv_bn, name=name)

    module = partial(inception, conv_block=conv_bn, third_kernel=3)
    x, heads = table_1(x, module, head if aux else None, pool_4=2)      # (7, 7, 1024)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)               # (1024,)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)                   # (1000,)
    return Model(image, {"predictions": x, **heads} if aux else x, name=name)


@checked
def build_googlenet_cifar(
    input_shape: InputShape = (32, 32, 3),
    *,
    classes: int = 10,
    aux: bool = False,
    batch_norm: bool = False,
    naive: bool = False,
    classifier_activation: str | None = "softmax",
    name: str = "googlenet_cifar",
) -> Model:
    """Builds Table 1 down to 4e, which has 832 features, for small images.

    The net is fast, because its stem reduces 32x32 pixels to 4x4.

    Args:
        input_shape: (height, width, channels), at least 15 pixels; height and width may be None for any size.
        classes: Number of classes.
        aux: Adds the two auxiliary heads, after 4a and 4d. For 32x32 images, they pool over the whole map of 2x2
            pixels.
        batch_norm: Puts a batch norm after each convolution instead of its bias.
        naive: Uses the modules of figure 2(a) instead of those of figure 2(b). Each adds channels to the maps.
        classifier_activation: `"softmax"`, or None for logits; for every head.
        name: Name of the model.

    Returns:
        A Model with one output, or with the outputs `{"predictions", "aux_1", "aux_2"}`.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_googlenet_cifar().count_params()
        3494346
    """
    conv_block = conv_bn if batch_norm else conv
    image = image_input(input_shape, min_size=15)
    x = conv_block(image, 64, 7, strides=2, name="conv_1")              # (16, 16, 64)
    x = max_pool(x, 3, strides=2, name="pool_1")                        # (8, 8, 64)
    x = conv_block(x, 64, 1, name="conv_2-reduce")                      # (8, 8, 64)
    x = conv_block(x, 192, 3, name="conv_2")                            # (8, 8, 192)
    x = max_pool(x, 3, strides=2, name="pool_2")                        # (4, 4, 192)
    module = partial(_naive if naive else inception, conv_block=conv_block)
    return _small(image, x, module, conv_block, classes, aux, classifier_activation, name, "inception_4e")


@checked
def build_googlenet_small(
    input_shape: InputShape = (32, 32, 3),
    *,
    classes: int = 10,
    aux: bool = False,
    batch_norm: bool = False,
    classifier_activation: str | None = "softmax",
    name: str = "googlenet_small",
) -> Model:
    """Builds all of Table 1 for small images.

    The stem has no strides and no pools, and its 7x7 convolution is a 3x3. So images keep their size up to 3b.

    Args:
        input_shape: (height, width, channels), at least 4 pixels; height and width may be None for any size.
        classes: Number of classes.
        aux: Adds the two auxiliary heads, after 4a and 4d, where the maps of 32x32 images have 16x16 pixels.
        batch_norm: Puts a batch norm after each convolution instead of its bias.
        classifier_activation: `"softmax"`, or None for logits; for every head.
        name: Name of the model.

    Returns:
        A Model with one output, or with the outputs `{"predictions", "aux_1", "aux_2"}`.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_googlenet_small().count_params()
        5976122
    """
    conv_block = conv_bn if batch_norm else conv
    image = image_input(input_shape, min_size=4)
    x = conv_block(image, 64, 3, name="conv_1")                         # (32, 32, 64)
    x = conv_block(x, 64, 1, name="conv_2-reduce")                      # (32, 32, 64)
    x = conv_block(x, 192, 3, name="conv_2")                            # (32, 32, 192)
    module = partial(inception, conv_block=conv_block)
    return _small(image, x, module, conv_block, classes, aux, classifier_activation, name, "inception_5b")


def _naive(
    x: KerasTensor, conv_1x1: int, _: int, conv_3x3: int, __: int, conv_5x5: int, ___: int, **options: Any
) -> KerasTensor:
    return naive_inception(x, conv_1x1, conv_3x3, conv_5x5, **options)


def _small(
    image: KerasTensor,
    x: KerasTensor,
    module: Callable,
    conv_block: Callable,
    classes: int,
    aux: bool,
    activation: str | None,
    name: str,
    last: str,
) -> Model:
    """The rows of Table 1 down to `last` and the heads, for small images."""

    def head(x: KerasTensor, name: str) -> KerasTensor:
        # rounds down, so that the paper's 4x4 are left of 16x16 pixels; there is no original that rounds up
        pool = layers.AveragePooling2D([min(5, n) for n in x.shape[1:3]], strides=3, name=f"{name}-pool")
        return aux_head(x, classes, classifier_activation=activation, pool=pool, conv_block=conv_block, name=name)

    x, heads = table_1(x, module, head if aux else None, last=last)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.4, name="dropout")(x)
    x = classifier(x, classes, activation)
    return Model(image, {"predictions": x, **heads} if aux else x, name=name)
