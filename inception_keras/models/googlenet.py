"""GoogLeNet: "Going Deeper with Convolutions", Szegedy et al. 2014, arXiv:1409.4842."""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import as_model, classifier, conv, conv_bn, image_input, max_pool, unique_name
from ..checks import renamed
from ..layers import CeilAveragePooling2D, LocalResponseNormalization

TABLE_1 = {  # None is the paper's row "max pool 3x3/2"
    #                1x1  3x3 reduce, 3x3  5x5 reduce, 5x5  pool proj     output at 224 x 224
    "inception_3a": (64,    96, 128,        16, 32,          32),       # (28, 28, 256)
    "inception_3b": (128,  128, 192,        32, 96,          64),       # (28, 28, 480)
    "pool_3": None,                                                     # (14, 14, 480)
    "inception_4a": (192,   96, 208,        16, 48,          64),       # (14, 14, 512)
    "inception_4b": (160,  112, 224,        24, 64,          64),       # (14, 14, 512)
    "inception_4c": (128,  128, 256,        24, 64,          64),       # (14, 14, 512)
    "inception_4d": (112,  144, 288,        32, 64,          64),       # (14, 14, 528)
    "inception_4e": (256,  160, 320,        32, 128,        128),       # (14, 14, 832)
    "pool_4": None,                                                     # (7, 7, 832)
    "inception_5a": (256,  160, 320,        32, 128,        128),       # (7, 7, 832)
    "inception_5b": (384,  192, 384,        48, 128,        128),       # (7, 7, 1024)
}
AUX_AFTER = {"inception_4a": "aux_1", "inception_4d": "aux_2"}


@renamed(unit="conv_block")
@checked
def naive_inception(
    x: KerasTensor, conv_1x1: int, conv_3x3: int, conv_5x5: int, name: str | None = None, *, conv_block: Callable = conv
) -> KerasTensor:
    """Figure 2(a): (h, w, c) -> (h, w, conv_1x1 + conv_3x3 + conv_5x5 + c). The last branch is a 3x3 max pool of `x`.

    Args:
        x: Feature maps.
        conv_1x1: Filters of the 1x1 convolution.
        conv_3x3: Filters of the 3x3 convolution.
        conv_5x5: Filters of the 5x5 convolution.
        name: Name of the output; the layers inside are `name-conv_1x1` and so on.
        conv_block: The function that makes a convolution: `blocks.conv` (with bias and ReLU) or `blocks.conv_bn`.

    Examples:
        >>> naive_inception(keras.Input((28, 28, 192)), 64, 128, 32).shape
        (None, 28, 28, 416)
    """
    name = name or unique_name("naive_inception")
    a = conv_block(x, conv_1x1, 1, name=f"{name}-conv_1x1")
    b = conv_block(x, conv_3x3, 3, name=f"{name}-conv_3x3")
    c = conv_block(x, conv_5x5, 5, name=f"{name}-conv_5x5")
    d = max_pool(x, 3, strides=1, name=f"{name}-pool")
    return layers.Concatenate(name=name)([a, b, c, d])


