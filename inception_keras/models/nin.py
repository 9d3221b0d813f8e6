"""Network in Network: Lin, Chen, Yan 2013, arXiv:1312.4400."""

from typing import Any

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import conv, image_input, max_pool, unique_name
from ..layers import CeilAveragePooling2D


def mlpconv(
    x: KerasTensor, filters: int, kernel_size: int, cccp_1: int, cccp_2: int, name: str | None = None, **kwargs: Any
) -> KerasTensor:
    """Figure 1(b): a convolution, and a perceptron of two layers at each pixel: (h, w, c) -> (h, w, cccp_2).

    A layer of the perceptron is a 1x1 convolution. The paper calls it cascaded cross channel parametric pooling
    (CCCP). A ReLU follows each of the three convolutions.

    Args:
        x: Feature maps.
        filters: Filters of the convolution.
        kernel_size: Height and width of its kernel in pixels.
        cccp_1: Filters of the first 1x1 convolution.
        cccp_2: Filters of the second 1x1 convolution.
        name: Name of the output; the layers inside are `name-conv` and `name-cccp_1`.
        **kwargs: `strides` and `padding` of the first convolution; without them it keeps the size.

    Returns:
        The output of the second 1x1 convolution, after its ReLU.

    Examples:
        >>> mlpconv(keras.Input((32, 32, 3)), 192, 5, 160, 96).shape
        (None, 32, 32, 96)
    """
    name = name or unique_name("mlpconv")
    x = conv(x, filters, kernel_size, name=f"{name}-conv", **kwargs)
    x = conv(x, cccp_1, 1, name=f"{name}-cccp_1")
    return conv(x, cccp_2, 1, name=name)


@checked
def build_nin_cifar(
    input_shape: InputShape = (32, 32, 3),
    *,
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    name: str = "nin_cifar",
) -> Model:
    """The net for CIFAR-10, as the authors released it for Caffe.

    Args:
        input_shape: (height, width, channels), at least 4 pixels; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model. Its logits are means of maps that have passed a ReLU, as in the authors' release. Trained from fresh
        weights with too high a learning rate, they all become 0, and the net stops learning.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        "Network in Network CIFAR10 Model" of Caffe's model zoo, gist.github.com/mavenlin/e56253735ef32c3c296d.

    Examples:
        >>> build_nin_cifar().count_params()
        966986
    """
    image = image_input(input_shape, min_size=4)
    x = mlpconv(image, 192, 5, 160, 96, name="mlpconv_1")                                 # (32, 32, 96)
    x = max_pool(x, 3, strides=2, name="pool_1")                                          # (16, 16, 96)
    x = layers.Dropout(0.5, name="dropout_1")(x)
    x = mlpconv(x, 192, 5, 192, 192, name="mlpconv_2")                                    # (16, 16, 192)
    x = CeilAveragePooling2D(3, strides=2, name="pool_2")(x)                              # (8, 8, 192)
    x = layers.Dropout(0.5, name="dropout_2")(x)
    x = mlpconv(x, 192, 3, 192, classes, name="mlpconv_3")                                # (8, 8, 10)
    return Model(image, _scores(x, classifier_activation), name=name)


@checked
def build_nin_imagenet(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "nin_imagenet",
) -> Model:
    """The net for ImageNet, which the authors released for Caffe after the paper.

    Args:
        input_shape: (height, width, channels), at least 39 pixels; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model. Its logits are means of maps that have passed a ReLU, as in the authors' release. Trained from fresh
        weights with too high a learning rate, they all become 0, and the net stops learning.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        "Network in Network Imagenet Model" of Caffe's model zoo, gist.github.com/mavenlin/d802a5849de39225bcc6.

    Examples:
        >>> build_nin_imagenet().count_params()
        7595176
    """
    image = image_input(input_shape, min_size=39)
    x = mlpconv(image, 96, 11, 96, 96, strides=4, padding="valid", name="mlpconv_1")      # (54, 54, 96)
    x = max_pool(x, 3, strides=2, name="pool_1")                                          # (27, 27, 96)
    x = mlpconv(x, 256, 5, 256, 256, name="mlpconv_2")                                    # (27, 27, 256)
    x = max_pool(x, 3, strides=2, name="pool_2")                                          # (13, 13, 256)
    x = mlpconv(x, 384, 3, 384, 384, name="mlpconv_3")                                    # (13, 13, 384)
    x = max_pool(x, 3, strides=2, name="pool_3")                                          # (6, 6, 384)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = mlpconv(x, 1024, 3, 1024, classes, name="mlpconv_4")                              # (6, 6, 1000)
    return Model(image, _scores(x, classifier_activation), name=name)


def _scores(x: KerasTensor, activation: str | None) -> KerasTensor:
    """Global average pooling gives each class the mean of its map: (h, w, classes) -> (classes,)."""
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)
