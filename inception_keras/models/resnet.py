"""ResNet: "Deep Residual Learning for Image Recognition", He et al. 2015, arXiv:1512.03385."""

from collections.abc import Collection
from typing import Any

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input, max_pool, unique_name

TABLE_1 = {  # blocks in conv2_x to conv5_x. A block is two 3x3 convolutions, or from depth 50 on 1x1, 3x3 and 1x1
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def basic(x: KerasTensor, filters: int, strides: int = 1, name: str | None = None) -> KerasTensor:
    """Figure 5, left: (h, w, c) -> (h / strides, w / strides, filters).

    Args:
        x: Feature maps.
        filters: Filters of both 3x3 convolutions.
        strides: Step of the first convolution in pixels.
        name: Name of the output; the layers inside are `name-conv_1` and so on.

    Returns:
        The sum, after a ReLU.

    Examples:
        >>> basic(keras.Input((56, 56, 64)), 128, strides=2).shape
        (None, 28, 28, 128)
    """
    name = name or unique_name("basic")
    y = conv_bn(x, filters, 3, strides, epsilon=1e-5, name=f"{name}-conv_1")
    y = conv_bn(y, filters, 3, epsilon=1e-5, activation=None, name=f"{name}-conv_2")
    return _add(_shortcut(x, filters, strides, name=name), y, name)


def bottleneck(
    x: KerasTensor,
    filters: int,
    strides: int = 1,
    name: str | None = None,
    *,
    inner: int | None = None,
    groups: int = 1,
    dilation: int = 1,
    version: float = 1.5,
    **options: Any,
) -> KerasTensor:
    """Figure 5, right: (h, w, c) -> (h / strides, w / strides, 4 * filters).

    Args:
        x: Feature maps.
        filters: A quarter of the output's channels.
        strides: Step of the block in pixels.
        name: Name of the output; the layers inside are `name-conv_1` and so on.
        inner: Filters of the first 1x1 and of the 3x3 convolution; by default `filters`.
        groups: Groups of the 3x3 convolution.
        dilation: Distance in pixels between the weights of the 3x3 convolution.
        version: 1 puts the strides in the first 1x1 convolution, as in the paper; 1.5 puts them in the 3x3 convolution.
        **options: For `blocks.conv_bn`.

    Returns:
        The sum, after a ReLU.

    Examples:
        >>> bottleneck(keras.Input((56, 56, 256)), 128, strides=2).shape
        (None, 28, 28, 512)
    """
    name = name or unique_name("bottleneck")
    options = {"epsilon": 1e-5} | options
    first, second = (strides, 1) if version == 1 else (1, strides)
    y = conv_bn(x, inner or filters, 1, first, name=f"{name}-conv_1", **options)
    spread: dict = {"groups": groups, "dilation_rate": dilation} | options
    y = conv_bn(y, inner or filters, 3, second, name=f"{name}-conv_2", **spread)
    y = conv_bn(y, 4 * filters, 1, activation=None, name=f"{name}-conv_3", **options)
    return _add(_shortcut(x, 4 * filters, strides, name=name, **options), y, name)


@checked
def build_resnet(
    input_shape: InputShape = (224, 224, 3),
    *,
    depth: int = 50,
    groups: int = 1,
    group_width: int = 64,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "resnet50",
) -> Model:
    """Builds a column of Table 1, as in torchvision: bottlenecks have their strides in the 3x3 ("version 1.5").

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        depth: 18, 34, 50, 101 or 152.
        groups: Groups of a bottleneck's 3x3 convolution: the cardinality of ResNeXt's section 3.
        group_width: Filters of each of these groups in conv2_x. The paper has one group of 64.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the depth or the number of classes.

    Reference:
        Xie et al., arXiv:1611.05431, for `groups`; Zagoruyko, Komodakis, arXiv:1605.07146, for `group_width` in one
        group; `torchvision/models/resnet.py`.

    Examples:
        >>> build_resnet(depth=18).output_shape
        (None, 1000)
    """
    _check_depth(depth, TABLE_1)
    if depth < 50 and (groups, group_width) != (1, 64):
        raise ValueError(f"groups and group_width are of bottlenecks, which begin at depth 50, got depth={depth}.")
    image = image_input(input_shape)
    x = conv_bn(image, 64, 7, strides=2, epsilon=1e-5, name="conv_1")  # (112, 112, 64)
    x = max_pool(x, 3, strides=2, ceil=False, name="pool_1")  # (56, 56, 64)
    for i, count in enumerate(TABLE_1[depth]):  # (56, 56, 256) to (7, 7, 2048)
        for j in range(count):
            filters, strides, label = 64 << i, 2 if i and not j else 1, f"stage_{i + 2}-block_{j + 1}"
            if depth < 50:
                x = basic(x, filters, strides, name=label)
            else:
                inner = groups * group_width << i
                x = bottleneck(x, filters, strides, inner=inner, groups=groups, name=label)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (2048,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)


@checked
def build_resnet_v1(
    input_shape: InputShape = (224, 224, 3),
    *,
    depth: int = 50,
    release: str = "keras",
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "resnet50_v1",
) -> Model:
    """Builds a column of Table 1 with strides as in the paper, in the first 1x1 convolution of a bottleneck.

    Args:
        input_shape: (height, width, channels), at least 1 pixel (release "caffe": 3); height and width may be None
            for any size.
        depth: 50, 101 or 152.
        release: `"keras"` is `keras.applications`' net: every convolution has a bias, and the first pool is padded by
            one pixel. `"caffe"` is the authors' own: only the first convolution of ResNet-50 has a bias, and the first
            pool is not padded but rounds its size up.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the depth, the release or the number of classes.

    Reference:
        `keras/applications/resnet.py`; the prototxts of `KaimingHe/deep-residual-networks`.

    Examples:
        >>> build_resnet_v1().count_params(), build_resnet_v1(release="caffe").count_params()
        (25636712, 25610216)
    """
    _check_depth(depth, [depth for depth in TABLE_1 if depth >= 50])
    if release not in ("keras", "caffe"):
        raise ValueError(f"release must be 'keras' or 'caffe', got {release!r}.")
    caffe = release == "caffe"
    options: dict = {"epsilon": 1e-5 if caffe else 1.001e-5, "use_bias": not caffe}
    first = options | {"use_bias": not caffe or depth == 50}
    image = image_input(input_shape, min_size=3 if caffe else 1)
    x = conv_bn(image, 64, 7, strides=2, name="conv_1", **first)  # (112, 112, 64)
    x = max_pool(x, 3, strides=2, ceil=caffe, name="pool_1")  # (56, 56, 64)
    for i, count in enumerate(TABLE_1[depth]):  # (56, 56, 256) to (7, 7, 2048)
        for j in range(count):
            strides, label = 2 if i and not j else 1, f"stage_{i + 2}-block_{j + 1}"
            x = bottleneck(x, 64 << i, strides, version=1, name=label, **options)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (2048,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)


def _check_depth(depth: int, known: Collection[int]) -> None:
    if depth not in known:
        raise ValueError(f"depth must be one of {', '.join(map(str, known))}, got {depth!r}.")


def _shortcut(
    x: KerasTensor, filters: int, strides: int, *, name: str, epsilon: float = 1e-5, **options: Any
) -> KerasTensor:
    """The input, or a 1x1 convolution of it if the shape changes (the paper's option B)."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    return conv_bn(x, filters, 1, strides, activation=None, epsilon=epsilon, name=f"{name}-shortcut", **options)


def _add(x: KerasTensor, y: KerasTensor, name: str) -> KerasTensor:
    return layers.Activation("relu", name=name)(layers.Add(name=f"{name}-add")([x, y]))