@renamed(unit="conv_block", third="third_kernel")
@checked
def inception(
    x: KerasTensor, conv_1x1: int, reduce_3x3: int, conv_3x3: int, reduce_5x5: int, conv_5x5: int, pool_proj: int,
    name: str | None = None, *, conv_block: Callable = conv, third_kernel: int = 5,
) -> KerasTensor:
    """Figure 2(b), four branches, concatenated: (h, w, c) -> (h, w, conv_1x1 + conv_3x3 + conv_5x5 + pool_proj).

    Args:
        x: Feature maps.
        conv_1x1: Filters of the 1x1 convolution.
        reduce_3x3: Filters of the 1x1 convolution before the 3x3.
        conv_3x3: Filters of the 3x3 convolution.
        reduce_5x5: Filters of the 1x1 convolution before the 5x5.
        conv_5x5: Filters of the 5x5 convolution.
        pool_proj: Filters of the 1x1 convolution after the pool.
        name: Name of the output; the layers inside are `name-conv_1x1` and so on.
        conv_block: The function that makes a convolution: `blocks.conv` (with bias and ReLU) or `blocks.conv_bn`.
        third_kernel: Kernel size of the third branch: 5 in the paper, 3 in TF-Slim.

    Examples:
        >>> inception(keras.Input((28, 28, 192)), 64, 96, 128, 16, 32, 32).shape
        (None, 28, 28, 256)
    """
    name = name or unique_name("inception")
    a = conv_block(x, conv_1x1, 1, name=f"{name}-conv_1x1")
    b = conv_block(x, reduce_3x3, 1, name=f"{name}-reduce_3x3")
    b = conv_block(b, conv_3x3, 3, name=f"{name}-conv_3x3")
    c = conv_block(x, reduce_5x5, 1, name=f"{name}-reduce_5x5")
    c = conv_block(c, conv_5x5, third_kernel, name=f"{name}-conv_5x5")
    d = max_pool(x, 3, strides=1, name=f"{name}-pool")
    d = conv_block(d, pool_proj, 1, name=f"{name}-pool_proj")
    return layers.Concatenate(name=name)([a, b, c, d])


@renamed(unit="conv_block")
@checked
def aux_head(
    x: KerasTensor, classes: int, *, classifier_activation: str | None = "softmax", pool: layers.Layer | None = None,
    conv_block: Callable = conv, name: str | None = None,
) -> KerasTensor:
    """The auxiliary head of section 5: (14, 14, c) -> (4, 4, 128) -> (1024,) -> (classes,), the scores of the classes.

    Args:
        x: Feature maps of a known size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        pool: The layer that makes the map smaller. The default is Caffe's: the paper's 5x5 average pool with stride 3,
            its output size rounded up. On a side of fewer than 5 pixels the window is as large as the map.
        conv_block: The function that makes the convolution: `blocks.conv` or `blocks.conv_bn`.
        name: Name of the output.

    Raises:
        ValueError: If the size of the map is not known. The fully connected layer needs it.

    Examples:
        >>> aux_head(keras.Input((14, 14, 512)), 1000).shape
        (None, 1000)
    """
    name = name or unique_name("aux_head")
    if None in x.shape[1:3]:
        raise ValueError(f"An auxiliary head needs an input of a fixed size, got {tuple(x.shape[1:])}.")
    window, strides = ([min(pixels, n) for n in x.shape[1:3]] for pixels in (5, 3))
    x = (pool or CeilAveragePooling2D(window, strides, name=f"{name}-pool"))(x)    # (4, 4, c)
    x = conv_block(x, 128, 1, name=f"{name}-conv_1x1")                  # (4, 4, 128)
    x = layers.Flatten(name=f"{name}-flatten")(x)                       # (2048,)
    x = layers.Dense(1024, activation="relu", name=f"{name}-fc")(x)     # (1024,)
    x = layers.Dropout(0.7, name=f"{name}-dropout")(x)
    return classifier(x, classes, classifier_activation, name=name)


def table_1(
    x: KerasTensor, module: Callable, head: Callable | None = None, *, last: str = "inception_5b", pool_4: int = 3
) -> tuple[KerasTensor, dict[str, KerasTensor]]:
    """Table 1 from 3a to the row `last`: (28, 28, 192) -> (7, 7, 1024), and the outputs of the auxiliary heads by name.

    `module` makes a module from maps, the filters of its row and a name; `head` a head from maps and a name.
    """
    heads = {}
    for row, filters in TABLE_1.items():
        kernel = pool_4 if row == "pool_4" else 3  # TF-Slim's last pool is 2x2
        x = module(x, *filters, name=row) if filters else max_pool(x, kernel, strides=2, name=row)
        if head and row in AUX_AFTER:
            heads[AUX_AFTER[row]] = head(x, name=AUX_AFTER[row])
        if row == last:
            break
    return x, heads


@checked
def build_naive_inception(
    input_shape: InputShape, conv_1x1: int, conv_3x3: int, conv_5x5: int, name: str = "naive_inception"
) -> Model:
    """`naive_inception` as a separate Model, to draw, to profile and to run.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        conv_1x1: Filters of the 1x1 convolution.
        conv_3x3: Filters of the 3x3 convolution.
        conv_5x5: Filters of the 5x5 convolution.
        name: Name of the model and of its output.

    Examples:
        >>> build_naive_inception((256, 256, 3), 64, 128, 32).count_params()
        6272
    """
    return as_model(naive_inception, input_shape, conv_1x1, conv_3x3, conv_5x5, name=name)


@checked
def build_inception(
    input_shape: InputShape, conv_1x1: int, reduce_3x3: int, conv_3x3: int, reduce_5x5: int, conv_5x5: int,
    pool_proj: int, name: str = "inception",
) -> Model:
    """`inception` as a separate Model, to draw, to profile and to run.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        conv_1x1: Filters of the 1x1 convolution.
        reduce_3x3: Filters of the 1x1 convolution before the 3x3.
        conv_3x3: Filters of the 3x3 convolution.
        reduce_5x5: Filters of the 1x1 convolution before the 5x5.
        conv_5x5: Filters of the 5x5 convolution.
        pool_proj: Filters of the 1x1 convolution after the pool.
        name: Name of the model and of its output.

    Examples:
        >>> build_inception((256, 256, 3), 64, 96, 128, 16, 32, 32).output_shape
        (None, 256, 256, 256)
    """
    return as_model(inception, input_shape, conv_1x1, reduce_3x3, conv_3x3, reduce_5x5, conv_5x5, pool_proj, name=name)


@checked
def build_aux_head(input_shape: InputShape, classes: int, name: str = "aux_head", **options: Any) -> Model:
    """`aux_head` as a separate Model, to draw, to profile and to run.

    Args:
        input_shape: (height, width, channels) of the feature maps, all three known: a dense layer reads every pixel.
        classes: Number of classes.
        name: Name of the model and of its output.
        **options: For `aux_head`: `classifier_activation`, `pool` or `conv_block`.

    Examples:
        >>> build_aux_head((14, 14, 512), 1000).count_params()
        3188840
    """
    return as_model(aux_head, input_shape, classes, name=name, **options)


@checked
def build_googlenet(
    input_shape: InputShape = (224, 224, 3), *, classes: int = 1000, aux: bool = False, batch_norm: bool = False,
    classifier_activation: str | None = "softmax", name: str = "googlenet",
) -> Model:
    """Builds Table 1, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 31 pixels; height and width may be None for any size.
        classes: Number of classes.
        aux: Adds the two auxiliary heads of section 5, after 4a and 4d.
        batch_norm: Batch norms replace the biases and the local response normalizations. This is not in the paper.
        classifier_activation: `"softmax"`, or None for logits; for every head.
        name: Name of the model.

    Returns:
        A Model with one output, or with the outputs `{"predictions", "aux_1", "aux_2"}`.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_googlenet().count_params(), build_googlenet(aux=True).count_params()
        (6998552, 13378280)
    """
    conv_block = conv_bn if batch_norm else conv
    image = image_input(input_shape, min_size=31)
    x = conv_block(image, 64, 7, strides=2, name="conv_1")              # (112, 112, 64)
    x = max_pool(x, 3, strides=2, name="pool_1")                        # (56, 56, 64)
    x = x if batch_norm else LocalResponseNormalization(name="norm_1")(x)
    x = conv_block(x, 64, 1, name="conv_2-reduce")                      # (56, 56, 64)
    x = conv_block(x, 192, 3, name="conv_2")                            # (56, 56, 192)
    x = x if batch_norm else LocalResponseNormalization(name="norm_2")(x)
    x = max_pool(x, 3, strides=2, name="pool_2")                        # (28, 28, 192)

    module = partial(inception, conv_block=conv_block)
    head = partial(aux_head, classes=classes, classifier_activation=classifier_activation, conv_block=conv_block)
    x, heads = table_1(x, module, head if aux else None)                # (7, 7, 1024)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)               # (1024,)
    x = layers.Dropout(0.4, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)                   # (1000,)
    return Model(image, {"predictions": x, **heads} if aux else x, name=name)
